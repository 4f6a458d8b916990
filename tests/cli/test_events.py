"""`bootstrapd events`: the past, what happens, a daemon that is restarted; words and JSON."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bootstrapd.cli import events as command
from bootstrapd.errors import EdgeError
from bootstrapd.model import (
    Armed,
    ChosenDisk,
    Claimed,
    Failed,
    LocalBoot,
    Progressed,
    Registered,
    Rejected,
    State,
)
from bootstrapd.model.hardware import Hardware
from bootstrapd.model.view import EventView

from .conftest import DEADLINE_S, MAC, FakeCore, Run, process

NOW = time.time()


def view(event: Any, **fields: Any) -> EventView:
    return EventView(event=event, **{"host": "node-1", **fields})


def boot(number: int, at: float) -> EventView:
    return view(LocalBoot(id=f"id-{number}", machine=MAC.hex, at=at))


def test_the_past_is_told_a_line_each(run: Run, daemon: FakeCore) -> None:
    of: dict[str, Any] = {"id": "1", "machine": MAC.hex, "at": NOW - 60}
    disk = ChosenDisk(role="main", path="/dev/disk/by-id/x", size_bytes=10**12, serial="S1")
    daemon.happened = [
        view(
            Registered(**of, address="10.0.0.5", hardware=Hardware()), before=State.NETBOOTING, after=State.LIVE
        ),
        view(Rejected(**of, reasons=("too small", "too slow\x1b[2J"))),
        view(Claimed(**of, host="node-1", arm="a", disks=(disk,))),
        view(Progressed(**of, phase="install", done=1, total=4, unit="paths", line="copying")),
        view(Failed(**of, stage="disko", cause="it broke", hint="look", lines=("not shown",))),
        view(Armed(**(of | {"machine": ""}), host="node-1", arm="secret-id", by="hosts arm")),
    ]
    said = run("events")
    for line, words in zip(
        said.out.splitlines(),
        (
            "Registered    netbooting -> live  10.0.0.5",
            "Rejected      too small; too slow·[2J",
            "Claimed       main: /dev/disk/by-id/x, 1.0 TB, serial S1",
            "Progressed    install  25 % (1 of 4 paths)  copying",
            "Failed        disko  it broke  look",
            "Armed         hosts arm",
        ),
        strict=True,
    ):
        assert line.endswith(words)
        assert "node-1" in line
    assert daemon.asked[0][:1] == ("past",)
    assert "\x1b" not in said.out


def test_json_is_one_event_a_line(run: Run, daemon: FakeCore) -> None:
    daemon.happened = [boot(1, NOW - 5), boot(2, NOW - 4)]
    told = [json.loads(line) for line in run("events", "--json").out.splitlines()]
    assert [(view["event"]["id"], view["host"]) for view in told] == [("id-1", "node-1"), ("id-2", "node-1")]


@pytest.mark.parametrize(("since", "seconds"), [("90s", 90), ("15min", 900), ("2h", 7200), ("3 d", 259_200)])
def test_how_far_back(run: Run, daemon: FakeCore, since: str, seconds: float) -> None:
    said = run("events", "--since", since, "--host", "node-1")
    _, begin, host, _ = daemon.asked[0]
    assert isinstance(begin, float)
    assert abs(time.time() - seconds - begin) < DEADLINE_S
    assert host == "node-1"
    assert (said.code, said.out, said.err) == (0, "", f"nothing happened in the last {since} to node-1\n")


@pytest.mark.parametrize("since", ["", "x", "5", "-5s", "5 weeks", "5s5s", "9" * 20 + "s"])
def test_a_time_that_is_none_is_said(run: Run, daemon: FakeCore, since: str) -> None:
    said = run("events", "--since", since)
    assert said.code == 2
    assert "expected a time such as" in said.err
    assert daemon.asked == []


def test_a_host_that_is_none_is_said(run: Run, daemon: FakeCore) -> None:
    assert run("events", "--host", "nobody").code == 1
    assert daemon.asked == []


@pytest.mark.parametrize("more", [(), ("--follow",)])
def test_without_a_daemon(run: Run, more: tuple[str, ...]) -> None:
    assert run("events", *more).code == 3


def test_followed_until_stopped(daemon: FakeCore, state: Any) -> None:
    daemon.happened = [boot(1, time.time())]
    with process("-m", "bootstrapd.cli", "events", "--follow", state=state) as child:
        assert child.stdout is not None
        assert "LocalBoot" in child.stdout.readline()
        child.send_signal(signal.SIGINT)
        assert child.wait(DEADLINE_S) == 130


class Broken:
    """Streams as they come off a daemon that is stopped and started again."""

    def __init__(self, *streams: Iterator[EventView | None] | Exception) -> None:
        self.streams = list(streams)
        self.asked: list[dict[str, str]] = []

    def stream(self, _path: str, _kind: type, query: dict[str, str]) -> Iterator[EventView | None]:
        self.asked.append(query)
        if not self.streams:
            raise KeyboardInterrupt
        found = self.streams.pop(0)
        if isinstance(found, Exception):
            raise found
        yield from found


def test_a_restarted_daemon_is_asked_for_the_rest_and_nothing_comes_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "AGAIN_S", 0.0)
    away = EdgeError("bootstrapd is not running")
    first, second, third = boot(1, 10.0), boot(2, 11.0), boot(3, 11.0)
    broken = Broken(iter([None, first, second]), away, away, iter([second, third, None]))
    told: list[EventView] = []

    def listen() -> None:
        for found in command._following(broken, "", 5.0):  # type: ignore[arg-type]
            told.append(found)  # noqa: PERF402 - what came before it was stopped counts

    with pytest.raises(KeyboardInterrupt):
        listen()
    assert told == [first, second, third]
    assert [query["since"] for query in broken.asked] == ["5.000", "11.000", "11.000", "11.000", "11.000"]
    assert capsys.readouterr().err == "bootstrapd is not running; waiting for it\n"
