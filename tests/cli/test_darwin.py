"""A Mac is declared, listed and left alone: every command that a person might try says so, and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from bootstrapd.edge import arms

from .conftest import MAC, FakeCore, Run

ADD = ("hosts", "add", MAC, "--name", "mac-1", "--profile", "desk")
SAID = (
    "Apple silicon cannot boot over the network",
    "darwin-rebuild switch --flake path:$HOME/hosts#mac-1",
    "ssh -t ADMIN@mac-1",
)


@pytest.fixture(autouse=True)
def profile(state: Path) -> None:
    file = state / "hosts/profiles/desk.toml"
    file.parent.mkdir(parents=True)
    file.write_text('system = "darwin"\n')


@pytest.mark.parametrize("words", [(), ("--no-arm",)])
def test_enrolling_says_how_it_is_deployed_and_arms_nobody(
    run: Run, state: Path, words: tuple[str, ...]
) -> None:
    said = run(*ADD, *words)
    assert said.code == 0
    assert all(part in said.out for part in (*SAID, f"rsync -a {state}/hosts/ ADMIN@mac-1:hosts/"))
    assert "power" not in said.out
    assert arms.waiting(state / "arms", lambda *_: None) == []
    assert not list(state.rglob("mac-1.json"))


def test_a_running_daemon_is_told_of_it_and_not_to_arm_it(run: Run, daemon: FakeCore) -> None:
    assert run(*ADD).code == 0
    assert daemon.asked == [("reload",)]


def test_it_is_listed_and_shown_with_why(run: Run) -> None:
    run(*ADD)
    assert "mac-1  desk" in run("hosts", "list").out
    shown = run("hosts", "show", "mac-1").out
    assert all(part in shown for part in ("darwin", *SAID))
    assert json.loads(run("hosts", "show", "mac-1", "--json").out)["system"] == "darwin"


def test_explain_without_a_daemon_is_the_same_silence_at_every_door(run: Run) -> None:
    run(*ADD)
    rows = json.loads(run("explain", MAC, "--json").out)
    assert len(rows) > 6
    assert {row["rule"] for row in rows} == {"DARWIN: system = darwin"}
    assert all(part in row["reason"] for row in rows for part in SAID)


def test_check_config_notes_it_and_asks_for_no_image(run: Run) -> None:
    run(*ADD)
    said = run("check-config")
    assert said.code == 0
    assert all(part in said.err for part in SAID)
    assert "image" not in said.err


def test_arm_is_refused_before_anybody_is_asked_and_why_says_the_same(run: Run, daemon: FakeCore) -> None:
    mac = replace(daemon.hosts()[0], name="mac-1", system="darwin", why="Macs are left alone", state=None)
    daemon.hosts = lambda: [mac]  # type: ignore[method-assign]
    said = run("hosts", "arm", "mac-1", "--yes")
    assert (said.code, said.out) == (1, "")
    assert "Macs are left alone" in said.err
    assert daemon.asked == []
    assert run("hosts", "why", "mac-1").out == "mac-1: Macs are left alone\n"


@pytest.mark.parametrize("key", ["image", "layout"])
def test_its_profile_names_nothing_to_boot_or_install(run: Run, state: Path, key: str) -> None:
    (state / "hosts/profiles/desk.toml").write_text(f'system = "darwin"\n{key} = "x"\n')
    said = run("check-config")
    assert said.code == 2
    assert f'profiles/desk.toml: {key}: a Mac (system = "darwin") boots no image' in said.err


def test_profiles_show_it(run: Run) -> None:
    shown = run("profiles", "show", "desk").out
    assert "system" in shown
    assert "local boot" not in shown
