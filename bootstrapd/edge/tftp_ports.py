"""The UDP sockets of TFTP: the one that is asked, and the ones that transfers go out of.

A transfer has a port of its own (RFC 1350's TID), bound to the address that the request reached (T13) and
connected, so that the kernel throws away what anybody else sends there. In single-port mode all go through the
listener. A run of several datagrams is one system call where the kernel can cut it (UDP_SEGMENT, Linux 4.18).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Final

from bootstrapd.errors import EdgeError
from bootstrapd.wire.tftp_blocks import Run, datagrams

Peer = tuple[str, int]

DATAGRAM_BYTES: Final = 2048  # no request and no ACK is longer
_ANCILLARY_BYTES: Final = 64
_RECEIVE_BUFFER_BYTES: Final = 1 << 20  # a rack asking at once
_ETHERNET_MTU: Final = 1500

# As plain numbers: an enum's `|` and `&` cost more than the system calls they are for.
_DATAGRAM: Final = int(socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
_TRUNCATED: Final = int(socket.MSG_TRUNC)

# linux/in.h and linux/udp.h; the socket module of Python 3.11 lacks them
_IP_PKTINFO: Final = 8
_IP_MTU: Final = 14
_UDP_SEGMENT: Final = 103
_PKTINFO: Final = struct.Struct("=i4s4s")  # interface, our address, the address it was sent to
_MAX_SEGMENTS: Final = 64
_MAX_UDP_BYTES: Final = 65507
_LEAST_SEGMENT: Final = 516  # below, an OACK or ERROR could be longer than a segment, and would be cut

_CANNOT_CUT: Final = frozenset((errno.EIO, errno.EINVAL, errno.EMSGSIZE, errno.EOPNOTSUPP))
_WHY_NOT: Final = {
    errno.EADDRINUSE: "is taken, `ss -lunp 'sport = :{port}'` says by whom (dnsmasq, atftpd or tftpd-hpa?)",
    errno.EACCES: "is not allowed, ports below 1024 need root or CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "cannot be had: no such address here, `ip -br address` lists them",
}


def can_segment() -> bool:
    """Whether this kernel cuts a run into datagrams; a network device may still refuse."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, _LEAST_SEGMENT)
        except OSError:
            return False
    return True


class Listener:
    """The well-known port."""

    def __init__(self, address: str, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, _DATAGRAM)
        try:
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            self._socket.bind((address, port))
        except OSError as error:
            self._socket.close()
            why = _WHY_NOT.get(error.errno or 0, f"cannot be used: {error.strerror}").format(port=port)
            raise EdgeError(f"TFTP's UDP port {port} on {address} {why}") from error

    @property
    def fd(self) -> int:
        return self._socket.fileno()

    @property
    def port(self) -> int:
        """The port in use, where 0 was asked for."""
        return int(self._socket.getsockname()[1])

    def close(self) -> None:
        self._socket.close()

    def receive(self) -> tuple[bytes, Peer, str] | None:
        """A datagram, whose it is, and our address that it reached; None when there is no more.

        Empty for what was cut off, and for what was broadcast: RFC 1123 4.2.3.5 has it ignored.
        """
        try:
            data, ancillary, flags, peer = self._socket.recvmsg(DATAGRAM_BYTES, _ANCILLARY_BYTES)
        except BlockingIOError:
            return None
        own = destination = b""
        for level, kind, value in ancillary:
            if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
                _, own, destination = _PKTINFO.unpack(value)
        if flags & _TRUNCATED or own != destination:
            data = b""
        return data, peer, socket.inet_ntoa(own)

    def send(self, data: Run, peer: Peer, own: str, segment: int = 0) -> None:
        """A datagram, or several of `segment` bytes each, from our address `own`."""
        ancillary = [(socket.IPPROTO_IP, _IP_PKTINFO, _PKTINFO.pack(0, socket.inet_aton(own), bytes(4)))]
        if segment:
            ancillary.append((socket.IPPROTO_UDP, _UDP_SEGMENT, struct.pack("=H", segment)))
        self._socket.sendmsg([data], ancillary, 0, peer)


class Port:
    """Where a transfer's runs go out: the ways to write one are `OwnPort` and `SharedPort`."""

    fd = -1  # to read from, of a port of its own

    def __init__(self, own: str, peer: Peer) -> None:
        self.own = own
        self.peer = peer
        self.takes_runs = False  # whether every run of DATA can be written as it is
        self._stride = self._most = 0

    def prepare(self, stride: int, windowsize: int, *, may_segment: bool) -> None:
        """Runs consist of up to `windowsize` datagrams of `stride` bytes from now on."""
        self._stride = self._most = stride
        self._longest = stride * windowsize
        self.takes_runs = windowsize == 1
        if may_segment and windowsize > 1 and stride >= _LEAST_SEGMENT:
            self._segment(stride)
            self._most = stride * min(_MAX_SEGMENTS, _MAX_UDP_BYTES // stride)

    def send(self, run: Run) -> None:
        """OSError as of a socket: what was not sent then is lost, as it could be on its way."""
        for part in datagrams(run, self._most):
            try:
                self.write(part)
            except OSError as error:
                if len(part) <= self._stride or error.errno not in _CANNOT_CUT:
                    raise
                self._cut_here()
                for datagram in datagrams(part, self._stride):
                    self.write(datagram)
            else:
                self.takes_runs = self.takes_runs or self._stride < len(part) <= self._longest <= self._most

    def _cut_here(self) -> None:
        """The way to this client has a device without checksum offload, so that the kernel cuts nothing."""
        self._most = self._stride
        self.takes_runs = False
        self._segment(0)

    def write(self, part: Run) -> None:
        raise NotImplementedError

    def _segment(self, stride: int) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class OwnPort(Port):
    """A new port, connected to the client."""

    def __init__(self, own: str, peer: Peer) -> None:
        super().__init__(own, peer)
        self._socket = socket.socket(socket.AF_INET, _DATAGRAM)
        try:
            self._socket.bind((own, 0))
            self._socket.connect(peer)
        except OSError:
            self._socket.close()
            raise
        self.fd = self._socket.fileno()

    @property
    def mtu(self) -> int:
        """Of the path, as far as the kernel knows it."""
        return self._socket.getsockopt(socket.IPPROTO_IP, _IP_MTU)

    def write(self, part: Run) -> None:
        os.write(self.fd, part)

    def _segment(self, stride: int) -> None:
        self._socket.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, stride)

    def close(self) -> None:
        self._socket.close()


class SharedPort(Port):
    """The listener's port."""

    mtu = _ETHERNET_MTU

    def __init__(self, listener: Listener, own: str, peer: Peer) -> None:
        super().__init__(own, peer)
        self._listener = listener

    def write(self, part: Run) -> None:
        segment = self._stride if self._most > self._stride < len(part) else 0
        self._listener.send(part, self.peer, self.own, segment)

    def _segment(self, stride: int) -> None:
        pass

    def close(self) -> None:
        pass
