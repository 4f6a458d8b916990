"""Trust on first use: the same machine is the same, another one is told what is different."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bootstrapd.model import Disk, Hardware, Pin
from bootstrapd.policy.pin import differences, pin

UUID, OTHER_UUID = "00112233-4455-6677-8899-aabbccddeeff", "00112233-4455-6677-8899-aabbccddee00"
MACHINE = Hardware(
    uuid=UUID,
    serial="SN12345",
    disks=(
        Disk(name="sdb", size_bytes=1, serial="S2"),
        Disk(name="sda", size_bytes=1, serial="S1"),
        Disk(name="sdc", size_bytes=1),
        Disk(name="sdd", size_bytes=1, serial="STICK", is_removable=True),
    ),
)


def with_disks(*serials: str) -> Hardware:
    return replace(MACHINE, disks=tuple(Disk(name=serial, size_bytes=1, serial=serial) for serial in serials))


def test_what_is_pinned() -> None:
    assert pin(MACHINE) == Pin(uuid=UUID, serial="SN12345", disks=("S1", "S2"))


def test_junk_is_no_identity() -> None:
    junk = Hardware(uuid="0" * 32, serial="To be filled by O.E.M.", disks=with_disks("0000").disks)
    assert pin(junk) == Pin()
    assert differences(Pin(), MACHINE) == []


def test_the_same_machine_does_not_differ() -> None:
    pinned = pin(MACHINE)
    assert differences(pinned, MACHINE) == []
    assert differences(pinned, replace(MACHINE, disks=MACHINE.disks[::-1])) == []
    assert differences(pinned, with_disks("S1", "S2")) == []


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (replace(MACHINE, uuid=OTHER_UUID), f"its SMBIOS UUID was {UUID} and is {OTHER_UUID} now"),
        (replace(MACHINE, uuid=""), f"its SMBIOS UUID was {UUID} and is none now"),
        (replace(MACHINE, serial="SN9"), "its SMBIOS serial number was SN12345 and is SN9 now"),
        (with_disks("S1", "S3"), "the serial numbers of its disks are others: S2 gone, S3 new"),
        (with_disks("S1", "S2", "S3"), "the serial numbers of its disks are others: S3 new"),
        (with_disks(), "the serial numbers of its disks are others: S1 and S2 gone"),
    ],
)
def test_each_difference_in_words(now: Hardware, words: str) -> None:
    (reason,) = differences(pin(MACHINE), now)
    assert reason.startswith(f"{words}; ")
    assert "'bootstrapd machines adopt'" in reason


def test_another_machine_differs_in_everything() -> None:
    other = replace(with_disks("X"), uuid=OTHER_UUID, serial="SN9")
    assert len(differences(pin(MACHINE), other)) == 3


@given(st.text(max_size=256), st.text(max_size=256))
def test_no_reason_acts_on_a_terminal(one: str, other: str) -> None:
    pinned = pin(replace(with_disks(one), serial=one))
    now = replace(with_disks(other), serial=other)
    assert all(reason.isprintable() for reason in differences(pinned, now))
    assert differences(pin(now), now) == []
