"""The DHCP and 4011 doors of one interface: hears boot questions, sends what `answer` says, counts everything.

Owns sockets and nothing of the protocol: packets are read and written by `wire/dhcp.py`. Proxy mode (PXE 2.1):
an offer gives no address and goes out by broadcast. Heard and answered in batches on the loop, since a rack
that is powered on asks all at once.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Final, NamedTuple

import structlog

from bootstrapd.edge.dhcp_ear import Ear, Heard
from bootstrapd.edge.dhcp_sockets import Speaker, error_name, open_dhcp, open_pxe
from bootstrapd.errors import EdgeError, RefusedError, WireError
from bootstrapd.model import Ask, DhcpReply, Door, Mac, Nothing, Reply
from bootstrapd.wire.dhcp import BROADCAST, Template, parse, read_ask, refusal, reply_address

Answer = Callable[[Ask], Reply]
Took = Callable[[Mac, str], None]
Address = tuple[str, int]

BATCH: Final = 64  # datagrams a wake-up, so that a flood leaves the loop to the other edges
LARGEST: Final = 4096  # bytes of a datagram; a longer one is cut and then malformed
TEMPLATES: Final = 4096  # answers kept ready: one a machine and stage
QUIET_S: Final = 60.0  # between two tracebacks; the counter has the rest

_log = structlog.get_logger(__name__)


class _At(NamedTuple):
    """A door and what its packets are counted as."""

    door: Door
    asked: str
    answered: str


_DHCP: Final = _At(Door.DHCP, "dhcp.discover", "dhcp.offer")
_PXE: Final = _At(Door.PXE, "dhcp.request_4011", "dhcp.ack_4011")
_ANYBODY: Final = ("0.0.0.0", 68)  # the DHCP door answers by what the packet says, never by its source
_SILENCE: Final = (b"", _ANYBODY)


class DhcpServer:
    """Answers boot questions that reach `interface`, in the name of `address`, one of its own.

    `answer(ask)` decides and must not block. `heard(packet, source)` gets each answer that another server gives
    on this link, `took(mac, server)` is told whose offer a booting machine takes: it says so by broadcast, also
    when that server answered it alone and nothing could be overheard. Without an interface (loopback) only what
    is sent to `address` is heard, nothing is broadcast.
    """

    def __init__(
        self,
        interface: str,
        address: str,
        answer: Answer,
        counters: Counter[str],
        *,
        port: int = 67,
        pxe_port: int = 4011,
        heard: Heard | None = None,
        took: Took = lambda _mac, _server: None,
    ) -> None:
        self._interface = interface
        self._address = address
        self._answer = answer
        self._took = took
        self._counters = counters
        self._ports = (port, pxe_port)
        self._template = lru_cache(maxsize=TEMPLATES)(partial(Template, server=address))
        self._ear = Ear(interface, address, heard, counters) if heard and interface else None
        self._sockets: set[socket.socket] = set()
        self._log = _log
        self._quiet_until = 0.0

    async def start(self) -> None:
        """Opens both ports and serves. EdgeError: port taken, no permission, no such interface or address."""
        port, pxe_port = self._ports
        hears, speaks = open_dhcp(self._interface, self._address, port)
        try:
            pxe = open_pxe(self._interface, self._address, pxe_port)
        except EdgeError:
            hears.close()
            speaks.close()
            raise
        self._sockets = {hears, speaks, pxe}
        self._log = _log.bind(interface=self._interface, address=self._address)
        loop = asyncio.get_running_loop()
        loop.add_reader(hears, self._drain_dhcp, hears, Speaker(speaks, self._counters))
        loop.add_reader(pxe, self._drain_pxe, pxe, Speaker(pxe, self._counters))
        if self._ear:
            self._ear.start()
        self._log.info("dhcp.listening", port=port, pxe_port=pxe_port)

    async def close(self) -> None:
        """Stops hearing; what was asked has been answered."""
        if self._ear:
            self._ear.close()
        loop = asyncio.get_running_loop()
        while self._sockets:
            opened = self._sockets.pop()
            loop.remove_reader(opened)
            opened.close()

    def _drain_dhcp(self, hears: socket.socket, speaker: Speaker) -> None:
        offers: list[bytes] = []
        for _ in range(BATCH):
            try:
                data = hears.recv(LARGEST)
            except OSError as error:
                self._count_unless_empty(error)
                break
            answer, to = self._serve(data, _DHCP, _ANYBODY)
            if to is BROADCAST:
                offers.append(answer)
            elif answer:
                self._counters[_DHCP.answered] += speaker.send(answer, to)
        if offers:
            self._counters[_DHCP.answered] += speaker.broadcast(offers)

    def _drain_pxe(self, pxe: socket.socket, speaker: Speaker) -> None:
        for _ in range(BATCH):
            try:
                data, source = pxe.recvfrom(LARGEST)
            except OSError as error:
                self._count_unless_empty(error)
                break
            answer, to = self._serve(data, _PXE, source)
            if answer:
                self._counters[_PXE.answered] += speaker.send(answer, to)

    def _serve(self, data: bytes, at: _At, source: Address) -> tuple[bytes, Address]:
        """What to send where, for one packet; b"" for nothing. Whatever it holds, the next one is served."""
        try:
            packet = parse(data)
        except WireError as error:
            return self._drop("malformed", str(error))
        ask = read_ask(packet, at.door, self._address, self._interface, source)
        if ask is None:
            if at is _DHCP and packet.takes_from not in {"", self._address}:
                self._tell_whose_offer(packet.mac, packet.takes_from)
            return self._drop(refusal(packet, at.door, self._address), packet.mac)
        self._counters[at.asked] += 1
        try:
            reply = self._answer(ask)
            if isinstance(reply, DhcpReply):
                return self._template(reply).fill(packet), reply_address(packet, at.door, source)
            assert isinstance(reply, Nothing), f"{type(reply).__name__} is no answer to a DHCP packet"
        except RefusedError as error:
            return self._drop(error.code.lower(), ask.mac)
        except Exception:  # noqa: BLE001 - one machine's bug must not be another machine's
            self._log_bug(ask.mac)
        else:
            self._counters["dhcp.silent"] += 1
        return _SILENCE

    def _drop(self, why: str, detail: str) -> tuple[bytes, Address]:
        self._counters[f"dhcp.drop.{why}"] += 1
        self._log.debug("dhcp.drop", why=why, detail=detail)
        return _SILENCE

    def _count_unless_empty(self, error: OSError) -> None:
        if not isinstance(error, BlockingIOError):
            self._counters[f"dhcp.unheard.{error_name(error)}"] += 1

    def _tell_whose_offer(self, mac: Mac, server: str) -> None:
        try:
            self._took(mac, server)
        except Exception:  # noqa: BLE001 - as above
            self._log_bug(mac)

    def _log_bug(self, mac: Mac) -> None:
        """The traceback being handled, but not for every packet of a flood."""
        self._counters["dhcp.bug"] += 1
        now = asyncio.get_running_loop().time()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET_S
            self._log.exception("dhcp.bug", machine=mac)
