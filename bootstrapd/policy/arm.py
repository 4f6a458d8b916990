"""The arm: the owner's one-time consent to erase a host's disks (DESIGN.md, Safety 2).

It is bound to the disks resolved at the first claim, spent by the first erase, and ended by success, by an
exhausted budget or by a person. Nothing else in the house lets a disk be erased.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from bootstrapd.model import ChosenDisk, Profile
from bootstrapd.policy import pin
from bootstrapd.policy.lifecycle import ERASES_AN_ARM, ERASES_WITHIN_S, RETRY_AFTER_S
from bootstrapd.policy.machine import Machine

BY_ENROLLING: Final = "hosts add"  # the consent of who enrolled the host; install = "approve" wants another


class Arm(Struct, kw_only=True):
    """One consent. `disks` are the identities it is bound to, once it was claimed."""

    id: str
    host: str
    at: float
    by: str
    seen: str = ""  # what its machine showed when it was given: see `shown`
    disks: tuple[str, ...] = ()
    is_spending: bool = False  # an erase has begun under it
    erases: list[float] = []
    failures: int = 0


def identities(disks: Iterable[ChosenDisk]) -> tuple[str, ...]:
    """What an arm is bound to: which disks, whatever their order and their role."""
    return tuple(sorted(disk.identity for disk in disks))


def is_consent(arm: Arm | None, profile: Profile) -> bool:
    """Whether this arm lets a host of this profile be installed: only what was seen can be approved."""
    if arm is None:
        return False
    return profile.install != "approve" or (arm.by != BY_ENROLLING and bool(arm.seen))


def shown(machine: Machine) -> str:
    """What an approval of this machine is bound to; "" while there is nothing to approve.

    Its live system's SSH host key, which its console shows too. One that runs from its own disk has no live
    system yet: its pin, which its registration will be held to.
    """
    if machine.is_up and machine.host_key:
        return machine.host_key
    return pin.name(machine.pin) if machine.is_local else ""


def unlike_approved(arm: Arm, machine: Machine, profile: Profile) -> str:
    """Why this is not the machine that was approved, as a sentence; "" where it is, or none had to be."""
    if profile.install != "approve" or arm.seen in {machine.host_key, pin.name(machine.pin)}:
        return ""
    what = (
        "it is not known to be the machine"
        if arm.seen.startswith("pin ")
        else "it shows another SSH host key than"
    )
    return (
        f"{what} that was approved: compare the key on its console, and 'bootstrapd hosts arm {arm.host}' "
        "approves this one"
    )


def wants_netboot(arm: Arm | None, profile: Profile) -> bool:
    """Whether a machine whose disk holds a system shall boot the installer all the same: a new consent."""
    return arm is not None and not arm.is_spending and is_consent(arm, profile)


def forbids(arm: Arm, disks: Iterable[ChosenDisk], now: float) -> str:
    """Why nothing may be erased under this arm, as a sentence; "" when it may."""
    found = identities(disks)
    if arm.disks and arm.disks != found:
        return (
            f"it was armed for the disks {', '.join(arm.disks)} and now has {', '.join(found) or 'none'}: "
            f"'bootstrapd hosts arm {arm.host}' consents to these"
        )
    return _used_up(arm, arm.failures, now)


def next_try(arm: Arm | None, now: float) -> float:
    """When to try again after one more failure; 0.0 = not by itself, the budget is used up.

    The arm does not count that failure yet: it does once its event, which says when to try again, is applied.
    """
    if arm is None or _used_up(arm, arm.failures + 1, now):
        return 0.0
    return now + RETRY_AFTER_S[arm.failures]


def _used_up(arm: Arm, failures: int, now: float) -> str:
    recent = sum(at > now - ERASES_WITHIN_S for at in arm.erases)
    if recent >= ERASES_AN_ARM:
        return f"its disks were erased {recent} times under this arm without success"
    if failures > len(RETRY_AFTER_S):
        return f"{failures} attempts failed under this arm"
    return ""
