"""Which IPv4 addresses a machine was seen at, by the kernel's neighbour table (proc(5), /proc/net/arp)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bootstrapd.model import Mac

TABLE: Final = Path("/proc/thread-self/net/arp")
_COMPLETE: Final = 0x2  # linux/if_arp.h, ATF_COM


def addresses_of(macs: Iterable[Mac], table: Path = TABLE) -> list[str]:
    """The addresses behind these MACs, in the order of the table; [] where there is no such table."""
    wanted = {str(mac) for mac in macs}
    try:
        rows = [line.split() for line in table.read_text().splitlines()[1:]]
    except OSError:
        return []
    return [row[0] for row in rows if len(row) > 3 and int(row[2], 16) & _COMPLETE and row[3] in wanted]
