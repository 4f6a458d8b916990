"""The operator's event stream: order, secrets, listeners that fall behind, and its end."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import aiohttp
import pytest
from api_serving import DEADLINE_S, MAC, FakeCore, Rig, serving

from bootstrapd.edge import feed as feed_module
from bootstrapd.edge.api import MAX_SUBSCRIBERS, ApiServer
from bootstrapd.model import BootAsked, Door, LocalBoot, Stage, State, TokenIssued, Transition


def transition(number: int = 1) -> Transition:
    event = LocalBoot(id=f"0190-{number}", machine=MAC.hex, at=float(number))
    return Transition(event, State.ENROLLED, State.READY)


async def read_until(reader: aiohttp.StreamReader, end: bytes) -> bytes:
    async with asyncio.timeout(DEADLINE_S):
        return await reader.readuntil(end)


async def test_events_arrive_in_order_with_id_and_kind(rig: Rig) -> None:
    async with rig.client.get("http://localhost/v1/events") as response:
        assert response.content_type == "text/event-stream"
        await read_until(response.content, b": listening\n\n")
        rig.server.publish(transition(1))
        rig.server.publish(transition(2))
        first = (await read_until(response.content, b"\n\n")).decode().splitlines()
        assert first[:2] == ["id: 0190-1", "event: LocalBoot"]
        data = json.loads(first[2].removeprefix("data: "))
        assert (data["before"], data["after"], data["event"]["machine"]) == ("enrolled", "ready", MAC.hex)
        assert b"0190-2" in await read_until(response.content, b"\n\n")


async def test_tokens_are_never_shown(rig: Rig) -> None:
    token = TokenIssued(
        id="t", machine=MAC.hex, at=1.0, secret="hush", overlay="o", address="10.0.0.2", expires=2.0
    )
    async with rig.client.get("http://localhost/v1/events") as response:
        await read_until(response.content, b": listening\n\n")
        rig.server.publish(Transition(token, State.NETBOOTING, State.NETBOOTING))
        rig.server.publish(transition())
        assert b"hush" not in await read_until(response.content, b"\n\n")


async def test_a_listener_that_falls_behind_is_told_and_let_go(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "MAX_WAITING", 10)
    async with rig.client.get("http://localhost/v1/events") as response:
        await read_until(response.content, b": listening\n\n")
        for number in range(30):  # no await in between: the stream cannot drain
            rig.server.publish(transition(number))
        async with asyncio.timeout(DEADLINE_S):
            rest = await response.content.read()
    assert rest == b"event: lost\ndata: {}\n\n"
    assert rig.counters["api.events.lost"] == 1


async def test_listeners_are_bounded(rig: Rig) -> None:
    opened = [await asyncio.open_unix_connection(str(rig.path)) for _ in range(MAX_SUBSCRIBERS)]
    for reader, writer in opened:
        writer.write(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(DEADLINE_S):
            await reader.readuntil(b"listening")
    status, body = await rig.ask("GET", "/v1/events")
    assert (status, body["code"]) == (503, "ENVIRONMENT")
    for _, writer in opened:
        writer.close()


async def test_closing_the_server_ends_the_streams(tmp_path: Path) -> None:
    async with serving(tmp_path, FakeCore()) as rig:
        response = await rig.client.get("http://localhost/v1/events")
        await read_until(response.content, b": listening\n\n")
        rig.server.publish(transition())
        async with asyncio.timeout(DEADLINE_S):
            await rig.server.close()
            assert (await response.content.read()).startswith(b"id: 0190-1")


async def test_quiet_streams_beat_so_that_dead_listeners_are_found() -> None:
    chunks = feed_module.Subscriber().chunks(heartbeat_s=0.001)
    async with asyncio.timeout(DEADLINE_S):
        assert [await anext(chunks), await anext(chunks)] == [b": listening\n\n", b":\n\n"]


def test_publishing_to_nobody_costs_nothing() -> None:
    asked = BootAsked(id="1", machine=MAC.hex, at=1.0, mac=MAC, door=Door.DHCP, stage=Stage.FIRMWARE)
    ApiServer(Path("unused"), None, Counter()).publish(Transition(asked, None, State.SEEN))  # type: ignore[arg-type]
