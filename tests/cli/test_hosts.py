"""`bootstrapd hosts` with and without a daemon: what is written, what is said, what comes next."""

from __future__ import annotations

import json
import stat
import tomllib
from pathlib import Path

import pytest
from msgspec.structs import replace

from bootstrapd.cli import host_words
from bootstrapd.cli.host_words import STANDING
from bootstrapd.edge import folders, hostdir_edit
from bootstrapd.model import State
from bootstrapd.model.view import HostView

from .conftest import DEADLINE_S, MAC, FakeCore, Run, process

ADD = ("hosts", "add", MAC, "--name", "node-1", "--profile", "minimal")


def test_add_writes_the_file_and_says_what_comes_next(run: Run, state: Path) -> None:
    said = run(*ADD, "52-54-00-AA-BB-02", "--serial", "S1", "--label", "rack=4", "--label", "row=a=b")
    assert said.code == 0
    file = state / "hosts/node-1/host.toml"
    assert tomllib.loads(file.read_text()) == {
        "profile": "minimal",
        "match": {"mac": [MAC, "52:54:00:aa:bb:02"], "serial": "S1"},
        "labels": {"rack": "4", "row": "a=b"},
    }
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert str(file) in said.out
    assert "bootstrapd serve" in said.out


def test_add_with_a_daemon_makes_it_read_the_folder(run: Run, daemon: FakeCore) -> None:
    said = run("hosts", "add", "52:54:00:aa:bb:77", "--name", "node-7", "--profile", "minimal")
    assert said.code == 0
    assert "power it on" in said.out
    assert daemon.asked == [("reload",)]


def test_add_of_a_machine_that_was_seen_says_so(run: Run, daemon: FakeCore) -> None:
    assert "its machine was seen" in run(*ADD).out
    assert daemon.asked == [("reload",), ("arm", "node-1", "hosts add")]


def test_what_the_daemon_finds_wrong_is_noted_and_the_host_is_written(
    run: Run, daemon: FakeCore, state: Path
) -> None:
    daemon.mistakes = ["images/old: manifest.json is missing"]
    said = run(*ADD)
    assert said.code == 0
    assert said.err == "the running bootstrapd says: images/old: manifest.json is missing\n"
    assert (state / "hosts/node-1/host.toml").exists()


def test_a_host_without_identity_waits_for_adopt(run: Run) -> None:
    said = run("hosts", "add", "--name", "node-1", "--profile", "minimal")
    assert "bootstrapd machines adopt MAC --host node-1" in said.out


def test_list_without_a_daemon_reads_the_files(run: Run) -> None:
    run(*ADD)
    assert run("hosts", "list").out.splitlines() == [
        "HOST    PROFILE  STATE  ARMED  MACS               LAST SEEN",
        "node-1  minimal  -      yes    52:54:00:aa:bb:01  -",
    ]
    [host] = json.loads(run("hosts", "list", "--json").out)
    assert (host["name"], host["macs"], host["state"]) == ("node-1", [MAC], None)


def test_list_with_a_daemon_shows_states(run: Run, daemon: FakeCore) -> None:
    assert daemon.known
    said = run("hosts", "list")
    assert "live" in said.out
    assert "years ago" in said.out or "year ago" in said.out


def test_an_empty_list_is_empty_in_a_pipe_and_helps_a_person(run: Run) -> None:
    said = run("hosts", "list")
    assert (said.code, said.out) == (0, "")
    assert "bootstrapd hosts add" in said.err
    assert json.loads(run("hosts", "list", "--json").out) == []


def test_show_and_why(run: Run, daemon: FakeCore) -> None:
    assert "why        its image has no init=" in run("hosts", "show", "node-1").out
    assert run("hosts", "why", "node-1").out == "node-1: its image has no init= of this build\n"
    daemon.known.clear()
    assert "nothing that it claims has asked to boot" in run("hosts", "why", "node-1").out


def test_a_host_that_nothing_identifies_says_so_and_not_to_power_it_on() -> None:
    host = HostView(name="node-1", profile="minimal", source="/hosts/node-1/host.toml")
    (said,) = host_words.why(host)
    assert "nothing identifies its machine: `bootstrapd machines adopt MAC --host node-1`" in said
    assert "[match] of /hosts/node-1/host.toml" in said
    (said,) = host_words.why(replace(host, uuid="4c4c4544-0042-3510-8052-b4c04f4d4e32"))
    assert "power it on" in said


def test_show_json_is_the_view(run: Run) -> None:
    run(*ADD)
    assert json.loads(run("hosts", "show", "node-1", "--json").out)["profile"] == "minimal"


def test_remove_deletes_the_file_and_its_folder(run: Run, state: Path) -> None:
    run(*ADD)
    said = run("hosts", "remove", "node-1")
    assert said.code == 0
    assert not (state / "hosts/node-1").exists()


def test_remove_works_beside_a_broken_file(run: Run, state: Path) -> None:
    run(*ADD)
    (state / "hosts/broken").mkdir()
    (state / "hosts/broken/host.toml").write_text("profile =")
    assert run("hosts", "remove", "node-1").code == 0


@pytest.mark.parametrize("name", ["../etc", "a/b", "", ".", "profiles"])
def test_no_name_leads_out_of_the_folder(run: Run, name: str, state: Path) -> None:
    outside = state.parent / "etc"
    outside.mkdir()
    (outside / "host.toml").write_text("mine")
    (state / "hosts").mkdir(parents=True)
    assert run("hosts", "remove", name).code == 2
    assert run("hosts", "add", MAC, "--name", name, "--profile", "minimal").code == 2
    assert (outside / "host.toml").read_text() == "mine"
    assert list((state / "hosts").iterdir()) == []


def test_every_state_has_its_sentence() -> None:
    assert set(STANDING) == {None, *State}


def test_of_three_that_claim_one_mac_at_once_one_is_declared(state: Path) -> None:
    words = ("-m", "bootstrapd.cli", "hosts", "add", MAC, "--profile", "minimal", "--name")
    children = [process(*words, f"node-{number}", state=state) for number in range(3)]
    said = [child.communicate(timeout=DEADLINE_S)[1] for child in children]
    assert sorted(child.returncode for child in children) == [0, 2, 2], said
    assert len(list(state.glob("hosts/*/host.toml"))) == 1


def test_a_host_that_came_while_we_looked_is_seen(
    run: Run, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What three at once show by luck only: the folder is looked at again once nobody else can change it."""
    real = folders.make_folder

    def meanwhile(folder: Path) -> None:
        real(folder)
        (folder / "other").mkdir()
        (folder / "other/host.toml").write_text(f'profile = "minimal"\n[match]\nmac = ["{MAC}"]\n')

    monkeypatch.setattr(hostdir_edit, "make_folder", meanwhile)
    said = run(*ADD)
    assert (said.code, "is claimed by" in said.err) == (2, True)
    assert not (state / "hosts/node-1").exists()


def test_the_folders_that_add_makes_are_closed_to_strangers(run: Run, state: Path) -> None:
    run(*ADD)
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (state, state / "hosts")] == [0o750, 0o750]
