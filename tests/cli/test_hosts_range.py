"""`bootstrapd hosts add --count`: a range is declared whole or not at all, and armed only when told."""

from __future__ import annotations

import io
import json
import sys
import tomllib
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest
from msgspec.structs import replace

from bootstrapd.config import parse_hosts
from bootstrapd.edge import arms, hostdir, hostdir_edit

from .conftest import MAC, FakeCore, Run

RANGE = ("hosts", "add", "--name", "w-{:02}", "--profile", "disky")
THREE = """\
# rack 4
52:54:00:aa:bb:11 52:54:00:aa:bb:12   # two cards

5254.00aa.bb21
\t52-54-00-AA-BB-31
"""


@pytest.fixture(autouse=True)
def nothing_piped_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())


@pytest.fixture(autouse=True)
def folder(state: Path) -> Path:
    """A hosts folder with a profile that installs, one that wants approval, and one host."""
    put = {
        "profiles/disky.toml": 'image = "minimal"\nlayout = "single"\n',
        "profiles/careful.toml": 'image = "minimal"\nlayout = "single"\ninstall = "approve"\n',
        "profiles/mac.toml": 'system = "darwin"\n',
        "old/host.toml": f'profile = "disky"\n[match]\nmac = ["{MAC}"]\n[network]\naddress = "10.1.0.12/24"\n',
    }
    for path, text in put.items():
        (state / "hosts" / path).parent.mkdir(parents=True, exist_ok=True)
        (state / "hosts" / path).write_text(text)
    return state / "hosts"


def content(folder: Path) -> dict[str, str]:
    return {str(file): file.read_text() if file.is_file() else "" for file in folder.rglob("*")}


def waiting(state: Path) -> list[str]:
    return sorted(arm.host for arm in arms.waiting(state / "arms", lambda *_: None))


def test_a_line_is_a_host(run: Run, folder: Path) -> None:
    said = run(*RANGE, "--count", "3", "--label", "rack=4", "--address", "10.1.0.21/24", stdin=THREE)
    assert said.code == 0
    hosts = parse_hosts(hostdir.read(folder)).hosts
    assert {name: (host.macs, host.address) for name, host in hosts.items() if name != "old"} == {
        "w-01": (("52:54:00:aa:bb:11", "52:54:00:aa:bb:12"), "10.1.0.21/24"),
        "w-02": (("52:54:00:aa:bb:21",), "10.1.0.22/24"),
        "w-03": (("52:54:00:aa:bb:31",), "10.1.0.23/24"),
    }
    assert tomllib.loads((folder / "w-02/host.toml").read_text())["labels"] == {"rack": "4"}
    assert f"3 hosts are declared in {folder}: w-01 to w-03" in said.out
    assert "power the machines on" in said.out


def test_without_lines_adopt_gives_each_its_machine(run: Run, folder: Path) -> None:
    said = run(*RANGE, "--count", "2", "--start", "9")
    assert said.code == 0
    assert "bootstrapd machines adopt MAC --host w-09" in said.out
    assert (folder / "w-10/host.toml").read_text() == 'profile = "disky"\n'


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> str:
        raise AssertionError(f"nobody was asked to type ({size})")


def test_a_terminal_is_not_waited_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal())
    assert run(*RANGE, "--count", "2").code == 0


def test_a_range_is_not_armed_unless_told(run: Run, state: Path) -> None:
    said = run(*RANGE, "--count", "3", stdin=THREE)
    assert "none is armed" in said.out
    assert waiting(state) == []


def test_arm_arms_each_of_them_for_the_next_start(run: Run, state: Path) -> None:
    said = run(*RANGE, "--count", "3", "--arm", stdin=THREE)
    assert "3 of them are armed" in said.out
    assert "WILL BE ERASED" in said.out
    assert waiting(state) == ["w-01", "w-02", "w-03"]


@pytest.mark.parametrize(
    ("profile", "words"), [("careful", "wants each install approved"), ("mac", "Apple silicon cannot boot")]
)
def test_arm_is_no_consent_where_enrolling_is_none(run: Run, state: Path, profile: str, words: str) -> None:
    said = run("hosts", "add", "--name", "w-{}", "--profile", profile, "--count", "2", "--arm")
    assert said.code == 0
    assert words in said.out
    assert waiting(state) == []


def test_a_daemon_reads_the_folder_once_and_is_asked_for_each_arm(run: Run, daemon: FakeCore) -> None:
    first = daemon.hosts()[0]
    daemon.hosts = lambda: [replace(first, name=f"w-0{n}") for n in (1, 2, 3)]  # type: ignore[method-assign]
    assert run(*RANGE, "--count", "3", "--arm", stdin=THREE).code == 0
    assert daemon.asked == [("reload",), *(("arm", f"w-0{n}", "hosts add") for n in (1, 2, 3))]


def test_json_is_the_list_of_them(run: Run) -> None:
    said = run(*RANGE, "--count", "3", "--arm", "--json", stdin=THREE)
    hosts: list[dict[str, Any]] = json.loads(said.out)
    assert [(host["name"], len(host["macs"]), host["arm"]["by"]) for host in hosts] == [
        ("w-01", 2, "hosts add"),
        ("w-02", 1, "hosts add"),
        ("w-03", 1, "hosts add"),
    ]
    one = json.loads(run("hosts", "add", "--name", "one", "--profile", "disky", "--no-arm", "--json").out)
    assert (one["name"], one["arm"]) == ("one", None)


def test_nothing_is_written_and_every_reason_is_said(run: Run, folder: Path) -> None:
    run(*RANGE, "--count", "1")
    before = content(folder)
    lines = f"52:54:00:aa:bb:41 zz\n{MAC}\n52:54:00:aa:bb:41\n52:54:00:aa:bb:51 525400aabb51\n"
    said = run(*RANGE, "--count", "5", "--address", "10.1.0.10/24", "--label", "a b=c", stdin=lines)
    assert said.code == 2
    for reason in (
        "stdin, line 1: 'zz' is not a MAC address",
        "stdin, line 3: 52:54:00:aa:bb:41 is in line 1 too",
        "stdin, line 4: 52:54:00:aa:bb:51 is in it twice",
        "stdin: expected a line for each of 5 hosts (--count), found 4",
        f"/w-02/host.toml: match.mac: {MAC} is claimed by {folder}/old/host.toml too",
        "/w-03/host.toml: network.address: 10.1.0.12/24 is the address of",
        'labels."a b": expected a name',
        "host 'w-01' is declared already",
    ):
        assert reason in said.err, reason
    assert content(folder) == before


def test_what_is_wrong_with_all_alike_is_said_once(run: Run, folder: Path) -> None:
    said = run("hosts", "add", "--name", "w-{}", "--profile", "diskly", "--count", "50")
    assert said.code == 2
    assert len(said.err.splitlines()) == 1
    assert 'unknown profile "diskly"; did you mean "disky"? (and so for each of the 50 hosts)' in said.err
    assert not (folder / "w-1").exists()


def test_a_host_that_exists_alone_is_a_refusal(run: Run) -> None:
    run(*RANGE, "--count", "1")
    assert run(*RANGE, "--count", "2").code == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--name", "w", "--count", "2"), "expected one place for the number"),
        (("--name", "w-{}-{}", "--count", "2"), "expected one place for the number"),
        (("--name", "w-{:x}", "--count", "2"), "expected one place for the number"),
        (("--name", "w-{", "--count", "2"), "expected one place for the number"),
        (("--name", "w-{}"), "say how many, --count N"),
        (("--name", "w", "--start", "2"), "say how many, --count N"),
        (("--name", "W-{}", "--count", "2"), '"W-1" cannot be the name of a host'),
        (("--name", "w" * 62 + "{}", "--count", "20"), "cannot be the name of a host"),
        (("--name", "w-{}", "--count", "0"), "0 is not in the range"),
        (("--name", "w-{}", "--count", "2", "52:54:00:aa:bb:61"), "give MACs on stdin"),
        (
            ("--name", "w-{}", "--count", "2", "--uuid", "x", "--serial", "y"),
            "--uuid and --serial would be one",
        ),
        (("--name", "w-{}", "--count", "2", "--arm", "--no-arm"), "--arm and --no-arm"),
        (("--name", "w-{}", "--count", "3", "--address", "10.1.0.253/24"), "10.1.0.0/24 has 2 left"),
        (("--name", "w-{}", "--count", "3", "--address", "10.1.0.0/24"), "the name of 10.1.0.0/24 itself"),
        (("--name", "w-{}", "--count", "3", "--address", "10.1.0.1"), "with its prefix"),
        (("--name", "w-{}", "--count", "3", "--address", "255.255.255.254/31"), "has 2 left"),
        (("--name", "w", "--address", "10.1.0.1"), "network.address: expected an IPv4 address with its prefix"),
    ],
    ids=str,
)
def test_what_is_unclear_is_refused(run: Run, folder: Path, words: tuple[str, ...], expected: str) -> None:
    before = content(folder)
    said = run("hosts", "add", "--profile", "disky", *words)
    assert (said.code, said.out) == (2, "")
    assert expected in said.err
    assert content(folder) == before


def test_a_disk_that_fills_up_half_way_leaves_nothing(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = content(folder)
    written: list[Path] = []

    def put(file: Path, text: str) -> None:
        if len(written) == 2:
            raise OSError(28, "No space left on device")
        written.append(file)
        file.write_text(text)

    monkeypatch.setattr(hostdir_edit, "_put", put)
    said = run(*RANGE, "--count", "3", stdin=THREE)
    assert said.code == 3
    assert "w-03/host.toml cannot be written (No space left on device)" in said.err
    assert content(folder) == before


def test_files_that_were_laid_out_beforehand_stay(run: Run, folder: Path) -> None:
    (folder / "w-02").mkdir()
    (folder / "w-02/configuration.nix").write_text("{ }")
    assert run(*RANGE, "--count", "3").code == 0
    assert (folder / "w-02/configuration.nix").read_text() == "{ }"
    assert (folder / "w-02/host.toml").exists()


def test_two_hundred_hosts_take_about_a_second(run: Run, folder: Path) -> None:
    lines = "".join(f"52:54:00:00:{n >> 8:02x}:{n & 255:02x}\n" for n in range(1, 201))
    began = perf_counter()
    said = run(*RANGE, "--count", "200", "--address", "10.1.0.20/16", stdin=lines)
    assert said.code == 0
    assert perf_counter() - began < 20, "it should take 0.5 s; a machine that is busy gets its time"
    assert len(parse_hosts(hostdir.read(folder)).hosts) == 201
