"""What TFTP sends: files on disk and bytes made for one ask, as packets.

The boot programs that a whole rack fetches are small: they are read once and kept as packets, ready to send,
for the block sizes that firmware asks for. Anything else is read as it goes. Never by mmap: a file that gets
shorter under an mmap kills the process, and here it must only end one transfer.
"""

from __future__ import annotations

import os
import stat
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

from msgspec import Struct

from bootstrapd.errors import EdgeError
from bootstrapd.wire.tftp_blocks import Framed, Packets, Prebuilt

# none, GRUB, PXEv6 of edk2, pxelinux, and what fits Ethernet beside various headers (FIRMWARE.md 5)
USUAL_BLKSIZES: Final = frozenset((512, 1024, 1228, 1408, 1428, 1432, 1456, 1468))
_PREBUILT_BYTES: Final = 4 << 20
_CACHE_BYTES: Final = 16 << 20
_VIEW_BYTES: Final = 256  # what Python needs beside the bytes of a packet

Key = tuple[int, int, int, int, int]  # device, inode, modification time, size, block size


class Text:
    """Bytes made for one ask. As with `File`: `size`, `packets`, and `close` when the transfer is over."""

    def __init__(self, body: bytes) -> None:
        self.size = len(body)
        self._body = body

    def packets(self, blksize: int) -> Packets:
        return Framed(lambda offset, length: self._body[offset : offset + length], self.size, blksize)

    def close(self) -> None:
        pass


class File:
    """A regular file, opened; OSError when it cannot be. Its size now is what a client is told."""

    def __init__(self, path: Path, cache: PacketCache) -> None:
        # Opening a pipe would wait for its writer without O_NONBLOCK.
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._fd)
            raise FileNotFoundError(f"{path} is not a file")
        self.size = status.st_size
        self._path = path
        self._cache = cache
        self._identity = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
        self._borrowed: Key | None = None

    def packets(self, blksize: int) -> Packets:
        """EdgeError when the file cannot be read as it was, now or while the packets are taken."""
        if blksize in USUAL_BLKSIZES and self.size <= _PREBUILT_BYTES:
            key = (*self._identity, blksize)
            weight = self.size + (self.size // blksize + 1) * _VIEW_BYTES
            prebuilt = self._cache.borrow(key, weight, lambda: Prebuilt(self._read(0, self.size), blksize))
            if prebuilt is not None:
                self._borrowed = key
                return prebuilt
        return Framed(self._read, self.size, blksize)

    def _read(self, offset: int, length: int) -> bytes:
        try:
            data = os.pread(self._fd, length, offset)
        except OSError as error:
            raise EdgeError(f"{self._path} cannot be read: {error.strerror}") from error
        if len(data) != length:
            raise EdgeError(f"{self._path} got shorter while it was sent")
        return data

    def close(self) -> None:
        os.close(self._fd)
        if self._borrowed:
            self._cache.give_back(self._borrowed)


Content = Text | File


class _Entry(Struct):
    prebuilt: Prebuilt
    weight: int
    borrowers: int = 0


class PacketCache:
    """Prebuilt files, the least recently used dropped first. What a transfer has borrowed stays, and counts."""

    def __init__(self, limit_bytes: int = _CACHE_BYTES) -> None:
        self.used_bytes = 0
        self._limit = limit_bytes
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()

    def borrow(self, key: Key, weight: int, make: Callable[[], Prebuilt]) -> Prebuilt | None:
        """The file's packets, until they are given back; None when there is no room for them."""
        entry = self._entries.get(key)
        if entry is None:
            if not self._make_room(weight):
                return None
            entry = self._entries[key] = _Entry(make(), weight)
            self.used_bytes += weight
        entry.borrowers += 1
        self._entries.move_to_end(key)
        return entry.prebuilt

    def give_back(self, key: Key) -> None:
        self._entries[key].borrowers -= 1

    def _make_room(self, weight: int) -> bool:
        idle = [key for key, entry in self._entries.items() if not entry.borrowers]
        for key in idle:
            if self.used_bytes + weight <= self._limit:
                break
            self.used_bytes -= self._entries.pop(key).weight
        return self.used_bytes + weight <= self._limit
