"""The arm: the owner's one-time consent to erase a host's disks (DESIGN.md, Safety 2).

It is bound to the disks resolved at the first claim, spent by the first erase, and ended by success, by an
exhausted budget or by a person. Nothing else in the house lets a disk be erased.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from bootstrapd.model import ChosenDisk, Profile
from bootstrapd.policy.lifecycle import ERASES_AN_ARM, ERASES_WITHIN_S, RETRY_AFTER_S

BY_ENROLLING: Final = "hosts add"  # the consent of who enrolled the host; install = "approve" wants another


class Arm(Struct, kw_only=True):
    """One consent. `disks` are the identities it is bound to, once it was claimed."""

    id: str
    host: str
    at: float
    by: str
    disks: tuple[str, ...] = ()
    is_spending: bool = False  # an erase has begun under it
    erases: list[float] = []
    failures: int = 0


def identities(disks: Iterable[ChosenDisk]) -> tuple[str, ...]:
    """What an arm is bound to: which disks, whatever their order and their role."""
    return tuple(sorted(disk.identity for disk in disks))


def is_consent(arm: Arm | None, profile: Profile) -> bool:
    """Whether this arm lets a host of this profile be installed: approval is given after registration."""
    return arm is not None and not (profile.install == "approve" and arm.by == BY_ENROLLING)


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
    recent = sum(at > now - ERASES_WITHIN_S for at in arm.erases)
    if recent >= ERASES_AN_ARM:
        return f"its disks were erased {recent} times under this arm without success"
    if arm.failures > len(RETRY_AFTER_S):
        return f"{arm.failures} attempts failed under this arm"
    return ""


def next_try(arm: Arm | None, now: float) -> float:
    """When to try again after one more failure; 0.0 = not by itself, the budget is used up."""
    if arm is None or arm.failures >= len(RETRY_AFTER_S):
        return 0.0
    if sum(at > now - ERASES_WITHIN_S for at in arm.erases) >= ERASES_AN_ARM:
        return 0.0
    return now + RETRY_AFTER_S[arm.failures]
