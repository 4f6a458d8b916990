"""A DHCP server on loopback, what it was asked, and a machine at its 4011 door."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing

from dhcp_packets import reply, request

from bootstrapd.edge.dhcp import DhcpServer
from bootstrapd.errors import EdgeError
from bootstrapd.model import Ask, Reply
from bootstrapd.wire import dhcp

HOST = "127.0.0.1"
DEADLINE_S = 5.0


def free_port() -> int:
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class Machine:
    """A client of the 4011 door, on a port of its own."""

    def __init__(self, to: tuple[str, int]) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind((HOST, 0))
        self.to = to

    def send(self, data: bytes) -> None:
        self.socket.sendto(data, self.to)

    async def hear(self) -> tuple[dhcp.Packet, tuple[str, int]]:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(DEADLINE_S):
            data, source = await loop.sock_recvfrom(self.socket, 2048)
        return dhcp.parse(data), source

    async def ask(self, xid: int) -> dhcp.Packet:
        """Asks, and makes sure that the next thing heard is the answer to this: nothing else was answered."""
        self.send(request(xid=xid))
        answer, _ = await self.hear()
        assert answer.xid == xid
        return answer


class Serving:
    """A running server, what it was asked, and a machine beside it."""

    def __init__(self, answer: Callable[[Ask], Reply]) -> None:
        self.asks: list[Ask] = []
        self.took: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.counters: Counter[str] = Counter()
        self.ports = (free_port(), free_port())
        self._says = answer
        self.server = DhcpServer(
            "",
            HOST,
            self._answer,
            self.counters,
            port=self.ports[0],
            pxe_port=self.ports[1],
            took=lambda mac, server: self.took.put_nowait((mac, server)),
        )
        self.machine = Machine((HOST, self.ports[1]))

    def _answer(self, ask: Ask) -> Reply:
        self.asks.append(ask)
        return self._says(ask)


async def started(answer: Callable[[Ask], Reply], attempts: int = 5) -> Serving:
    """On ports that were free a moment ago: another test may have taken them since."""
    running = Serving(answer)
    try:
        await running.server.start()
    except EdgeError:
        running.machine.socket.close()
        if attempts == 1:
            raise
        return await started(answer, attempts - 1)
    return running


@asynccontextmanager
async def serving(answer: Callable[[Ask], Reply] = lambda _: reply(message_type=5)) -> AsyncIterator[Serving]:
    running = await started(answer)
    try:
        yield running
    finally:
        await running.server.close()
        running.machine.socket.close()
