"""newc cpio archives: the overlay that a machine's kernel unpacks at / as one more initrd (rule N3).

Owns the bytes of the archive and nothing of what is in it. Follows cpio(5) "New ASCII Format" and the kernel's
Documentation/driver-api/early-userspace/buffer-format.rst: headers, names and contents begin at multiples of 4,
a TRAILER!!! entry ends the archive, zeros fill it up to 512 so that another initrd may follow.
The same files give the same bytes: times, owners and devices are 0, inodes are counted.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from bootstrapd.errors import WireError

MAGIC: Final = b"070701"
TRAILER: Final = "TRAILER!!!"
BLOCK: Final = 512
MAX_NAME: Final = 4096  # PATH_MAX of the kernel that unpacks it, the NUL counted in

_HEADER_SIZE: Final = 110
_HEADER: Final = re.compile(rb"070701(?:[0-9A-Fa-f]{8}){13}")
# ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
_MODE: Final = 1
_FILE_SIZE: Final = 6
_NAME_SIZE: Final = 11
_KINDS: Final = frozenset({stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK})


class CpioFile(Struct, frozen=True):
    """One entry. `path` is relative, `mode` says file, folder or symlink (whose target is `data`)."""

    path: str
    data: bytes = b""
    mode: int = stat.S_IFREG | 0o644


def folder(path: str, permissions: int = 0o755) -> CpioFile:
    """A folder; `build` makes the ones that files need by itself."""
    return CpioFile(path, b"", stat.S_IFDIR | permissions)


def symlink(path: str, target: str) -> CpioFile:
    """A symbolic link."""
    return CpioFile(path, target.encode(), stat.S_IFLNK | 0o777)


def build(files: Iterable[CpioFile]) -> bytes:
    """The archive, a multiple of 512 bytes long. ValueError: a path that is absolute, climbs or comes twice."""
    entries = _with_parents(files)
    parts = [_entry(number, file) for number, file in enumerate(entries, 1)]
    parts.append(_entry(0, CpioFile(TRAILER, b"", 0)))
    return _padded(b"".join(parts), BLOCK)


def parse(data: bytes) -> list[CpioFile]:
    """The entries of one archive, in order. WireError for anything but zeros after it, and for device nodes."""
    files: list[CpioFile] = []
    offset = 0
    while True:
        file, offset = _read_entry(data, offset)
        if file.path == TRAILER:
            break
        if stat.S_IFMT(file.mode) not in _KINDS:
            raise WireError(f"cpio: {file.path!r} is no file, folder or symlink (mode {file.mode:o})")
        files.append(file)
    if data[offset:].strip(b"\0"):
        raise WireError(f"cpio: something other than zeros follows the trailer at {offset}")
    return files


def _with_parents(files: Iterable[CpioFile]) -> list[CpioFile]:
    entries: dict[str, CpioFile] = {}
    for file in files:
        _check_path(file.path)
        parts = file.path.split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            entries.setdefault(parent, folder(parent))
        if file.path in entries:
            raise ValueError(f"cpio: {file.path!r} comes twice, or after what is in it")
        entries[file.path] = file
    return list(entries.values())


def _check_path(path: str) -> None:
    if any(part in ("", ".", "..") for part in path.split("/")) or "\0" in path or path == TRAILER:
        raise ValueError(f"cpio: {path!r} is not a path inside the archive")
    if len(path.encode()) >= MAX_NAME:
        raise ValueError(f"cpio: a path of {len(path)} characters is too long")


def _entry(number: int, file: CpioFile) -> bytes:
    name = file.path.encode() + b"\0"
    links = 2 if stat.S_ISDIR(file.mode) else 1
    fields = (number, file.mode, 0, 0, links, 0, len(file.data), 0, 0, 0, 0, len(name), 0)
    header = MAGIC + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name, 4) + _padded(file.data, 4)


def _read_entry(data: bytes, offset: int) -> tuple[CpioFile, int]:
    header = data[offset : offset + _HEADER_SIZE]
    if not _HEADER.fullmatch(header):
        raise WireError(f"cpio: no newc header at {offset}")
    fields = [int(header[at : at + 8], 16) for at in range(len(MAGIC), _HEADER_SIZE, 8)]
    name_at = offset + _HEADER_SIZE
    body_at = _aligned(name_at + fields[_NAME_SIZE])
    end = body_at + fields[_FILE_SIZE]
    if end > len(data):
        raise WireError(f"cpio: the entry at {offset} is cut short")
    name = _read_name(data[name_at : name_at + fields[_NAME_SIZE]])
    return CpioFile(name, data[body_at:end], fields[_MODE]), _aligned(end)


def _read_name(raw: bytes) -> str:
    name, nul, rest = raw.partition(b"\0")
    if not nul or rest or not name or len(raw) > MAX_NAME:
        raise WireError(f"cpio: a name that is empty, too long or does not end in one NUL ({raw[:40]!r})")
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise WireError(f"cpio: the name {name[:40]!r} is not UTF-8") from error


def _aligned(offset: int) -> int:
    return (offset + 3) & ~3


def _padded(data: bytes, multiple: int) -> bytes:
    return data + bytes(-len(data) % multiple)
