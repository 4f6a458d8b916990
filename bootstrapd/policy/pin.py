"""Trust on first use: what a machine was when first accepted, and how it differs now (DESIGN.md, Safety 4).

A machine that was pinned without a UUID, a serial or any disk's serial is not held to that one.
"""

from __future__ import annotations

import hashlib
from typing import Final

from bootstrapd.model import Hardware, Pin, clean_serial, clean_uuid
from bootstrapd.policy import words
from bootstrapd.policy.disks import candidates

_ACCEPT: Final = "if it is still the same machine, 'bootstrapd machines adopt' accepts it as it is"


def pin(hardware: Hardware) -> Pin:
    """What this inventory says of who it is; what comes and goes (sticks, cards) is left out."""
    serials = {clean_serial(disk.serial) for disk in candidates(hardware)} - {""}
    return Pin(
        uuid=clean_uuid(hardware.uuid),
        serial=clean_serial(hardware.serial),
        disks=tuple(sorted(serials)),
    )


def name(pinned: Pin | None) -> str:
    """Tells one pin from another, in a word that an approval can be bound to."""
    said = "\n".join((pinned.uuid, pinned.serial, *pinned.disks)) if pinned else ""
    return f"pin {hashlib.sha256(said.encode()).hexdigest()[:16]}"


def differences(pinned: Pin, hardware: Hardware) -> list[str]:
    """Every way in which this is not the machine that was pinned, [] when it is."""
    now = pin(hardware)
    changes = [
        _changed("SMBIOS UUID", pinned.uuid, now.uuid),
        _changed("SMBIOS serial number", pinned.serial, now.serial),
        _other_disks(pinned.disks, now.disks) if pinned.disks else "",
    ]
    return [f"{change}; {_ACCEPT}" for change in changes if change]


def _changed(what: str, before: str, after: str) -> str:
    if not before or after == before:
        return ""
    return f"its {what} was {words.printable(before)} and is {words.printable(after) or 'none'} now"


def _other_disks(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    gone, new = (sorted(set(one) - set(other)) for one, other in ((before, after), (after, before)))
    said = [
        f"{words.listed(map(words.printable, serials))} {verb}"
        for serials, verb in ((gone, "gone"), (new, "new"))
        if serials
    ]
    return f"the serial numbers of its disks are others: {', '.join(said)}" if said else ""
