"""The command line against a real daemon: consent given while none ran, a person's words, events, TCP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from loopback import free_ports

from .test_serve import PATIENCE_S, Server, add_image

MAC = "52:54:00:aa:bb:77"
ADD = ("hosts", "add", MAC, "--name", "cim-7", "--profile", "disky")


def cli(state: Path, *words: str, **env: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "bootstrapd.cli", *words],
        env=os.environ | {"BOOTSTRAPD_STATE": str(state)} | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    return done.returncode, done.stdout, done.stderr


def test_from_enrolling_without_a_daemon_to_words_over_tcp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_image(tmp_path)
    profile = tmp_path / "hosts/profiles/disky.toml"
    profile.parent.mkdir(parents=True)
    profile.write_text('image = "installer"\nlayout = "single"\n')
    (port,) = free_ports(1)
    config = tmp_path / "config.toml"
    config.write_text(f'[api]\nlisten = "127.0.0.1:{port}"\n[nats]\nenabled = false\n')
    assert "WILL BE ERASED" in cli(tmp_path, *ADD)[1]
    monkeypatch.setenv("BOOTSTRAPD_CONFIG", str(config))
    server = Server(tmp_path)
    server.start()
    try:
        server.wait_for(lambda: server.api("/v1/hosts/cim-7")["arm"] is not None)
        server.wait_for(lambda: list((tmp_path / "arms").iterdir()) == [])
        elsewhere = {
            "BOOTSTRAPD_SERVER": f"http://127.0.0.1:{port}",
            "BOOTSTRAPD_TOKEN_FILE": str(tmp_path / "keys/api.token"),
        }
        assert cli(tmp_path, "hosts", "disarm", "cim-7", **elsewhere)[0] == 0
        assert cli(tmp_path, "hosts", "disarm", "cim-7")[0] == 1
        assert cli(tmp_path, "hosts", "arm", "cim-7", "--yes")[0] == 0
        for word in ("abort", "retry"):
            code, _, err = cli(tmp_path, "hosts", word, "cim-7", **elsewhere)
            assert (code, "there is nothing to" in err) == (1, True)
        told = [
            json.loads(line) for line in cli(tmp_path, "events", "--host", "cim-7", "--json")[1].splitlines()
        ]
        assert [(view["event"]["event"], view["event"].get("by")) for view in told] == [
            ("Armed", "hosts add"),
            ("Disarmed", None),
            ("Armed", "hosts arm"),
        ]
        assert cli(tmp_path, "hosts", "list", **elsewhere | {"BOOTSTRAPD_TOKEN_FILE": str(profile)})[0] == 2
    finally:
        server.kill()


def test_a_rack_from_one_line_is_taken_up_and_armed_at_once(tmp_path: Path) -> None:
    profile = tmp_path / "hosts/profiles/disky.toml"
    profile.parent.mkdir(parents=True)
    profile.write_text('image = "installer"\nlayout = "single"\n')
    server = Server(tmp_path)
    server.start()
    try:
        words = (
            "--name",
            "cim-{:03}",
            "--count",
            "200",
            "--profile",
            "disky",
            "--address",
            "10.1.0.1/16",
            "--arm",
        )
        code, said, err = cli(tmp_path, "hosts", "add", *words, "--json")
        assert (code, err) == (0, "")
        hosts = json.loads(said)
        assert [host["name"] for host in hosts] == [f"cim-{at:03}" for at in range(1, 201)]
        assert {host["arm"]["by"] for host in hosts} == {"hosts add"}
        assert server.api("/v1/status")["hosts"] == 200
    finally:
        server.kill()
