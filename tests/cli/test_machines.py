"""`bootstrapd machines` against a daemon."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import MAC, STRANGER, FakeCore, Run


def test_list_shows_machines_with_and_without_a_host(run: Run, daemon: FakeCore) -> None:
    lines = run("machines", "list").out.splitlines()
    assert lines[0].split() == ["MACHINE", "HOST", "STATE", "FIRMWARE", "ADDRESS", "MACS", "LAST", "SEEN"]
    assert lines[1].startswith("525400aabb01  node-1  live   UEFI x64")
    assert lines[2].startswith("525400aabb99  -       seen   -")
    assert [m["id"] for m in json.loads(run("machines", "list", "--json").out)] == list(daemon.known)


@pytest.mark.parametrize("key", [MAC, MAC.hex, MAC.hexhyp.upper()])
def test_show_by_id_or_mac(run: Run, daemon: FakeCore, key: str) -> None:
    assert daemon.known
    said = run("machines", "show", key)
    assert said.code == 0
    for words in (
        "host                       node-1 (profile minimal)",
        "SITE_FILENAME_WINS",
        "eth0, 52:54:00:aa:bb:01, virtio_net, no link",
        "vda, 10 GB, serial S1",
        "+2.5 s",
        "snponly.efi by tftp",
    ):
        assert words in said.out


def test_what_a_machine_says_cannot_reach_the_terminal_as_control(run: Run, daemon: FakeCore) -> None:
    assert "\x1b" in daemon.known[MAC.hex].serial
    assert "\x1b" not in run("machines", "show", MAC).out
    assert "evil·[31m" in run("machines", "show", MAC).out


def test_adopt_tells_the_daemon(run: Run, daemon: FakeCore) -> None:
    said = run("machines", "adopt", MAC, "--host", "node-1", "--ready")
    assert (said.code, said.err) == (0, "")
    assert "boots its own disk" in said.out
    assert daemon.asked == [("adopt", MAC, "node-1", True)]


def test_adopt_can_declare_the_host_in_the_same_step(run: Run, daemon: FakeCore, state: Path) -> None:
    said = run("machines", "adopt", STRANGER.hex, "--host", "node-9", "--enrol", "--profile", "minimal")
    assert said.code == 0
    assert STRANGER in (state / "hosts/node-9/host.toml").read_text()
    assert daemon.asked == [("reload",), ("adopt", STRANGER.hex, "node-9", False)]


LAYOUT = 'image = "minimal"\nlayout = "single"\n'


@pytest.fixture
def disky(state: Path) -> str:
    """A profile that installs."""
    file = state / "hosts/profiles/disky.toml"
    file.parent.mkdir(parents=True)
    file.write_text(LAYOUT)
    return "disky"


def test_enrolling_is_the_consent_as_with_hosts_add(run: Run, daemon: FakeCore, disky: str) -> None:
    said = run("machines", "adopt", MAC, "--host", "node-1", "--enrol", "--profile", disky)
    assert said.code == 0
    assert daemon.asked[1:] == [("adopt", MAC, "node-1", False), ("arm", "node-1", "hosts add")]
    assert "WILL BE ERASED" in said.out
    assert "undo with: bootstrapd hosts disarm node-1" in said.out


@pytest.mark.parametrize(
    ("more", "words"),
    [("--no-arm", "it is not armed: nothing erases its disks"), ("--ready", "boots its own disk")],
)
def test_who_wants_no_install_is_not_armed(
    run: Run, daemon: FakeCore, disky: str, more: str, words: str
) -> None:
    said = run("machines", "adopt", MAC, "--host", "node-1", "--enrol", "--profile", disky, more)
    assert said.code == 0
    assert words in said.out
    assert "ERASED" not in said.out
    assert "arm" not in [asked[0] for asked in daemon.asked]


def test_who_is_not_adopted_is_not_armed(run: Run, daemon: FakeCore, disky: str) -> None:
    said = run("machines", "adopt", MAC, "--host", "taken", "--enrol", "--profile", disky)
    assert said.code == 1
    assert "arm" not in [asked[0] for asked in daemon.asked]


def test_forget_says_that_the_host_stays(run: Run, daemon: FakeCore) -> None:
    said = run("machines", "forget", MAC)
    assert said.code == 0
    assert "node-1 is still declared" in said.out
    assert MAC.hex not in daemon.known


def test_force_is_handed_on(run: Run, daemon: FakeCore) -> None:
    assert run("machines", "forget", MAC, "--force").code == 0
    assert daemon.asked[-1] == ("forget", MAC.hex, True)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ("show zz", 1, "no machine 'zz' has been seen; 'bootstrapd machines list' shows"),
        ("show ../status", 1, "no machine '../status'"),
        ("forget zz", 1, "no machine 'zz'"),
        ("adopt 525400aabb01 --host taken", 1, "taken is machine 1 already"),
        ("adopt 525400aabb01 --host node-1 --enrol", 2, "--enrol and --profile PROFILE go together"),
        ("adopt 525400aabb01 --host node-1 --profile minimal", 2, "go together"),
        ("adopt 525400aabb01 --host node-1 --no-arm", 2, "--no-arm goes with --enrol"),
        ("adopt zz --host node-8 --enrol --profile minimal", 2, "'zz' is not a MAC address"),
        ("adopt 525400aabb01 --host n --enrol --profile nope", 2, 'unknown profile "nope"'),
        ("adopt 525400aabb01", 2, "Missing option '--host'"),
    ],
)
def test_refusals(run: Run, daemon: FakeCore, args: str, code: int, words: str) -> None:
    said = run("machines", *args.split())
    assert said.code == code
    assert words in said.err
    assert set(daemon.known) == {MAC.hex, STRANGER.hex}


@pytest.mark.parametrize("args", ["list", "show x", "forget x", "adopt x --host y"])
def test_without_a_daemon_it_says_how_to_start_one(run: Run, args: str) -> None:
    said = run("machines", *args.split())
    assert said.code == 3
    assert said.err.startswith("bootstrapd: bootstrapd is not running")
    assert "`bootstrapd serve`" in said.err
    assert len(said.err.splitlines()) == 1
