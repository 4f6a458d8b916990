"""The journal and the way to NATS: `publish_rps`, `replay_s` and `snapshot_start_s` of 1,000,000 events.

The peers: nats-server's own client publishing as many messages without a journal; SQLite reading as many rows
without decoding them.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from nats.aio.client import Client

from bootstrapd.edge import journal_file, journal_keep
from bootstrapd.edge.bus import Bus, Terms
from bootstrapd.edge.journal import Journal
from bootstrapd.edge.nats_server import NatsServer
from bootstrapd.edge.outbox import Outbox
from bootstrapd.model import AnyEvent, BootAsked, ChainSent, Door, ImageSent, Mac, ScriptSent, Stage
from bootstrapd.wire.command import Ack, AnyCommand
from tests.bench.rows import Row

EVENTS: Final = 1_000_000
PUBLISHED: Final = 20_000
MACHINES: Final = 1000
AT_ONCE: Final = 256


def measure() -> dict[str, Row]:
    """All of it, in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="bootstrapd-bench-") as folder:
        path = Path(folder) / "journal.db"
        fill(path)
        return {**_reading(path), **asyncio.run(_publishing(Path(folder)))}


def event(number: int) -> AnyEvent:
    """Boots of four events each, of a thousand machines."""
    machine = f"52540000{number // 4 % MACHINES:04x}"
    common: dict[str, Any] = {
        "id": f"{number:08x}-0000-7000-8000-000000000000",
        "machine": machine,
        "at": 1e9 + number,
    }
    boot = f"{number // 4 * 4:08x}-0000-7000-8000-000000000000"
    match number % 4:
        case 0:
            mac = Mac.of(bytes.fromhex(machine))
            return BootAsked(
                **common, boot=boot, mac=mac, door=Door.DHCP, stage=Stage.FIRMWARE, arch=7, host="w"
            )
        case 1:
            return ChainSent(**common, boot=boot, program="snponly.efi", door=Door.TFTP)
        case 2:
            return ScriptSent(**common, boot=boot, template="image", image="installer")
    return ImageSent(**common, boot=boot, image="installer")


def fill(path: Path, count: int = EVENTS) -> None:
    """A journal of so many events, the last 50,000 after its snapshot."""
    keeper = journal_keep.Keeper(journal_keep.BOUNDS, time.time)
    db = journal_file.open_for_writing(path, keeper)
    db.execute("PRAGMA synchronous = OFF")
    for start in range(0, count, 50_000):
        db.execute("BEGIN")
        db.executemany(journal_file.INSERT, map(journal_file.row, map(event, range(start, start + 50_000))))
        if start + 50_000 == count - 50_000:
            keeper.snapshot(bytes(1_000_000), 50_000)
            keeper.write(db, 50_000)
        db.execute("COMMIT")
    db.close()


def _reading(path: Path) -> dict[str, Row]:
    """Decoding every event, and only what came after the snapshot: without what the registry makes of them."""
    replay = _seconds(lambda: Journal(path).events())
    start = _seconds(lambda: Journal(path).replay()[1])
    rows = _seconds(lambda: _rows(path))
    return {
        "replay_s": Row(replay, rows, "sqlite3 alone", "s"),
        "snapshot_start_s": Row(start, rows, "sqlite3, every row", "s"),
    }


def _seconds(read: object) -> float:
    assert callable(read)
    began = time.monotonic()
    for _ in read():
        pass
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
