"""`GET /v1/events?since=`: the past first, then what happens, each event once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from api_serving import DEADLINE_S, MAC, FakeCore, Rig, serving

from bootstrapd.edge.api_events import PAST_MAX
from bootstrapd.model import LocalBoot, State, Transition
from bootstrapd.model.view import EventView

# UUIDv7s of the seconds 1, 2 and 3
IDS = [f"00000000-{second * 1000:04x}-7000-8000-000000000000" for second in (1, 2, 3)]


def event(number: int, host: str = "node-1") -> EventView:
    return EventView(event=LocalBoot(id=IDS[number], machine=MAC.hex, at=float(number + 1)), host=host)


def happened(number: int, machine: str = MAC.hex) -> Transition:
    return Transition(
        LocalBoot(id=IDS[number], machine=machine, at=float(number + 1)), State.ENROLLED, State.READY
    )


async def told(rig: Rig, query: str, count: int, **headers: str) -> list[Any]:
    """The data of the first `count` events of the stream."""
    found: list[Any] = []
    async with (
        asyncio.timeout(DEADLINE_S),
        rig.client.get(f"http://localhost/v1/events{query}", headers=headers) as response,
    ):
        async for line in response.content:
            if line.startswith(b"data: "):
                found.append(json.loads(line[6:]))
            if len(found) == count and count:
                break
    return found


def core_of(*views: EventView) -> FakeCore:
    core = FakeCore()
    core.happened = list(views)
    return core


async def test_the_past_alone_ends(tmp_path: Path) -> None:
    core = core_of(event(0), event(1), event(2))
    async with serving(tmp_path, core) as rig:
        found = await told(rig, "?since=1.5&follow=0", 0)
    assert [view["event"]["id"] for view in found] == IDS[1:]
    assert (found[0]["host"], found[0]["after"]) == ("node-1", None)
    assert core.asked == [("past", 1.5, "", PAST_MAX)]


async def test_then_what_happens_and_nothing_twice(tmp_path: Path) -> None:
    core = core_of(event(0), event(1))

    async with serving(tmp_path, core) as rig:
        past = core.past

        async def meanwhile(since: float, host: str, limit: int) -> list[EventView]:
            rig.server.publish(happened(1))  # it is in the journal already
            rig.server.publish(happened(2))
            return await past(since, host, limit)

        core.past = meanwhile  # type: ignore[method-assign]
        found = await told(rig, "?since=0", 3)
    assert [view["event"]["id"] for view in found] == IDS
    assert (found[2]["host"], found[2]["after"]) == ("node-1", "ready")


async def test_a_browser_goes_on_after_the_last_event_it_has(tmp_path: Path) -> None:
    core = core_of(event(0), event(1), event(2))
    async with serving(tmp_path, core) as rig:
        found = await told(rig, "?follow=0", 0, **{"Last-Event-ID": IDS[1]})
    assert [view["event"]["id"] for view in found] == IDS[2:]
    assert core.asked == [("past", 1.0, "", PAST_MAX)]


async def test_one_hosts_events_only(tmp_path: Path) -> None:
    core = core_of(event(0), event(1, host="other"))
    async with serving(tmp_path, core) as rig:
        past = core.past

        async def meanwhile(since: float, host: str, limit: int) -> list[EventView]:
            rig.server.publish(happened(1, machine="another"))
            rig.server.publish(happened(2))
            return await past(since, host, limit)

        core.past = meanwhile  # type: ignore[method-assign]
        found = await told(rig, "?since=0&host=node-1", 2)
    assert [view["event"]["id"] for view in found] == [IDS[0], IDS[2]]


async def test_without_since_there_is_no_past(tmp_path: Path) -> None:
    core = core_of(event(0))
    async with serving(tmp_path, core) as rig:
        assert await told(rig, "?follow=0", 0) == []
    assert core.asked == []


@pytest.mark.parametrize("since", ["", "x", "nan", "inf", "-inf", "1e999", "1;2"])
async def test_a_time_that_is_none_is_said(rig: Rig, since: str) -> None:
    status, said = await rig.ask("GET", f"/v1/events?since={since}")
    assert (status, said["code"]) == (400, "CONFIG")
    assert "Unix seconds" in said["error"]
