"""Addresses by MAC from the kernel's table."""

from __future__ import annotations

from pathlib import Path

from bootstrapd.edge.neighbours import addresses_of
from bootstrapd.model import Mac

# As Linux 6.1 writes it: one entry complete, one of another machine, one incomplete, one permanent.
TABLE = """\
IP address       HW type     Flags       HW address            Mask     Device
10.77.0.50       0x1         0x2         52:54:00:77:00:01     *        lan0
10.77.0.51       0x1         0x2         52:54:00:77:00:02     *        lan0
10.77.0.52       0x1         0x0         52:54:00:77:00:01     *        lan0
10.78.0.9        0x1         0x6         52:54:00:77:00:01     *        lan1
"""
MAC = Mac.parse("52:54:00:77:00:01")


def test_the_complete_entries_of_its_nics(tmp_path: Path) -> None:
    (tmp_path / "arp").write_text(TABLE)
    assert addresses_of([MAC], tmp_path / "arp") == ["10.77.0.50", "10.78.0.9"]
    assert addresses_of([], tmp_path / "arp") == []
    assert addresses_of([Mac.parse("52:54:00:77:00:09")], tmp_path / "arp") == []


def test_where_there_is_no_table_nobody_is_found(tmp_path: Path) -> None:
    assert addresses_of([MAC], tmp_path / "none") == []


def test_the_kernels_own_table_is_read() -> None:
    assert addresses_of([Mac.parse("02:00:00:00:00:01")]) == []
