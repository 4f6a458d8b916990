"""A capture file read as UDP and TCP datagrams over IPv4: as much as telling asks from answers needs, and fast.

The classic pcap format, little endian, microseconds, as tcpdump writes it on x86.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO, Final, NamedTuple

GLOBAL_HEADER: Final = 24
_RECORD: Final = struct.Struct("<IIII")
_IPV4: Final = b"\x08\x00"
UDP: Final = 17
TCP: Final = 6

Endpoint = tuple[str, int]


class Datagram(NamedTuple):
    at: float  # Unix seconds
    mac: str  # the sender's
    protocol: int
    source: Endpoint
    target: Endpoint
    payload: bytes  # as much as was captured


class NotACaptureError(ValueError):
    """The bytes are no pcap file."""


def records(stream: IO[bytes]) -> Iterator[tuple[bytes, float, bytes]]:
    """Each record as it stands in the file, its time, its frame. A record cut short ends it."""
    head = stream.read(GLOBAL_HEADER)
    if len(head) < GLOBAL_HEADER:
        return
    if head[:4] != b"\xd4\xc3\xb2\xa1":
        raise NotACaptureError("no pcap file in little endian with microseconds")
    yield head, 0.0, b""
    while len(header := stream.read(_RECORD.size)) == _RECORD.size:
        seconds, micros, size, _ = _RECORD.unpack(header)
        frame = stream.read(size)
        if len(frame) < size:
            return
        yield header + frame, seconds + micros / 1e6, frame


def decode(at: float, frame: bytes) -> Datagram | None:
    """The UDP or TCP datagram in an Ethernet frame; None for anything else."""
    if frame[12:14] != _IPV4 or len(frame) < 42:
        return None
    start = 14 + (frame[14] & 15) * 4
    protocol = frame[23]
    if protocol not in (UDP, TCP) or len(frame) < start + 8 or int.from_bytes(frame[20:22], "big") & 0x1FFF:
        return None
    end = 14 + int.from_bytes(frame[16:18], "big")
    header = 8 if protocol == UDP else (frame[start + 12] >> 4) * 4 if len(frame) > start + 12 else 20
    ports = struct.unpack_from(">HH", frame, start)
    return Datagram(
        at=at,
        mac=frame[6:12].hex(":"),
        protocol=protocol,
        source=(_dotted(frame[26:30]), ports[0]),
        target=(_dotted(frame[30:34]), ports[1]),
        payload=frame[start + header : end],
    )


def _dotted(raw: bytes) -> str:
    return ".".join(map(str, raw))
