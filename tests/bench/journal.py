"""The journal and the way to NATS: `publish_rps`, `replay_s` and `snapshot_start_s` of 1,000,000 events.

A start is measured to the registry as it was: every event applied, or the snapshot restored and what came after
it applied. The peers: nats-server's own client publishing as many messages without a journal; SQLite reading as
many rows without decoding them.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from nats.aio.client import Client

from bootstrapd.daemon import assemble
from bootstrapd.daemon.appliance import Appliance
from bootstrapd.edge import journal_file, journal_keep
from bootstrapd.edge.bus import Bus, Terms
from bootstrapd.edge.journal import Journal
from bootstrapd.edge.nats_server import NatsServer
from bootstrapd.edge.outbox import Outbox
from bootstrapd.model import (
    AnyEvent,
    BootAsked,
    ChainSent,
    Door,
    HostBook,
    ImageSent,
    Mac,
    Registered,
    ScriptSent,
    Stage,
    State,
    encode,
)
from bootstrapd.policy.boot import Setup
from bootstrapd.policy.match import index
from bootstrapd.policy.registry import Registry
from bootstrapd.wire.command import Ack, AnyCommand
from tests.bench.register import KEY, hardware
from tests.bench.rows import Row

EVENTS: Final = 1_000_000
PUBLISHED: Final = 20_000
MACHINES: Final = 1000
BOOT: Final = 5
AFTER: Final = 50_000  # events since the last snapshot
AT_ONCE: Final = 256


def measure() -> dict[str, Row]:
    """All of it, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="bootstrapd-bench-") as folder:
        path = Path(folder) / "journal.db"
        fill(path)
        return {**_reading(path), **asyncio.run(_publishing(Path(folder)))}


def event(number: int) -> AnyEvent:
    """Boots of five events each, to the registration, of a thousand machines."""
    machine = f"52540000{number // BOOT % MACHINES:04x}"
    common: dict[str, Any] = {
        "id": f"{number:08x}-0000-7000-8000-000000000000",
        "machine": machine,
        "at": 1e9 + number,
    }
    boot = f"{number // BOOT * BOOT:08x}-0000-7000-8000-000000000000"
    match number % BOOT:
        case 0:
            mac = Mac.of(bytes.fromhex(machine))
            return BootAsked(
                **common, boot=boot, mac=mac, door=Door.DHCP, stage=Stage.FIRMWARE, arch=7, host="w"
            )
        case 1:
            return ChainSent(**common, boot=boot, program="snponly.efi", door=Door.TFTP)
        case 2:
            return ScriptSent(**common, boot=boot, template="image", image="installer")
        case 3:
            return ImageSent(**common, boot=boot, image="installer")
    had = hardware(number // BOOT % MACHINES)
    return Registered(**common, boot=boot, address="10.0.0.9", hardware=had, host_key=KEY)


def fill(path: Path, count: int = EVENTS) -> None:
    """A journal of so many events, the last AFTER of them since its snapshot."""
    keeper = journal_keep.Keeper(journal_keep.BOUNDS, time.time)
    registry = Registry()
    db = journal_file.open_for_writing(path, keeper)
    db.execute("PRAGMA synchronous = OFF")
    for start in range(0, count, AFTER):
        events = [event(number) for number in range(start, start + AFTER)]
        db.execute("BEGIN")
        db.executemany(journal_file.INSERT, map(journal_file.row, events))
        if start + AFTER < count:
            for each in events:
                registry.apply(each)
        if start + 2 * AFTER == count:
            keeper.snapshot(encode(registry.snapshot()), AFTER)
            keeper.write(db, AFTER)
        db.execute("COMMIT")
    db.close()


def _reading(path: Path) -> dict[str, Row]:
    """The daemon's own replay, with the snapshot and as if there were none."""
    rows = _seconds(lambda: list(_rows(path)))
    start = _seconds(lambda: _started(path, MACHINES))
    db = sqlite3.connect(path)
    db.executescript("DELETE FROM snapshots;")
    db.close()
    replay = _seconds(lambda: _started(path, MACHINES))
    return {
        "replay_s": Row(replay, rows, "sqlite3 alone", "s"),
        "snapshot_start_s": Row(start, rows, "sqlite3, every row", "s"),
    }


def _started(path: Path, machines: int) -> None:
    nothing = Setup(book=HostBook(hosts={}, profiles={}), index=index(()), images={}, programs={})
    core = Appliance(nothing, assemble.chance(), Counter(), lambda _: None)
    assemble.replay(Journal(path), core)
    assert len(core.registry.machines) == machines
    assert all(machine.state is State.LIVE for machine in core.registry)


def _seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def _rows(path: Path) -> Iterator[object]:
    db = sqlite3.connect(path)
    yield from db.execute("SELECT seq, crc, body FROM events ORDER BY seq")
    db.close()


async def _publishing(folder: Path) -> dict[str, Row]:
    """From journal to stream, and the same messages by nats-py alone, as many at once."""
    server = NatsServer(folder / "nats", "bench")
    journal = Journal(folder / "published.db")
    await journal.start()
    await asyncio.gather(*(journal.append(event(number)) for number in range(PUBLISHED)))
    await server.start()
    bus = Bus(Outbox(journal), server, Terms(commands="none"), Counter(), _nobody, lambda _: False)
    await server.url()
    began = time.monotonic()
    await bus.start()
    while not bus.view().is_connected or bus.view().lag:  # noqa: ASYNC110 - there is no event for all of it
        await asyncio.sleep(0.005)
    ours = PUBLISHED / (time.monotonic() - began)
    peer = await _alone(server)
    for part in (bus, server, journal):
        await part.close()
    return {"publish_rps": Row(ours, peer, "nats-py without a journal", "events/s")}


async def _alone(server: NatsServer) -> float:
    client = Client()
    await client.connect(servers=[await server.url()], token=server.token)
    js = client.jetstream()
    await js.add_stream(name="PEER", subjects=["peer.>"])
    body = bytes(500)
    began = time.monotonic()

    async def some(lane: int) -> None:
        for number in range(lane, PUBLISHED, AT_ONCE):
            await js.publish(f"peer.{lane}", body, headers={"Nats-Msg-Id": str(number)})

    await asyncio.gather(*map(some, range(AT_ONCE)))
    seconds = time.monotonic() - began
    await client.close()
    return PUBLISHED / seconds


async def _nobody(_: AnyCommand) -> Ack | None:
    return None
