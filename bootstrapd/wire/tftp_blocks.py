"""A file as TFTP DATA packets of one block size, back to back in *runs*.

A run is what goes out at once: `datagrams` cuts it apart, or a kernel with UDP segmentation does. All of a file
is framed beforehand (`Prebuilt`, for the boot programs that every machine fetches), or framed as it goes
(`Framed`). Blocks are counted from 0, without wrapping; only the numbers on the wire wrap (T7).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from bootstrapd.wire.tftp import ACK, DATA, HEADER_BYTES

Run = bytes | memoryview

WRAP: Final = 0xFFFF


class Lane:
    """A whole file in lockstep, without windows: `acks[n]`, when it comes, is answered with `packets[n]`.

    The last of `acks` is None, which nothing equals: after the last packet comes no other.
    """

    __slots__ = ("acks", "packets")  # read for every packet: a tuple's names cost more

    def __init__(self, packets: Sequence[Run]) -> None:
        self.packets = packets
        self.acks = [*(ack(block) for block in range(len(packets))), None]


class Packets(Protocol):
    """A file as DATA packets of one block size."""

    @property
    def blksize(self) -> int: ...

    @property
    def size(self) -> int: ...

    @property
    def count(self) -> int:
        """How many, with the short or empty last one (T8)."""
        ...

    @property
    def lane(self) -> Lane | None:
        """The packets one by one, where they are all there."""
        ...

    def run(self, first: int, end: int) -> Run:
        """Blocks `first` to before `end`, counted from 0, as datagrams back to back."""
        ...


def frame(content: Run, blksize: int, first: int = 0) -> bytes:
    """The content as DATA packets back to back, `first` blocks after the file's beginning."""
    pieces: list[Run] = []
    for number, at in enumerate(range(0, len(content), blksize), first + 1):
        pieces += ((DATA << 16 | number & WRAP).to_bytes(HEADER_BYTES, "big"), content[at : at + blksize])
    return b"".join(pieces)


class Prebuilt:
    """All packets made beforehand, shared by every transfer with this block size."""

    def __init__(self, content: bytes, blksize: int) -> None:
        self.blksize = blksize
        self.size = len(content)
        self.count = len(content) // blksize + 1
        self._stride = blksize + HEADER_BYTES
        packets = frame(content, blksize)
        if len(content) % blksize == 0:
            packets += _last_packet(self.count)
        self._packets = memoryview(packets)
        self.lane = Lane([self._packets[at : at + self._stride] for at in range(0, len(packets), self._stride)])

    def run(self, first: int, end: int) -> Run:
        return self._packets[first * self._stride : end * self._stride]


class Framed:
    """Packets made as they are asked for, a few ahead. `read(offset, length)` gives exactly that, or raises."""

    lane = None
    _AHEAD: Final = 32

    def __init__(self, read: Callable[[int, int], Run], size: int, blksize: int) -> None:
        self.blksize = blksize
        self.size = size
        self.count = size // blksize + 1
        self._read = read
        self._stride = blksize + HEADER_BYTES
        self._first = self._end = 0
        self._packets = memoryview(b"")

    def run(self, first: int, end: int) -> Run:
        if first < self._first or end > self._end:
            self._load(first, min(max(end, first + self._AHEAD), self.count))
        return self._packets[(first - self._first) * self._stride : (end - self._first) * self._stride]

    def _load(self, first: int, end: int) -> None:
        at = first * self.blksize
        packets = frame(self._read(at, min(end * self.blksize, self.size) - at), self.blksize, first)
        if end == self.count and self.size % self.blksize == 0:
            packets += _last_packet(self.count)
        self._packets = memoryview(packets)
        self._first, self._end = first, end


def ack(block: int) -> bytes:
    """The ACK of the first `block` blocks."""
    return (ACK << 16 | block & WRAP).to_bytes(HEADER_BYTES, "big")


def _last_packet(count: int) -> bytes:
    """The empty block that ends a file whose size is a multiple of the block size (T8)."""
    return (DATA << 16 | count & WRAP).to_bytes(HEADER_BYTES, "big")


def datagrams(run: Run, stride: int) -> Iterator[Run]:
    """The datagrams of a run. Only DATA comes several at a time."""
    if len(run) <= stride or run[1] != DATA:
        yield from (run,) if run else ()
        return
    for at in range(0, len(run), stride):
        yield run[at : at + stride]
