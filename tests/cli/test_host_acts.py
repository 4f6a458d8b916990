"""`bootstrapd hosts arm | disarm | abort | retry`, what `why` says of an install, and enrolling as consent."""

from __future__ import annotations

import json
import stat
import sys
import time
from pathlib import Path

import click
import pytest
from msgspec.structs import replace

from bootstrapd.cli import host_words
from bootstrapd.edge import arms
from bootstrapd.errors import EdgeError, RefusedError
from bootstrapd.model import ChosenDisk, State, WaitingArm, decoder
from bootstrapd.model.view import ArmView, BootView, FailedView, HostView, ProgressView, StageView

from .conftest import MAC, FakeCore, Run

DISK = ChosenDisk(
    role="main",
    path="/dev/disk/by-id/nvme-Samsung_SSD_980_S5",
    size_bytes=1_000_204_886_016,
    model="Samsung SSD 980",
    serial="S5\x1b[31m",
    type="nvme",
    filesystems=("ext4", "LVM2_member"),
)
PROFILE = 'image = "minimal"\nlayout = "single"\n'
ADD = ("hosts", "add", MAC, "--name", "node-1", "--profile", "disky")


@pytest.fixture
def armable(daemon: FakeCore) -> FakeCore:
    """A daemon whose host has chosen disks."""
    seen = daemon.hosts()[0]
    daemon.hosts = lambda: [replace(seen, disks=(DISK,), fingerprint="SHA256:abc", source="x/host.toml")]  # type: ignore[method-assign]
    return daemon


@pytest.fixture
def profile(state: Path) -> Path:
    file = state / "hosts/profiles/disky.toml"
    file.parent.mkdir(parents=True)
    file.write_text(PROFILE)
    return file


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, answer: bool) -> list[str]:
    asked: list[str] = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)

    def confirm(question: str) -> bool:
        asked.append(question)
        return answer

    monkeypatch.setattr(click, "confirm", confirm)
    return asked


# Arming


def test_arm_shows_what_is_erased_and_arms(run: Run, armable: FakeCore) -> None:
    said = run("hosts", "arm", "node-1", "--yes")
    assert said.code == 0
    assert armable.asked == [("arm", "node-1", "hosts arm", "SHA256:abc")]
    for words in (
        "Samsung SSD 980",
        "serial S5·[31m",
        "1.0 TB",
        "holds ext4 LVM2_member",
        DISK.path,
        "SHA256:abc",
    ):
        assert words in said.out
    assert "bootstrapd hosts disarm node-1" in said.out


def test_where_nobody_can_be_asked_it_wants_yes(run: Run, armable: FakeCore) -> None:
    said = run("hosts", "arm", "node-1")
    assert (said.code, said.err) == (
        1,
        "bootstrapd: node-1 is not armed: nobody can be asked here, so add --yes\n",
    )
    assert armable.asked == []


@pytest.mark.parametrize("answer", [True, False])
def test_a_person_is_asked(run: Run, armable: FakeCore, monkeypatch: pytest.MonkeyPatch, answer: bool) -> None:
    asked = at_a_terminal(monkeypatch, answer)
    said = run("hosts", "arm", "node-1")
    assert asked == ["Erase its disks and install node-1?"]
    assert said.code == (0 if answer else 1)
    assert armable.asked == ([("arm", "node-1", "hosts arm", "SHA256:abc")] if answer else [])


def test_disks_that_are_not_known_yet_are_said_to_be(run: Run, daemon: FakeCore) -> None:
    assert daemon.known
    said = run("hosts", "arm", "node-1", "--yes")
    assert "is known once its machine has registered" in said.out


@pytest.mark.parametrize("word", ["arm", "disarm", "abort", "retry"])
def test_refusals_and_strangers(run: Run, armable: FakeCore, word: str) -> None:
    yes = ("--yes",) if word == "arm" else ()
    said = run("hosts", word, "nobody", *yes)
    assert (said.code, said.out) == (1, "")
    assert "there is no host 'nobody'" in said.err
    armable.refusal = RefusedError("node-1 is being installed (disko)", "MID_INSTALL")
    said = run("hosts", word, "node-1", *yes)
    assert (said.code, said.err) == (1, "bootstrapd: node-1 is being installed (disko)\n")


@pytest.mark.parametrize("word", ["arm", "disarm", "abort", "retry"])
def test_without_a_daemon_it_says_so(run: Run, word: str) -> None:
    said = run("hosts", word, "node-1")
    assert said.code == 3
    assert "bootstrapd is not running" in said.err


@pytest.mark.parametrize("word", ["arm", "disarm", "abort", "retry"])
def test_json_is_the_host_and_nothing_else(run: Run, armable: FakeCore, word: str) -> None:
    said = run("hosts", word, "node-1", "--json", *(("--yes",) if word == "arm" else ()))
    assert json.loads(said.out)["name"] == "node-1"
    assert armable.asked[-1][0] == word


def test_abort_and_retry_say_where_it_stands(run: Run, armable: FakeCore) -> None:
    assert armable.known
    assert run("hosts", "abort", "node-1").out.startswith("the install of node-1 is stopped\nnode-1: its image")
    assert run("hosts", "retry", "node-1").out.startswith("node-1 is tried again\n")


# Enrolling


def test_add_arms_once_over_the_api(run: Run, daemon: FakeCore, profile: Path) -> None:
    assert profile.exists()
    said = run(*ADD)
    assert said.code == 0
    assert daemon.asked == [("reload",), ("arm", "node-1", "hosts add")]
    assert "WILL BE ERASED" in said.out
    assert "undo with: bootstrapd hosts disarm node-1" in said.out


def test_add_without_a_daemon_leaves_the_arm_for_it(run: Run, state: Path, profile: Path) -> None:
    assert profile.exists()
    before = time.time()
    assert "WILL BE ERASED" in run(*ADD).out
    file = state / "arms/node-1.json"
    left = decoder(WaitingArm).decode(file.read_bytes())
    assert (left.by, before <= left.at <= time.time(), len(left.arm)) == ("hosts add", True, 32)
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o750)
    assert [arm.host for arm in arms.waiting(state / "arms", lambda *_: None)] == ["node-1"]


def test_list_shows_who_is_armed(run: Run, profile: Path) -> None:
    """Without a daemon, what waits for one counts."""
    assert profile.exists()
    run(*ADD)
    run("hosts", "add", "--name", "node-2", "--profile", "disky", "--no-arm")
    rows = [line.split()[:4] for line in run("hosts", "list").out.splitlines()]
    assert rows == [
        ["HOST", "PROFILE", "STATE", "ARMED"],
        ["node-1", "disky", "-", "yes"],
        ["node-2", "disky", "-", "-"],
    ]
    armed, other = json.loads(run("hosts", "list", "--json").out)
    assert (armed["arm"]["by"], other["arm"]) == ("hosts add", None)
    assert time.time() - armed["arm"]["at"] < 600


def test_an_arm_that_cannot_be_read_is_said_and_stays_out_of_the_pipe(
    run: Run, state: Path, profile: Path
) -> None:
    assert profile.exists()
    run(*ADD)
    (state / "arms/node-1.json").write_text("{")
    said = run("hosts", "list", "--json")
    assert json.loads(said.out)[0]["arm"] is None
    assert "whether node-1 is armed is not known" in said.err


def test_list_of_a_daemon_fits_80_columns(run: Run, armable: FakeCore) -> None:
    seen = armable.hosts()[0]
    arm = ArmView(id="a", at=time.time(), by="hosts add")
    armable.hosts = lambda: [replace(seen, arm=arm, state=State.NETBOOTING)]  # type: ignore[method-assign]
    lines = run("hosts", "list").out.splitlines()
    assert lines[1].split()[:4] == ["node-1", "minimal", "netbooting", "yes"]
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("undo", [("disarm", "node-1"), ("remove", "node-1")])
def test_what_waits_can_be_undone_without_a_daemon(
    run: Run, state: Path, profile: Path, undo: tuple[str, ...]
) -> None:
    assert profile.exists()
    run(*ADD)
    assert run("hosts", *undo).code == 0
    assert list((state / "arms").iterdir()) == []


@pytest.mark.parametrize("with_daemon", [True, False])
@pytest.mark.parametrize(
    ("more", "text", "words"),
    [
        (("--no-arm",), PROFILE, "it is not armed: nothing erases its disks until"),
        ((), PROFILE + 'install = "approve"\n', "wants each install approved"),
        ((), 'image = "minimal"\n', "has no layout: nothing is installed"),
    ],
)
def test_what_is_not_armed(
    run: Run,
    state: Path,
    profile: Path,
    request: pytest.FixtureRequest,
    with_daemon: bool,
    more: tuple[str, ...],
    text: str,
    words: str,
) -> None:
    profile.write_text(text)
    core: FakeCore | None = request.getfixturevalue("daemon") if with_daemon else None
    said = run(*ADD, *more)
    assert said.code == 0
    assert words in said.out
    assert "ERASED" not in said.out
    assert not (state / "arms").exists()
    assert core is None or core.asked == [("reload",)]


def test_a_host_that_could_not_be_armed_is_declared_all_the_same(
    run: Run, daemon: FakeCore, profile: Path
) -> None:
    assert profile.exists()
    daemon.refusal = EdgeError("the journal's disk is full")
    said = run(*ADD)
    assert said.code == 0
    assert "it is not armed (the journal's disk is full)" in said.out


@pytest.mark.parametrize("name", ["../../etc/x", "a/b", "", "."])
def test_no_name_leads_out_of_the_arms(run: Run, state: Path, name: str) -> None:
    (state / "etc").mkdir(parents=True)
    (state / "etc/x.json").write_text("{}")
    assert run("hosts", "disarm", name).code == 2
    assert (state / "etc/x.json").exists()


# What is said


def host(**fields: object) -> HostView:
    return HostView(name="node-1", profile="disky", **fields)  # type: ignore[arg-type]


FAILED = FailedView(stage="disko", cause="sgdisk failed", hint="look at the disk", lines=("one", "two"))


def test_why_of_a_failure_has_the_hint_the_next_try_and_the_last_lines() -> None:
    failed = host(
        state=State.FAILED,
        why="failed at disko: sgdisk failed",
        failure=replace(FAILED, retry_at=time.time() + 290),
    )
    assert list(host_words.why(failed)) == [
        "node-1: failed at disko: sgdisk failed",
        "next: look at the disk",
        "next: it is tried again by itself in 4 min; `bootstrapd hosts retry node-1`: now",
        "the last lines of disko:",
        "  one",
        "  two",
    ]


@pytest.mark.parametrize("arm", [None, ArmView(id="a", at=1.0, by="hosts arm", attempts=3)])
def test_why_of_a_failure_without_another_try_names_the_command(arm: ArmView | None) -> None:
    said = "\n".join(host_words.why(host(state=State.FAILED, failure=FAILED, arm=arm)))
    assert f"`bootstrapd hosts {'retry' if arm else 'arm'} node-1`" in said
    assert "nothing happens by itself" in said


def test_why_of_a_rejection_has_every_reason_once() -> None:
    said = list(host_words.why(host(state=State.REJECTED, why="a; b", rejected=("a", "b"))))
    assert said[:3] == [
        "node-1: its machine is not what its files ask for, for 2 reasons:",
        "  - a",
        "  - b",
    ]


def test_an_old_failure_of_a_ready_host_is_history() -> None:
    assert list(host_words.why(host(state=State.READY, failure=FAILED))) == [
        "node-1: its machine runs from its own disk"
    ]


def test_show_has_the_boots_in_seconds_and_the_runs(run: Run, daemon: FakeCore) -> None:
    stages = (StageView(name="asked", at=100.0), StageView(name="disko", at=161.5, detail="x\x1b"))
    shown = host(
        state=State.INSTALLING,
        machine=MAC.hex,
        run_started=160.0,
        phase="disko",
        progress=ProgressView(done=412, total=1030, unit="paths", line="copying"),
        arm=ArmView(id="a", at=1.0, by="hosts add", is_spending=True, attempts=2),
        disks=(DISK,),
        boots=(BootView(id="b", started=100.0, stages=stages),),
        fingerprint="SHA256:abc",
    )
    daemon.hosts = lambda: [shown]  # type: ignore[method-assign]
    said = run("hosts", "show", "node-1").out
    lines = [line.split() for line in said.splitlines()]
    assert ["1", "+0.0", "s", "-", "asked", "-"] in [[line[0], *line[2:]] for line in lines if line]
    assert ["1", "+61.5", "s", "+1.5", "s", "disko", "x·"] in [[line[0], *line[2:]] for line in lines if line]
    for words in ("disko, 40 % (412 of 1030 paths): copying", "disks erased 2 times under it", DISK.path):
        assert words in said


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (ProgressView(), ""),
        (ProgressView(done=7, unit="paths"), "7 paths"),
        (ProgressView(done=1, total=2, unit="steps"), "50 % (1 of 2 steps)"),
        (ProgressView(done=5_000_000, total=1_000_000_000, unit="bytes"), "0 % (5.0 MB of 1.0 GB)"),
        (ProgressView(done=9, total=3, unit="paths"), "100 % (9 of 3 paths)"),
    ],
)
def test_how_far_it_is(now: ProgressView, words: str) -> None:
    assert host_words.share(now) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (119.9, "119 s"),
        (120, "2 min"),
        (7500, "2 h 05 min"),
        (50_000, "13 h"),
        (400_000, "4 days"),
    ],
)
def test_how_long(seconds: float, words: str) -> None:
    assert host_words.span(seconds) == words
