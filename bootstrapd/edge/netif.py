"""The appliance's network links: which there are, which to serve, who is behind an address, and what changes.

Four ioctls and one notification socket of Linux (netdevice(7), arp(7), rtnetlink(7)). pyroute2 does the same,
but importing any part of it imports all of it: a quarter of the whole start, and 10 MB for the life of the
process. IPv4 only, as are all the doors.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from array import array
from collections.abc import Callable, Iterable
from fcntl import ioctl
from pathlib import Path
from typing import Final

from bootstrapd.errors import ConfigError, EdgeError
from bootstrapd.model import Link, Mac

SETTLE_S: Final = 0.1  # a link that comes up sends a handful of messages

# linux/sockios.h, linux/if.h, linux/if_arp.h, linux/rtnetlink.h, linux/route.h
_SIOCGIFCONF: Final = 0x8912
_SIOCGIFFLAGS: Final = 0x8913
_SIOCGIFADDR: Final = 0x8915
_SIOCGIFNETMASK: Final = 0x891B
_SIOCGARP: Final = 0x8954
_IFF_UP: Final = 0x1
_IFF_LOOPBACK: Final = 0x8
_ATF_COM: Final = 0x2  # the entry is complete
_ARPHRD_ETHER: Final = 1
_RTMGRP: Final = 0x1 | 0x10 | 0x40  # LINK, IPV4_IFADDR, IPV4_ROUTE
_RTF_UP: Final = 0x1

_IFREQ: Final = struct.Struct("=16sH2x4s16x")  # name; flags, or a sockaddr: family, port, address
_IFCONF: Final = struct.Struct("iP")  # bytes, and where
_LINKS_MAX: Final = 256
_ARPREQ: Final = struct.Struct(
    "=H2x4s8xH6s8xi16x16s"
)  # sockaddr; family and hardware address; flags; mask; name


def links() -> list[Link]:
    """Every link of this network namespace, in the order of their indexes."""
    default = _default_route_names(Path("/proc/thread-self/net/route").read_text())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        found = (_link(asker, index, name, name in default) for index, name in sorted(socket.if_nameindex()))
        return [link for link in found if link]


def neighbour(address: str) -> Mac | None:
    """The MAC behind an IPv4 address, from the kernel's table; None where it knows none, or two on two links.

    One system call for the links with an address, and one for each, 2 µs: never stale.
    """
    try:
        octets = socket.inet_aton(address)
    except OSError:
        return None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        found = {_arp(asker, octets, name) for name in _with_addresses(asker)} - {None}
    return found.pop() if len(found) == 1 else None


def source_for(address: str) -> str:
    """Our own address on the way to this one, by the kernel's routes; "" = none. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect((address, 9))
        return str(probe.getsockname()[0])
    return ""


def choose(found: Iterable[Link], wanted: Iterable[str], *, must_exist: bool = True) -> list[Link]:
    """The links to serve (DESIGN.md, Safety 5): those named, up or not; else those nobody can mind.

    ConfigError, unless `must_exist` is False: a named one is not there, or none is left to choose.
    """
    by_name = {link.name: link for link in found}
    names = list(dict.fromkeys(wanted))
    missing = [name for name in names if name not in by_name]
    if missing and must_exist:
        raise ConfigError(
            *(f'there is no interface "{name}"; there are: {", ".join(by_name) or "none"}' for name in missing)
        )
    if names:
        return [by_name[name] for name in names if name in by_name]
    chosen = [link for link in by_name.values() if not _objection(link)]
    if not chosen and must_exist:
        objections = ", ".join(f"{link.name} ({_objection(link)})" for link in by_name.values())
        raise ConfigError(
            f"no interface can be chosen without being told: {objections}; "
            'name one with --interface NAME, or interfaces = ["NAME"] in config.toml'
        )
    return chosen


class Watcher:
    """Calls `on_change` with the new list when links or their addresses come, go or change."""

    def __init__(self, on_change: Callable[[list[Link]], None]) -> None:
        self._on_change = on_change
        self._last = links()  # what changes from here on is told, also what changes before `start`
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """EdgeError where the kernel does not let us listen."""
        try:
            self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            self._socket.bind((0, _RTMGRP))
        except OSError as error:
            await self.close()
            raise EdgeError(f"changes of network links cannot be watched: {error.strerror}") from None
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._hear, self._socket)
        self._tell_soon()

    async def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._socket:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _hear(self, heard: socket.socket) -> None:
        """What a message says does not matter: the links are asked anew. EAGAIN and ENOBUFS both end here."""
        with contextlib.suppress(OSError):
            while heard.recv(65536):
                pass
        self._tell_soon()

    def _tell_soon(self) -> None:
        if not self._timer:
            self._timer = asyncio.get_running_loop().call_later(SETTLE_S, self._tell)

    def _tell(self) -> None:
        self._timer = None
        now = links()
        if now != self._last:
            self._last = now
            self._on_change(now)


def _link(asker: socket.socket, index: int, name: str, is_default_route: bool) -> Link | None:
    """None: it went away while we looked."""
    flags = _ask(asker, _SIOCGIFFLAGS, name)
    if flags is None:
        return None
    (bits,) = struct.unpack_from("=H", flags)
    address = _ask(asker, _SIOCGIFADDR, name)
    mask = _ask(asker, _SIOCGIFNETMASK, name)
    return Link(
        name=name,
        index=index,
        address=socket.inet_ntoa(address[4:8]) if address else "",
        prefix=int.from_bytes(mask[4:8]).bit_count() if address and mask else 0,
        is_up=bool(bits & _IFF_UP),
        is_loopback=bool(bits & _IFF_LOOPBACK),
        is_virtual=not Path("/sys/class/net", name, "device").exists(),
        is_default_route=is_default_route,
    )


def _ask(asker: socket.socket, request: int, name: str) -> bytes | None:
    """The part of the answer after the name; None where there is none (no address, no such link)."""
    try:
        return ioctl(asker, request, _IFREQ.pack(name.encode(), 0, b""))[16:]
    except OSError:
        return None


def _with_addresses(asker: socket.socket) -> set[bytes]:
    """The names of the links that have an IPv4 address: `if_nameindex` takes forty times as long."""
    buffer = array("B", bytes(_IFREQ.size * _LINKS_MAX))
    where, size = buffer.buffer_info()
    size, _ = _IFCONF.unpack(ioctl(asker, _SIOCGIFCONF, _IFCONF.pack(size, where)))
    return {name.rstrip(b"\0") for name, *_ in _IFREQ.iter_unpack(buffer[:size])}


def _arp(asker: socket.socket, octets: bytes, name: bytes) -> Mac | None:
    try:
        request = _ARPREQ.pack(socket.AF_INET, octets, 0, b"", 0, name)
        _, _, family, hardware, flags, _ = _ARPREQ.unpack(ioctl(asker, _SIOCGARP, request))
    except OSError:
        return None
    is_known = family == _ARPHRD_ETHER and flags & _ATF_COM
    return Mac.of(hardware) if is_known else None


def _default_route_names(table: str) -> set[str]:
    """The interfaces of the default routes in /proc/net/route."""
    rows = (line.split() for line in table.splitlines()[1:])
    return {row[0] for row in rows if row[1] == row[7] == "00000000" and int(row[3], 16) & _RTF_UP}


def _objection(link: Link) -> str:
    """Why a link is not served unless it is named; "" when it is."""
    objections = {
        "loopback": link.is_loopback,
        "carries the default route": link.is_default_route,
        "virtual": link.is_virtual,
        "down": not link.is_up,
        "without an IPv4 address": not link.address,
    }
    return next((word for word, holds in objections.items() if holds), "")
