"""DHCP on real links: the appliance in one namespace, its machines in another (root)."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from dhcp_packets import reply
from namespaces import Namespace

from bootstrapd.edge.dhcp import DhcpServer
from bootstrapd.model import Ask, Reply
from bootstrapd.wire import dhcp

DEADLINE_S = 5.0
OURS = "10.91.0.1"
OURS_TOO = "10.91.1.1"
CLIENT = "10.91.0.2"
EVERYBODY = ("255.255.255.255", 67)
Scenario = Callable[[], Awaitable[None]]


class Rack(NamedTuple):
    """The appliance with links srv0 and srv1, and the machines at their other ends, cli0 and cli1."""

    appliance: Namespace
    machines: Namespace

    def play(self, scenario: Scenario) -> None:
        """The scenario, on the appliance's side."""

        async def deadline() -> None:
            async with asyncio.timeout(30):
                await scenario()

        self.appliance.run(deadline())

    def machine(self, interface: str = "cli0", port: int = 68, address: str = "") -> Machine:
        return Machine(self.machines.call(open_machine, interface, port, address))


def open_machine(interface: str, port: int, address: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.setblocking(False)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
    opened.bind((address, port))
    return opened


class Machine:
    """A DHCP client, a relay or another server: a socket at the far end of a link."""

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened

    def send(self, data: bytes, to: tuple[str, int] = EVERYBODY) -> None:
        self.socket.sendto(data, to)

    async def hear(self) -> tuple[bytes, tuple[str, int]]:
        async with asyncio.timeout(DEADLINE_S):
            found: tuple[bytes, tuple[str, int]] = await asyncio.get_running_loop().sock_recvfrom(
                self.socket, 2048
            )
            return found

    async def answer_to(self, xid: int) -> dhcp.Packet:
        """The next thing heard, which must be the answer to this question."""
        answer = dhcp.parse((await self.hear())[0])
        assert answer.xid == xid
        return answer


def server(
    answer: Callable[[Ask], Reply] = lambda _: reply("a.efi"),
    counters: Counter[str] | None = None,
    interface: str = "srv0",
    heard: Callable[[dhcp.Packet, str], None] | None = None,
) -> DhcpServer:
    address = OURS if interface == "srv0" else OURS_TOO
    return DhcpServer(interface, address, answer, counters if counters is not None else Counter(), heard=heard)
