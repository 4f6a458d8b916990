"""A TFTP server on loopback with files and scripts from a dict, and a client that speaks packet by packet."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Self

from bootstrapd.edge.tftp import TftpServer
from bootstrapd.model import FileAsk, FileReply, Nothing, Reply, TextReply
from bootstrapd.wire import tftp
from bootstrapd.wire.tftp import Ack, Data, Oack, Packet, Rrq

PATIENCE_S = 10


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Counting(Counter[str]):
    """Counters that say when they changed."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = asyncio.Event()

    def __setitem__(self, key: str, value: int) -> None:
        super().__setitem__(key, value)
        self.changed.set()

    async def reached(self, key: str, count: int) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while self[key] < count:
                self.changed.clear()
                await self.changed.wait()


class Served:
    """A running server and what it said."""

    def __init__(self, content: Mapping[str, bytes | Path | Reply]) -> None:
        self.content = dict(content)
        self.counters = Counting()
        self.asks: list[FileAsk] = []
        self.finished: list[tuple[str, str]] = []
        self.clock = Clock()
        self.server: TftpServer
        self._changed = asyncio.Event()

    def fetch(self, ask: FileAsk) -> Reply:
        self.asks.append(ask)
        match self.content.get(ask.path):
            case None:
                return Nothing(f"no {ask.path}")
            case bytes(body):
                return TextReply(body=body, name=ask.path)
            case Path() as path:
                return FileReply(path=path, name=ask.path)
            case reply:
                return reply

    def finish(self, ask: FileAsk, outcome: str) -> None:
        self.finished.append((ask.path, outcome))
        self._changed.set()

    async def wait_for_end(self, *ends: tuple[str, str]) -> None:
        """Until these transfers have ended so."""
        async with asyncio.timeout(PATIENCE_S):
            while Counter(ends) - Counter(self.finished):
                self._changed.clear()
                await self._changed.wait()

    async def wait_for(self, counter: str, count: int = 1) -> None:
        """Until the server has counted that much: not everything a client sends gets an answer."""
        await self.counters.reached(counter, count)

    def pass_time(self, seconds: float) -> None:
        self.clock.now += seconds
        self.server._transfers._sweep()


@contextlib.asynccontextmanager
async def serving(
    content: Mapping[str, bytes | Path | Reply], address: str = "127.0.0.1", **settings: Any
) -> AsyncIterator[Served]:
    served = Served(content)
    served.server = TftpServer(
        address, 0, served.fetch, served.counters, finished=served.finish, clock=served.clock, **settings
    )
    await served.server.start()
    try:
        yield served
    finally:
        await served.server.close()


class Client:
    """One client's socket; `tid` is where the server's last packet came from."""

    def __init__(self, served: Served, source: str = "127.0.0.1", server: str = "127.0.0.1") -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind((source, 0))
        self.well_known = (server, served.server.port)
        self.tid = ("", 0)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.socket.close()

    async def send(self, packet: Packet | bytes, to: tuple[str, int] | None = None) -> None:
        data = packet if isinstance(packet, bytes) else tftp.build(packet)
        await asyncio.get_running_loop().sock_sendto(self.socket, data, to or self.tid)

    async def ask(self, path: str | bytes, mode: str = "octet", **options: int) -> Packet:
        """The answer to a read request."""
        await self.request(path, mode, **options)
        return await self.receive()

    async def request(self, path: str | bytes, mode: str = "octet", **options: int) -> None:
        name = path if isinstance(path, bytes) else path.encode()
        asked = tuple((option, str(value)) for option, value in options.items())
        await self.send(Rrq(name, mode, asked), self.well_known)

    async def receive(self) -> Packet:
        async with asyncio.timeout(PATIENCE_S):
            data, self.tid = await asyncio.get_running_loop().sock_recvfrom(self.socket, 65536)
        return tftp.parse(data)

    async def exchange(self, packet: Packet) -> Packet:
        await self.send(packet)
        return await self.receive()

    async def fetch(self, path: str, **options: int) -> bytes:
        """The whole file, in windows where they were agreed."""
        packet = await self.ask(path, "octet", **options)
        agreed = dict(packet.options) if isinstance(packet, Oack) else {}
        if agreed:
            packet = await self.exchange(Ack(0))
        return await self.read(packet, int(agreed.get("blksize", 512)), int(agreed.get("windowsize", 1)))

    async def read(self, packet: Packet, blksize: int = 512, windowsize: int = 1) -> bytes:
        """All of it from this packet on, which must be DATA in order."""
        content = bytearray()
        in_window = 0
        block: int | None = None
        while True:
            assert isinstance(packet, Data), packet
            assert block is None or packet.block == (block + 1) & 0xFFFF
            block = packet.block
            content += packet.payload
            in_window += 1
            is_last = len(packet.payload) < blksize
            if is_last or in_window == windowsize:
                in_window = 0
                await self.send(Ack(block))
            if is_last:
                return bytes(content)
            packet = await self.receive()
