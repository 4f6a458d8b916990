"""Which disk of a machine plays which role of its layout: what an arm is bound to, and what an install erases.

A selector names a disk or it does not: an ambiguous or missing match is a reason, never a guess (DESIGN.md,
Safety 3). Roles are resolved together, and in no order: whoever fits one free disk only has it; then the picks
(smallest, largest) take theirs; then again. So the answer hangs neither on the order of the roles nor on that
of the inventory. Everything a machine says of its disks is a claim; its `by_id` reaches command lines and Nix,
so it is taken only in the plain letters that udev writes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from msgspec import Struct

from bootstrapd.model import ChosenDisk, Disk, DiskSelector, Hardware
from bootstrapd.policy import words
from bootstrapd.policy.size import bound

_BY_ID: Final = re.compile(r"/dev/disk/by-id/(?!\.{1,2}\Z)[A-Za-z0-9._:+=@-]+")
_PICKS: Final[Mapping[str, Callable[[Iterable[int]], int]]] = {"smallest": min, "largest": max}

Disks = tuple[Disk, ...]


class Choice(Struct, frozen=True):
    """A disk for every role, or no disk at all and every reason why not."""

    disks: tuple[ChosenDisk, ...] = ()
    reasons: tuple[str, ...] = ()


class _Role(Struct, frozen=True):
    """A role of the layout, and the disks that its selector fits."""

    name: str
    selector: DiskSelector
    fits: Disks

    def free(self, taken: Mapping[str, Disk]) -> Disks:
        return tuple(disk for disk in self.fits if disk not in taken.values())

    def best(self, taken: Mapping[str, Disk]) -> Disks:
        """Those of the free ones that it comes to: all of them without a pick, those of one size with it."""
        free, pick = self.free(taken), _PICKS.get(self.selector.pick)
        if pick is None or not free:
            return free
        size = pick(disk.size_bytes for disk in free)
        return tuple(disk for disk in free if disk.size_bytes == size)

    def __str__(self) -> str:
        """`disk.main (nvme, >=900G, smallest)`."""
        asked = self.selector
        serial = f"serial {asked.serial}" if asked.serial else ""
        wwn = f"WWN {asked.wwn}" if asked.wwn else ""
        said = ", ".join(filter(None, (asked.type, asked.size, serial, wwn, asked.pick)))
        return f"disk.{self.name} ({said})" if said else f"disk.{self.name}"


def choose(selectors: Mapping[str, DiskSelector], hardware: Hardware) -> Choice:
    """Resolves every role's selector against the inventory; roles in the order of their names."""
    disks = candidates(hardware)
    roles = [
        _Role(name, selectors[name], tuple(disk for disk in disks if _fits(disk, selectors[name])))
        for name in sorted(selectors)
    ]
    taken = _resolve(roles)
    reasons = [
        f"{role}: {reason}"
        for role in roles
        if (
            reason := _unnameable(taken[role.name], hardware)
            if role.name in taken
            else _unresolved(role, roles, taken, hardware)
        )
    ]
    if reasons:
        return Choice(reasons=tuple(reasons))
    return Choice(disks=tuple(_chosen(role.name, taken[role.name]) for role in roles))


def candidates(hardware: Hardware) -> Disks:
    """The disks that may be installed on at all, in the order of their names."""
    return tuple(sorted((disk for disk in hardware.disks if not _unusable(disk)), key=lambda disk: disk.name))


def _unusable(disk: Disk) -> str:
    """Why this is no disk to install on, in a word, or ""."""
    if disk.is_removable:
        return "removable"
    if disk.size_bytes == 0:
        return "empty"
    return "a boot medium" if "iso9660" in disk.filesystems else ""


def _fits(disk: Disk, selector: DiskSelector) -> bool:
    sizes = bound(selector.size)
    return (
        selector.type in {"", disk.type}
        and selector.serial in {"", disk.serial.strip()}
        and selector.wwn.lower() in {"", disk.wwn.strip().lower()}
        and sizes is not None
        and sizes.holds(disk.size_bytes)
    )


def _resolve(roles: list[_Role]) -> dict[str, Disk]:
    taken: dict[str, Disk] = {}
    while True:
        waiting = [role for role in roles if role.name not in taken]
        found = _undisputed({role.name: role.free(taken) for role in waiting}) or _undisputed(
            {role.name: role.best(taken) for role in waiting}
        )
        if not found:
            return taken
        taken |= found


def _undisputed(wanted: Mapping[str, Disks]) -> dict[str, Disk]:
    """The roles that come to one disk, and to one that no other role comes to."""
    single = {name: disks[0] for name, disks in wanted.items() if len(disks) == 1}
    return {name: disk for name, disk in single.items() if list(single.values()).count(disk) == 1}


def _unresolved(role: _Role, roles: list[_Role], taken: Mapping[str, Disk], hardware: Hardware) -> str:
    """Why the role has no disk, and what to do."""
    best = role.best(taken)
    disks = words.listed(map(words.disk, best or role.fits))
    if not role.fits:
        return f"no disk fits; found {_inventory(hardware)}"
    if not best:
        return f"all that fits is taken by other roles: {disks}"
    if len(best) == 1:
        rivals = words.listed(
            f"disk.{other.name}" for other in roles if other != role and best[0] in other.fits
        )
        return f"it comes to {disks}, and so does {rivals}; tell them apart by serial in host.toml"
    which = f"the {pick} are of one size" if (pick := role.selector.pick) else f"{len(best)} disks fit"
    return f"{which}: {disks}; name one by its serial in host.toml"


def _inventory(hardware: Hardware) -> str:
    found = words.listed(map(words.disk, candidates(hardware)))
    left_out = [f"{words.disk(disk)} is {why}" for disk in hardware.disks if (why := _unusable(disk))]
    return f"{found}; left out: {words.listed(sorted(left_out))}" if left_out else found


def _unnameable(disk: Disk, hardware: Hardware) -> str:
    """Why no name keeps this disk apart from every other over a boot, or ""."""
    if not _path(disk):
        return (
            f"{words.disk(disk)} has no name that stays: the live system has no link to it in /dev/disk/by-id "
            "(a virtual disk needs a serial number)"
        )
    twins = [other for other in hardware.disks if other is not disk and _names(other) & _names(disk)]
    if twins:
        return (
            f"{words.disk(disk)} and {words.listed(map(words.disk, twins))} have one WWN, serial or name "
            "between them: no name tells them apart"
        )
    return ""


def _names(disk: Disk) -> set[str]:
    return {_path(disk), disk.wwn or disk.serial} - {""}


def _path(disk: Disk) -> str:
    return disk.by_id if _BY_ID.fullmatch(disk.by_id) else ""


def _chosen(role: str, disk: Disk) -> ChosenDisk:
    return ChosenDisk(
        role=role,
        path=_path(disk),
        size_bytes=disk.size_bytes,
        name=disk.name,
        model=disk.model,
        serial=disk.serial,
        wwn=disk.wwn,
        type=disk.type,
        filesystems=disk.filesystems,
    )
