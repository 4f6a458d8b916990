"""The sockets of the DHCP edge, opened so that every answer leaves by its own link with its own address (D19).

An interface has three: one hears broadcasts on port 67, one speaks from our address and port 67, one does both
on port 4011. Each way in which opening fails is a sentence for a person.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bootstrapd.errors import EdgeError
from bootstrapd.wire.dhcp import BROADCAST

RECEIVE_BUFFER: Final = 1 << 20  # a rack powered on at once asks in the same millisecond

_UDP_SEGMENT: Final = 103  # linux/udp.h, since 4.18
_MOST_BYTES: Final = 60_000  # of one call, which is one IP packet until it is cut
# No such option, or a card that cannot checksum what is cut (kernels before 6.11).
_CANNOT_SEGMENT: Final = frozenset({errno.EIO, errno.EINVAL, errno.ENOPROTOOPT})

_WHY: Final = {
    errno.EADDRINUSE: "UDP port {port} on {place} is already taken, probably by dnsmasq, systemd-networkd's "
    "DHCP server, kea or isc-dhcp-server; 'ss -lunp sport = :{port}' names it: stop it, or serve elsewhere",
    errno.EACCES: "no permission for UDP port {port}: run as root or with CAP_NET_BIND_SERVICE",
    errno.EPERM: "no permission to bind to {place}: run as root or with CAP_NET_RAW",
    errno.ENODEV: "there is no interface {place}: 'ip -brief address' lists those there are",
    errno.EADDRNOTAVAIL: "{address} is no address of this machine: 'ip -brief address' shows what {place} has",
}


@contextmanager
def explained(interface: str, address: str, port: int) -> Iterator[None]:
    """OSError becomes EdgeError: what is wrong, where, what to do."""
    try:
        yield
    except OSError as error:
        place = interface or address
        why = _WHY.get(error.errno or 0, "UDP port {port} on {place} cannot be opened: " + str(error))
        raise EdgeError(why.format(port=port, place=place, address=address)) from error


class Speaker:
    """Sends answers and counts those that cannot leave (link down, buffers full): their machines ask again."""

    def __init__(self, speaks: socket.socket, counters: Counter[str]) -> None:
        self._socket = speaks
        self._counters = counters
        self._can_segment = True

    def send(self, data: bytes, to: tuple[str, int]) -> int:
        """How many left: 1 or 0."""
        try:
            self._socket.sendto(data, to)
        except OSError as error:
            return self._unsent(error, 1)
        return 1

    def broadcast(self, offers: list[bytes]) -> int:
        """How many left. Those of one size are one call that the kernel cuts up: half the cost of an offer."""
        by_size: dict[int, list[bytes]] = {}
        for offer in offers:
            by_size.setdefault(len(offer), []).append(offer)
        return sum(
            self._broadcast_equal(size, group[at : at + _MOST_BYTES // size])
            for size, group in by_size.items()
            for at in range(0, len(group), _MOST_BYTES // size)
        )

    def _broadcast_equal(self, size: int, group: list[bytes]) -> int:
        if self._can_segment and len(group) > 1:
            try:
                self._socket.sendmsg(group, [(socket.IPPROTO_UDP, _UDP_SEGMENT, struct.pack("=H", size))])
            except OSError as error:
                if error.errno not in _CANNOT_SEGMENT:
                    return self._unsent(error, len(group))
                self._can_segment = False
            else:
                return len(group)
        return sum(map(self._broadcast_one, group))

    def _broadcast_one(self, offer: bytes) -> int:
        try:
            self._socket.send(offer)
        except OSError as error:
            return self._unsent(error, 1)
        return 1

    def _unsent(self, error: OSError, count: int) -> int:
        self._counters[f"dhcp.unsent.{error_name(error)}"] += count
        return 0


def error_name(error: OSError) -> str:
    """`enetdown`, for a counter's name."""
    return errno.errorcode.get(error.errno or 0, "other").lower()


def open_dhcp(interface: str, address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """The socket that hears port 67 of the interface, and the one that speaks from (address, 67) by it.

    The speaking one is connected to the broadcast address: its route is looked up once, not for each offer.
    Without an interface both are one that is not connected: a broadcast would leave by the default route.
    """
    hears = _open(interface, "" if interface else address, port)
    if not interface:
        return hears, hears
    try:
        # Shared between our own two, after a first bind that found the port free of anybody else's.
        hears.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        speaks = _open(interface, address, port, is_shared=True)
        hears.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    except BaseException:
        hears.close()
        raise
    return hears, speaks


def open_pxe(interface: str, address: str, port: int) -> socket.socket:
    """The socket for boot server requests (4011), which are sent to our address."""
    return _open(interface, address, port)


def _open(interface: str, address: str, port: int, *, is_shared: bool = False) -> socket.socket:
    with explained(interface, address, port):
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            opened.setblocking(False)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            if interface:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
            if is_shared:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind((address, port))
            if is_shared:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
                opened.connect(BROADCAST)
        except BaseException:
            opened.close()
            raise
        return opened
