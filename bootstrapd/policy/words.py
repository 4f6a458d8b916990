"""What a machine says of itself, as words in a sentence: harmless on a terminal, and never a page of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from bootstrapd.model import Disk
from bootstrapd.policy import size

_LONGEST: Final = 64
_MOST: Final = 8


def printable(text: str) -> str:
    """At most 64 characters of it, every control character (newline, escape, …) a dot."""
    short = text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
    return short if short.isprintable() else "".join(char if char.isprintable() else "·" for char in short)


def listed(items: Iterable[str]) -> str:
    """`a`, `a and b`, `a, 2 x b and c`; "none" of nothing; at most eight, and how many more."""
    counted = [f"{count} x {item}" if count > 1 else item for item, count in Counter(items).items()]
    if len(counted) > _MOST:
        counted[_MOST:] = [f"{len(counted) - _MOST} more"]
    return " and ".join(filter(None, (", ".join(counted[:-1]), *counted[-1:]))) or "none"


def disk(disk: Disk) -> str:
    """`nvme0n1 (nvme, Samsung 980, serial S64DNX0R, 1 TB)`."""
    serial = f"serial {disk.serial}" if disk.serial else "no serial"
    said = filter(None, (disk.type, disk.model, serial, size.disk_words(disk.size_bytes)))
    return f"{printable(disk.name)} ({', '.join(map(printable, said))})"
