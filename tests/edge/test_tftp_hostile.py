"""Hostile and broken clients: whatever they send, the transfers of others go on, and memory stays bounded."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from tftp_serving import Client, Served, serving

from bootstrapd.edge.tftp import Limits
from bootstrapd.edge.tftp_log import LINES_A_MINUTE
from bootstrapd.wire import tftp
from bootstrapd.wire.tftp import Ack, Data, Error, Oack, Rrq

NBP = random.Random(3).randbytes(200_000)
CHANCE = random.Random(4)


@pytest.fixture
def nbp(tmp_path: Path) -> Path:
    path = tmp_path / "snponly.efi"
    path.write_bytes(NBP)
    return path


@contextlib.asynccontextmanager
async def strangers(count: int) -> AsyncIterator[list[socket.socket]]:
    """Sockets of as many other machines."""
    sockets = []
    for number in range(count):
        stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        stranger.bind((f"127.0.{2 + number // 250}.{1 + number % 250}", 0))
        sockets.append(stranger)
    try:
        yield sockets
    finally:
        for stranger in sockets:
            stranger.close()


def request(**options: object) -> bytes:
    return tftp.build(
        Rrq(b"snponly.efi", "octet", tuple((name, str(value)) for name, value in options.items()))
    )


def junk() -> bytes:
    return CHANCE.randbytes(CHANCE.randrange(80))


# What a stranger sends, to the well-known port or into somebody's transfer.
SHOTS: dict[str, Callable[[], bytes]] = {
    "ACKs of any block": lambda: tftp.build(Ack(CHANCE.randrange(300))),
    "ERRORs": lambda: tftp.build(Error(0, "stop")),
    "DATA": lambda: tftp.build(Data(CHANCE.randrange(300), b"evil")),
    "OACKs": lambda: tftp.build(Oack((("blksize", "8"),))),
    "junk": junk,
    "requests": lambda: request(blksize=1468),
    "requests with impossible options": lambda: request(
        blksize=CHANCE.choice([-1, 7, "abc", 65465]), windowsize=65535
    ),
    "requests of any name": lambda: tftp.build(Rrq(junk().replace(b"\0", b""), "octet")),
}


@pytest.mark.parametrize("single_port", [False, True])
@pytest.mark.parametrize("shots", SHOTS)
async def test_T13_strangers_disturb_nobody(shots: str, nbp: Path, *, single_port: bool) -> None:
    """T13: a transfer hears its own client only, by its port or, on the shared one, by its address."""
    async with (
        serving({"snponly.efi": nbp}, single_port=single_port) as served,
        Client(served, source="127.0.0.9") as client,
        strangers(5) as others,
    ):
        await client.ask("snponly.efi", blksize=1000)
        packet = await client.exchange(Ack(0))
        content = b""
        while isinstance(packet, Data):
            content += packet.payload
            for stranger in others:
                for target in (client.tid, client.well_known):
                    with contextlib.suppress(ConnectionRefusedError):
                        stranger.sendto(SHOTS[shots](), target)
            if len(packet.payload) < 1000:
                await client.send(Ack(packet.block))
                break
            packet = await client.exchange(Ack(packet.block))
        assert content == NBP
        await served.wait_for_end(("snponly.efi", "done"))
        assert ("snponly.efi", "aborted") not in served.finished


@pytest.mark.parametrize("single_port", [False, True])
async def test_a_flood_of_requests(nbp: Path, *, single_port: bool) -> None:
    """From 500 addresses that say nothing else: one client goes on, and another one begins."""
    limits = Limits(max_transfers=50)
    async with (
        serving({"snponly.efi": nbp}, limits=limits, single_port=single_port) as served,
        Client(served, source="127.0.0.8") as early,
        Client(served, source="127.0.0.9") as late,
        strangers(500) as others,
    ):
        await early.ask("snponly.efi", blksize=1468)
        first = await early.exchange(Ack(0))
        for number, stranger in enumerate(others):
            stranger.sendto(request(blksize=1000 + number % 400), early.well_known)
            if number % 50 == 0:
                await asyncio.sleep(0)  # lets the server run, which shares this loop
        assert await late.fetch("snponly.efi", blksize=1468, windowsize=8) == NBP
        assert await early.read(first, 1468) == NBP
        await served.wait_for_end(("snponly.efi", "done"), ("snponly.efi", "done"))
        assert served.counters["tftp.crowded_out"] > 400
        assert len(served.server._transfers) <= 50
        assert served.server._cache.used_bytes < 4 * len(NBP)


async def test_huge_windows_are_cut_down(nbp: Path) -> None:
    async with serving({"snponly.efi": nbp}) as served, Client(served) as client:
        answer = await client.ask("snponly.efi", blksize=65465, windowsize=65535)
        assert answer == Oack((("blksize", "1468"), ("windowsize", "64")))
        assert await client.read(await client.exchange(Ack(0)), 1468, 64) == NBP


async def test_partial_acks_get_a_window_each_and_no_more(nbp: Path) -> None:
    """A client that never takes more than one block of its window pays for it itself."""
    async with serving({"snponly.efi": nbp}) as served, Client(served) as client:
        await client.ask("snponly.efi", blksize=1000, windowsize=4)
        await client.send(Ack(0))
        for block in range(1, 30):
            for expected in range(block, block + 4):
                packet = await client.receive()
                assert isinstance(packet, Data)
                assert packet.block == expected
            await client.send(Ack(block))
        await client.send(Error(0, "enough"))
        await served.wait_for_end(("snponly.efi", "aborted"))
        assert served.counters["tftp.retransmit"] == 29 * 3


async def test_duplicate_acks_get_nothing(nbp: Path) -> None:
    async with serving({"snponly.efi": nbp}) as served, Client(served) as client:
        await client.ask("snponly.efi", blksize=1000)
        await client.exchange(Ack(0))
        await client.exchange(Ack(1))
        for block in (1, 0, 1, 3, 65535, 1):
            await client.send(Ack(block))
        assert await client.exchange(Ack(2)) == Data(3, NBP[2000:3000])


@pytest.mark.parametrize("single_port", [False, True])
async def test_junk_inside_a_transfer(nbp: Path, *, single_port: bool) -> None:
    """From the client itself: counted, and the transfer goes on."""
    async with serving({"snponly.efi": nbp}, single_port=single_port) as served, Client(served) as client:
        await client.ask("snponly.efi", blksize=1000)
        first = await client.exchange(Ack(0))
        for data in (b"", b"\0", b"\0\4", b"\0\x63xx", b"\xff" * 1400, tftp.build(Data(1, b"x"))):
            await client.send(data)
        assert await client.read(first, 1000) == NBP
        assert served.counters["tftp.refused.malformed"] == 6


async def test_half_a_rack_that_stops_reading(nbp: Path) -> None:
    async with serving({"snponly.efi": nbp}) as served:
        silent = [Client(served, source=f"127.0.1.{number}") for number in range(1, 33)]
        for client in silent:
            await client.ask("snponly.efi", blksize=1468, windowsize=16)
            await client.send(Ack(0))
        async with Client(served) as reader:
            assert await reader.fetch("snponly.efi", blksize=1468) == NBP
        for _ in range(6):
            served.pass_time(8)
        assert [end for end in served.finished if end[1] == "timeout"] == [("snponly.efi", "timeout")] * 32
        assert len(served.server._transfers) == 0
        assert_nothing_is_left(served)
        for client in silent:
            client.socket.close()


async def test_what_clients_do_is_never_more_than_debug(nbp: Path) -> None:
    async with serving({"snponly.efi": nbp}) as served, Client(served) as client:
        with capture_logs() as logs:
            await client.ask("snponly.efi", blksize=1000)
            await client.send(Error(0, "again"))
            await served.wait_for("tftp.aborted")
        assert [(entry["event"], entry["said"], entry["log_level"]) for entry in logs] == [
            ("tftp.ended", "again", "debug")
        ]


async def test_nobody_floods_the_log(tmp_path: Path) -> None:
    """A file of ours that is gone is worth a line, but clients ask for it as often as they like."""
    async with serving({"gone": tmp_path / "gone"}) as served, Client(served) as client:
        with capture_logs() as logs:
            for _ in range(100):
                assert await client.ask("gone") == Error(1, "File not found")
        assert len([entry for entry in logs if entry["log_level"] != "debug"]) == LINES_A_MINUTE
        assert served.counters["tftp.unlogged"] == 100 - LINES_A_MINUTE
        served.clock.now += 60
        with capture_logs() as logs:
            await client.ask("gone")
        assert logs[0]["event"] == "tftp.unreadable"


def assert_nothing_is_left(served: Served) -> None:
    transfers = served.server._transfers
    assert not transfers._channels
    assert not transfers._unanswered
    assert not transfers._per_client
    assert not any(transfers._by_fd)
