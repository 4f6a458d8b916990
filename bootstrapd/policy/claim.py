"""From registered to claimed: is this the hardware its host wants, and may it be installed now?

`judge` looks at a registration once and gives every reason at once. `claim` is asked whenever something
changed, and by time; what it gives when nothing is due is the sentence that `hosts why` shows.
"""

from __future__ import annotations

from msgspec import Struct

from bootstrapd.model import Accepted, ChosenDisk, DiskSelector, Host, Profile, Rejected, State
from bootstrapd.policy import disks, match, pin, requirements, words
from bootstrapd.policy.arm import Arm, forbids, is_consent, unlike_approved
from bootstrapd.policy.machine import Machine

ONE_DISK = {"main": DiskSelector()}  # the layout of a host that names none


class Claim(Struct, frozen=True):
    """Install it now, under this arm, on these disks."""

    arm: Arm
    disks: tuple[ChosenDisk, ...]


class Wait(Struct, frozen=True):
    """Nothing is to be done: why, and until when where time alone ends it (0.0 = it does not)."""

    reason: str
    until: float = 0.0


class Exhausted(Struct, frozen=True):
    """The arm allows nothing more: it ends."""

    arm: Arm
    reason: str


def judge(machine: Machine, host: Host, profile: Profile) -> Accepted | Rejected:
    """The verdict on what the machine registered with, as a draft of the event that says it."""
    hardware = machine.hardware
    if hardware is None:
        raise ValueError(machine.id)
    reasons = match.contradictions(host, hardware)
    reasons += pin.differences(machine.pin, hardware) if machine.pin else []
    reasons += requirements.shortfalls(hardware, profile.requires, profile.name)
    chosen: tuple[ChosenDisk, ...] = ()
    if profile.layout:
        choice = disks.choose(host.disk or profile.disk or ONE_DISK, hardware)
        chosen = choice.disks
        reasons += choice.reasons
        if not machine.host_key:
            reasons.append("it registered without an SSH host key, and an install needs one to be pinned to")
    if reasons:
        return Rejected(id="", at=0.0, machine=machine.id, reasons=tuple(reasons))
    return Accepted(id="", at=0.0, machine=machine.id, disks=chosen, pin=machine.pin or pin.pin(hardware))


def outdated(machine: Machine, chosen: tuple[ChosenDisk, ...], host: Host, profile: Profile) -> str:
    """Why what was claimed is not what its files ask for any more, as a sentence; "" while it is."""
    if not profile.layout:
        return f"profile {profile.name} names no layout any more"
    verdict = judge(machine, host, profile)
    if isinstance(verdict, Rejected):
        return "; ".join(verdict.reasons)
    if _places(verdict.disks) != _places(chosen):
        now, before = (words.listed(disk.path for disk in found) for found in (verdict.disks, chosen))
        return f"its files choose {now} now, and {before} when it was claimed"
    return ""


def _places(chosen: tuple[ChosenDisk, ...]) -> set[tuple[str, str]]:
    return {(disk.role, disk.path) for disk in chosen}


def claim(machine: Machine, profile: Profile, arm: Arm | None, now: float) -> Claim | Wait | Exhausted:
    """Whether this machine is to be installed now. Total: every machine has an answer.

    The order is that of the questions a person asks: can it be now, is anything to be installed at all, who
    said so, is it the right machine, and only then when. What is wrong with a machine and what its arm still
    allows are told of a live system that is up; one that is not registers first, and may be another one then.
    """
    name = machine.host
    if machine.state not in {State.LIVE, State.FAILED}:
        return Wait(f"{name} is {machine.state}")
    if not profile.layout:
        return Wait(f"profile {profile.name} names no layout: its machines boot their image and stay live")
    if arm is None:
        return Wait(f"nobody consented to erase its disks: 'bootstrapd hosts arm {name}' does")
    if not is_consent(arm, profile):
        return Wait(
            f"profile {profile.name} wants each install approved: 'bootstrapd hosts arm {name}' shows what it "
            "erases and asks"
        )
    if machine.rejected and machine.is_up:
        return Wait("; ".join(machine.rejected))
    forbidden = forbids(arm, machine.disks, now)
    if forbidden and machine.is_up:
        return Exhausted(arm, forbidden)
    if not machine.is_up or not machine.is_judged:
        return Wait(f"{name} has to boot its installer and register first: power it on")
    unlike = unlike_approved(arm, machine, profile)
    if unlike:
        return Wait(unlike)
    return _pause(machine, arm, now) or Claim(arm, machine.disks)


def _pause(machine: Machine, arm: Arm, now: float) -> Wait | None:
    """After a failure under this very arm: a new consent tries again at once."""
    failure = machine.failure
    if failure is None or machine.arm != arm.id or 0.0 < failure.retry_at <= now:
        return None
    if failure.retry_at == 0.0:
        return Wait(f"'bootstrapd hosts retry {machine.host}' tries again")
    return Wait("it is tried again by itself", until=failure.retry_at)
