"""`bootstrapd watch`: a line a change in a pipe, a screen on a terminal, and a daemon that goes away."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from bootstrapd.cli import watch as command
from bootstrapd.errors import EdgeError
from bootstrapd.model import State
from bootstrapd.model.view import ArmView, FailedView, HostView, ProgressView

from .conftest import DEADLINE_S, FakeCore, Run, process

Show = Callable[..., tuple[str, str]]


def host(name: str = "node-1", **fields: object) -> HostView:
    return HostView(name=name, profile="p", **fields)  # type: ignore[arg-type]


def at(done: int) -> HostView:
    return host(
        state=State.INSTALLING, phase="install", progress=ProgressView(done=done, total=100, unit="paths")
    )


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Show:
    """Watch a daemon that knows these hosts, one list after the other, then is stopped by hand."""

    def show(
        first: list[HostView], *later: list[HostView] | Exception, as_json: bool = False
    ) -> tuple[str, str]:
        coming: Iterator[list[HostView] | Exception] = iter(later)

        def hosts(_api: object) -> list[HostView]:
            found = next(coming, KeyboardInterrupt())
            if isinstance(found, BaseException):
                raise found
            return found

        monkeypatch.setattr(command, "_hosts", hosts)
        monkeypatch.setattr(command, "EVERY_S", 0.0)
        with pytest.raises(KeyboardInterrupt):
            command._lines(None, first, as_json=as_json)  # type: ignore[arg-type]
        said = capsys.readouterr()
        return said.out, said.err

    return show


def told(out: str) -> list[str]:
    """The lines without their time."""
    return [" ".join(line.split()[1:]) for line in out.splitlines()]


def test_in_a_pipe_each_change_is_a_line(show: Show) -> None:
    out, _ = show([host()], [host()], [at(4)], [at(9)], [at(11)], [host(state=State.READY)])
    assert told(out) == [
        "node-1 not seen",
        "node-1 installing install, 4 % (4 of 100 paths)",
        "node-1 installing install, 11 % (11 of 100 paths)",
        "node-1 ready",
    ]


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (host(state=State.FAILED, failure=FailedView(stage="disko", cause="it broke")), "disko: it broke"),
        (host(state=State.REJECTED, why="too small\x1b"), "too small·"),
        (host(arm=ArmView(id="a", at=1.0, by="x")), "armed: its next netboot erases and installs"),
        (host(state=State.READY, failure=FailedView(stage="disko", cause="it broke")), "ready"),
    ],
)
def test_what_is_wrong_is_said(show: Show, seen: HostView, words: str) -> None:
    out, _ = show([seen])
    assert told(out)[0].endswith(words)


def test_json_is_one_host_a_line(show: Show) -> None:
    out, _ = show([host()], [host()], [at(4)], as_json=True)
    assert [json.loads(line)["phase"] for line in out.splitlines()] == ["", "install"]


def test_a_daemon_that_goes_away_is_said_once_and_waited_for(show: Show) -> None:
    away = EdgeError("bootstrapd is not running")
    out, err = show([host()], away, away, [host(state=State.LIVE)])
    assert told(out) == ["node-1 not seen", "node-1 live"]
    assert err == "bootstrapd is not running\n"


def screen(hosts: list[HostView], height: int = 24, problem: str = "", width: int = 80) -> list[str]:
    console = Console(width=width, height=height, force_terminal=False)
    with console.capture() as shown:
        console.print(command._screen(hosts, height, problem))
    return [line.rstrip() for line in shown.get().splitlines()]


def test_the_screen_has_what_wants_a_person_on_top_and_a_bar() -> None:
    failed = host("b", state=State.FAILED, failure=FailedView(stage="disko", cause="it broke " * 20))
    lines = screen([host("a", state=State.READY), at(50), failed, host("c")])
    assert lines[0].endswith("4 machines: 1 failed, 1 installing, 1 ready, 1 not seen")
    assert [line.split()[0] for line in lines[2:]] == ["b", "node-1", "a", "c"]
    assert "━━━━━━━───────  50 % install" in lines[3]
    assert all(len(line) <= 80 for line in lines)


def test_a_small_terminal_shows_the_first_and_counts_the_rest() -> None:
    lines = screen([host(f"h{number:03}") for number in range(100)], height=10)
    assert len(lines) <= 10
    assert lines[-1] == "and 94 more"


def test_the_screen_says_when_the_daemon_is_away() -> None:
    assert screen([host()], problem="bootstrapd is not running")[0] == "bootstrapd is not running"


def test_it_also_shows_machines_that_no_host_claims(daemon: FakeCore, state: Path) -> None:
    assert daemon.known
    with process("-m", "bootstrapd.cli", "watch", state=state) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline(), child.stdout.readline()]
        child.send_signal(signal.SIGINT)
        assert child.wait(DEADLINE_S) == 130
    assert [" ".join(line.split()[1:3]) for line in lines] == ["node-1 live", "525400aabb99 seen"]


def test_without_a_daemon(run: Run) -> None:
    assert run("watch").code == 3
