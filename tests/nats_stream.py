"""A real nats-server for tests, the bus in front of a real journal, and what a consumer of the stream gets."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from nats.aio.client import Client

from bootstrapd.edge.bus import Bus, Terms
from bootstrapd.edge.journal import Journal
from bootstrapd.edge.nats_server import Login, NatsServer
from bootstrapd.edge.outbox import Outbox
from bootstrapd.model import AnyEvent, Noticed
from bootstrapd.wire.command import Ack, AnyCommand

DEADLINE_S = 60.0


class Published(NamedTuple):
    subject: str
    headers: dict[str, str]
    body: dict[str, Any]


async def until(is_so: Callable[[], object], deadline_s: float = DEADLINE_S) -> None:
    async with asyncio.timeout(deadline_s):
        while not is_so():  # noqa: ASYNC110 - other processes have no event to wait for
            await asyncio.sleep(0.005)


def noticed(number: int, machines: int = 5) -> Noticed:
    machine = f"52540000{number % machines:04x}"
    return Noticed(id=f"event-{number:06}", machine=machine, at=1e9 + number, code="X", reason="why")


async def nobody(_: AnyCommand) -> Ack | None:
    return None


def nobodys(_: str) -> bool:
    return False


@asynccontextmanager
async def running(folder: Path, domain: str = "test", **more: Any) -> AsyncIterator[NatsServer]:
    server = NatsServer(folder, domain, **more)
    await server.start()
    try:
        yield server
    finally:
        await server.close()


@asynccontextmanager
async def journal_at(path: Path, events: Iterable[AnyEvent] = ()) -> AsyncIterator[Journal]:
    journal = Journal(path)
    await journal.start()
    try:
        await asyncio.gather(*(journal.append(event) for event in events))
        yield journal
    finally:
        await journal.close()


@asynccontextmanager
async def bus_to(
    server: NatsServer | Login,
    journal: Journal,
    terms: Terms = Terms(),  # noqa: B008 - a frozen value
    counters: Counter[str] | None = None,
    handler: Callable[[AnyCommand], Any] = nobody,
    owns: Callable[[str], bool] = nobodys,
) -> AsyncIterator[Bus]:
    bus = Bus(Outbox(journal), server, terms, Counter() if counters is None else counters, handler, owns)
    await bus.start()
    try:
        yield bus
    finally:
        await bus.close()


async def drained(bus: Bus) -> None:
    await until(lambda: bus.view().is_connected and not bus.view().lag)


@asynccontextmanager
async def consumer(server: NatsServer) -> AsyncIterator[Client]:
    client = Client()
    await client.connect(servers=[await server.url()], token=server.token, allow_reconnect=False)
    try:
        yield client
    finally:
        await client.close()


async def everything(server: NatsServer, stream: str = "DEPLOYMENT_EVENTS") -> list[Published]:
    """What a consumer gets that reads the stream from its start."""
    async with consumer(server) as client:
        js = client.jetstream()
        count = (await js.stream_info(stream)).state.messages
        pull = await js.pull_subscribe("", stream=stream)
        found: list[Published] = []
        while len(found) < count:
            for message in await pull.fetch(min(1000, count - len(found)), timeout=10):
                found.append(Published(message.subject, message.headers or {}, json.loads(message.data)))
                await message.ack()
        return found


def sequences(published: Iterable[Published]) -> list[int]:
    return [message.body["sequence"] for message in published]


def in_order_and_once(published: list[Published], ids: list[str]) -> None:
    """The stream is exactly these events, each aggregate's in their order."""
    assert sorted(message.body["event_id"] for message in published) == sorted(ids)
    by_machine: dict[str, list[int]] = {}
    for message in published:
        by_machine.setdefault(message.body["aggregate_id"], []).append(message.body["sequence"])
    for numbers in by_machine.values():
        assert numbers == sorted(numbers)
