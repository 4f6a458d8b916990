"""One interface, raw: frames out with any sender's address, every DHCP and 4011 answer in, whoever it is for.

Owns the packet socket (needs CAP_NET_RAW) and the UDP socket that asks port 4011. Changes nothing on the host
but the interface's promiscuous mode, which ends with the socket. packet(7).
"""

from __future__ import annotations

import ctypes
import errno
import select
import socket
import struct
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from scapy.arch import get_if_addr, get_if_hwaddr

from bootstrapd.errors import EdgeError
from bootstrapd.model import Mac

ETH_P_IP: Final = 0x0800
SOL_PACKET: Final = 263
PACKET_ADD_MEMBERSHIP: Final = 1
PACKET_MR_PROMISC: Final = 1
SO_ATTACH_FILTER: Final = 26
MAX_FRAME: Final = 65536
# Classic BPF, (code, jump if true, jump if false, constant): UDP over IPv4 to port 68 or 4011, as a busy link's
# traffic would else drown the answer. "udp and (dst port 68 or dst port 4011)", fragments taken as they come.
FILTER: Final = (
    (0x28, 0, 0, 12),  # ethertype
    (0x15, 0, 7, ETH_P_IP),
    (0x30, 0, 0, 23),  # IP protocol
    (0x15, 0, 5, socket.IPPROTO_UDP),
    (0xB1, 0, 0, 14),  # X = length of the IP header
    (0x48, 0, 0, 16),  # UDP destination port
    (0x15, 1, 0, 68),
    (0x15, 0, 1, 4011),
    (0x06, 0, 0, MAX_FRAME),
    (0x06, 0, 0, 0),
)


class Link:
    """A packet socket on one interface. `address` is its own IPv4 address, "0.0.0.0" without one."""

    def __init__(self, interface: str) -> None:
        self.interface = interface
        try:
            socket.if_nametoindex(interface)
        except OSError:
            names = ", ".join(name for _, name in socket.if_nameindex() if name != "lo")
            raise EdgeError(f"there is no network interface {interface!r} here; there are: {names}") from None
        self._socket = _open(interface)
        self.address: str = get_if_addr(interface)
        self._asking: dict[int, socket.socket] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for opened in (self._socket, *self._asking.values()):
            opened.close()

    @staticmethod
    def now() -> float:
        return time.monotonic()

    def send(self, frame: bytes) -> None:
        """A whole Ethernet frame; EdgeError when the interface does not take it."""
        try:
            self._socket.send(frame)
        except OSError as error:
            raise EdgeError(
                f"{self.interface} does not send: {error.strerror}; is it up? (ip link show)"
            ) from error

    def ask(self, server: str, port: int, payload: bytes) -> str:
        """UDP to `server`:4011 from our own address and `port`; why the kernel cannot, "" when it did."""
        if port not in self._asking:
            self._asking[port] = self._bind(port)
        try:
            self._asking[port].sendto(payload, (server, 4011))
        except OSError as error:
            return f"{error.strerror}"
        return ""

    def _bind(self, port: int) -> socket.socket:
        """DHCP clients and servers on this host hold 68 and 4011 too, and share them by SO_REUSEADDR."""
        asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.interface.encode())
        try:
            asking.bind((self.address, port))
        except OSError as error:
            asking.close()
            if error.errno == errno.EADDRINUSE:
                raise EdgeError(
                    f"UDP port {port} of {self.address} is held by another program (ss -lunp 'sport = :{port}')"
                ) from error
            raise EdgeError(f"cannot ask from {self.address}:{port}: {error.strerror}") from error
        return asking

    def receive(self, until: float) -> bytes | None:
        """The next DHCP or 4011 answer on the wire; None when `until` (of `now`) has passed."""
        wait_s = until - self.now()
        if wait_s <= 0 or not select.select([self._socket], [], [], wait_s)[0]:
            return None
        return self._socket.recv(MAX_FRAME)


def _open(interface: str) -> socket.socket:
    try:
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # hears nothing until it is bound
    except PermissionError:
        raise EdgeError(
            "probing needs raw sockets: run it as root, or give it CAP_NET_RAW and CAP_NET_BIND_SERVICE"
        ) from None
    _attach_filter(raw)
    raw.bind((interface, ETH_P_IP))
    membership = struct.pack("iHH8s", socket.if_nametoindex(interface), PACKET_MR_PROMISC, 0, b"")
    raw.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)  # answers go to the pretended MAC
    return raw


def _attach_filter(raw: socket.socket) -> None:
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in FILTER))
    raw.setsockopt(
        socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(FILTER), ctypes.addressof(program))
    )


def pretended_mac(interface: str) -> Mac:
    """A locally administered address derived from the interface's own, the same each time."""
    own = bytes.fromhex(get_if_hwaddr(interface).replace(":", ""))
    return Mac.of(bytes((0x06 if own[0] != 0x06 else 0x0E,)) + own[1:])


def serves_here(port: int = 67) -> bool:
    """Whether a program of this machine listens on the UDP port: it does not hear what its own links send."""
    try:
        rows = Path("/proc/net/udp").read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return False
    return any(int(row.split()[1].rpartition(":")[2], 16) == port for row in rows)
