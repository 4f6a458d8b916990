"""Ethernet, IPv4 and UDP headers of a frame heard on the wire; and the filter that picks such frames.

Only what it takes to overhear DHCP answers: no fragments, no checksums (offloads leave them unset on frames
that never left the machine), one VLAN tag at most. RFC 791, RFC 768, IEEE 802.1Q.
"""

from __future__ import annotations

import struct
from typing import Final

from msgspec import Struct

from bootstrapd.errors import WireError
from bootstrapd.wire.dhcp_options import dotted

_IPV4: Final = 0x0800
_VLAN: Final = 0x8100
_UDP: Final = 17
_FRAGMENT: Final = 0x3FFF  # "more fragments" or an offset
_IP_HEADER: Final = struct.Struct("!BxH2xHxBxx4s4s")
_UDP_HEADER: Final = struct.Struct("!HHH")


class Datagram(Struct, frozen=True):
    """A UDP datagram and where it came from and went to."""

    source: str
    source_port: int
    target: str
    target_port: int
    payload: bytes


def parse(frame: bytes) -> Datagram:
    """The datagram in an Ethernet frame. WireError for anything else."""
    try:
        at = 14
        kind = int.from_bytes(frame[12:14], "big")
        if kind == _VLAN:
            at, kind = 18, int.from_bytes(frame[16:18], "big")
        version, total, fragment, protocol, source, target = _IP_HEADER.unpack_from(frame, at)
        header = (version & 0xF) * 4
        source_port, target_port, size = _UDP_HEADER.unpack_from(frame, at + header)
    except struct.error:
        raise WireError(f"a frame of {len(frame)} bytes is too short for UDP") from None
    if kind != _IPV4 or version >> 4 != 4 or header < 20 or protocol != _UDP or fragment & _FRAGMENT:
        raise WireError("not one whole UDP datagram over IPv4")
    start, end = at + header + 8, at + header + size
    if size < 8 or end > at + total or end > len(frame):
        raise WireError("the UDP length runs past the end of the frame")
    return Datagram(dotted(source), source_port, dotted(target), target_port, frame[start:end])


def udp_to(port: int) -> bytes:
    """A classic BPF program (SO_ATTACH_FILTER) that takes whole IPv4 UDP datagrams to `port`, untagged."""
    return b"".join(struct.pack("=HBBI", *step) for step in _steps(port))


def _steps(port: int) -> tuple[tuple[int, int, int, int], ...]:
    """(code, jump if true, jump if false, operand): see linux/bpf_common.h."""
    load_half, load_byte, load_indexed, load_header = 0x28, 0x30, 0x48, 0xB1
    equal, has_bits, give = 0x15, 0x45, 0x06
    return (
        (load_half, 0, 0, 12),
        (equal, 0, 8, _IPV4),
        (load_byte, 0, 0, 23),
        (equal, 0, 6, _UDP),
        (load_half, 0, 0, 20),
        (has_bits, 4, 0, _FRAGMENT),
        (load_header, 0, 0, 14),
        (load_indexed, 0, 0, 16),
        (equal, 0, 1, port),
        (give, 0, 0, 0xFFFF),
        (give, 0, 0, 0),
    )
