"""Sizes as people write and read them: "64G", ">=900G", "1.92 TB".

Disks and link speeds count in thousands, memory in 1,024s, as their makers do.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

DISK_BASE: Final = 1000
MEMORY_BASE: Final = 1024

_UNITS: Final = "KMGTP"
_POWERS: Final = {unit: power for power, unit in enumerate(_UNITS, start=1)}
_BOUND: Final = re.compile(r"(>=|<=|=)?([0-9]{1,9}(?:\.[0-9]{1,3})?[KMGTP]?)")
_SLACK: Final = 0.01  # a disk sold as 1 TB holds 1,000,204,886,016 bytes


class Bound(Struct, frozen=True):
    """What a disk's size may be, in bytes, both ends included."""

    smallest: int = 0
    largest: int = 2**63 - 1

    def holds(self, size_bytes: int) -> bool:
        return self.smallest <= size_bytes <= self.largest


def parse(text: str, base: int) -> int:
    """`64G` in bytes (a speed: in bits a second); the text is one that `config/kinds.py` lets through."""
    number = text.rstrip(_UNITS)
    return int(float(number) * base ** _POWERS.get(text[len(number) :], 0))


@lru_cache(maxsize=1024)
def bound(text: str) -> Bound | None:
    """`>=900G`, `<=2T`, `1T` (a disk that is sold as 1 TB), "" for any; None when it says none of them."""
    if not text:
        return Bound()
    found = _BOUND.fullmatch(text)
    if found is None:
        return None
    size = parse(found[2], DISK_BASE)
    as_sold = int(size * (1 + _SLACK))
    match found[1]:
        case ">=":
            return Bound(smallest=size)
        case "<=":
            return Bound(largest=as_sold)
        case _:
            return Bound(size, as_sold)


def disk_words(size_bytes: int) -> str:
    """`960 GB`, `1.92 TB`."""
    return _words(size_bytes, DISK_BASE)


def memory_words(size_bytes: int) -> str:
    """`64 GB`, and `62.8 GB` of what a kernel sees of them."""
    return _words(size_bytes, MEMORY_BASE)


def speed_words(mbps: int) -> str:
    """`10 Gb/s`, `100 Mb/s`."""
    return f"{mbps / 1000:g} Gb/s" if mbps >= 1000 else f"{mbps} Mb/s"


def _words(size_bytes: int, base: int) -> str:
    amount, power = float(size_bytes), 0
    while amount >= 999.5 and power < len(_UNITS):
        amount /= base
        power += 1
    return f"{amount:.3g} {_UNITS[power - 1]}B" if power else f"{size_bytes} B"
