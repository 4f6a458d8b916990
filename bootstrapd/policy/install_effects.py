"""What each event of an install does to its machine's record and its host's arm.

A run goes from its claim to ready or failed and may span boots. What it may erase was decided before
(`policy/arm.py`) and journalled before it was done: `EraseStarted` is the arm spending itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from bootstrapd.model import (
    Accepted,
    Armed,
    Built,
    Claimed,
    Disarmed,
    Drifted,
    EraseStarted,
    Event,
    Failed,
    Installed,
    PhaseStarted,
    Progressed,
    Rejected,
    Reported,
    Retried,
    State,
)
from bootstrapd.policy.arm import Arm, identities
from bootstrapd.policy.machine import Machine, mark

if TYPE_CHECKING:
    from bootstrapd.policy.registry import Registry

ON_ITS_OWN: Final = frozenset({"reboot", "first boot"})  # after these stages the machine is on its disk


def _armed(registry: Registry, _: None, event: Armed) -> None:
    held = registry.arms.get(event.host)
    if held is not None and held.id != event.arm:
        registry.ended_arms.append(held.id)
    registry.arms[event.host] = Arm(id=event.arm, host=event.host, at=event.at, by=event.by, seen=event.seen)
    machine = registry.by_host.get(event.host)
    if machine is not None:
        machine.answers.clear()


def _disarmed(registry: Registry, _: None, event: Disarmed) -> None:
    _end_arm(registry, event.host, event.arm)
    machine = registry.by_host.get(event.host)
    if machine is not None and machine.state is State.LIVE:
        machine.why = f"the consent to install it is over: {event.reason}"


def _end_arm(registry: Registry, host: str, arm: str) -> None:
    held = registry.arms.get(host)
    if held is not None and held.id == arm:
        del registry.arms[host]
        registry.ended_arms.append(arm)
        machine = registry.by_host.get(host)
        if machine is not None:
            machine.answers.clear()


def _accepted(_: Registry, machine: Machine, event: Accepted) -> None:
    machine.is_judged, machine.rejected = True, ()
    machine.disks, machine.pin = event.disks, event.pin
    machine.why = machine.failure.cause if machine.failure else ""


def _rejected(_: Registry, machine: Machine, event: Rejected) -> None:
    machine.is_judged, machine.rejected, machine.disks = True, event.reasons, ()
    machine.why = "; ".join(event.reasons)


def _claimed(registry: Registry, machine: Machine, event: Claimed) -> None:
    machine.run, machine.arm, machine.disks = event.id, event.arm, event.disks
    machine.run_started, machine.phase, machine.progress = event.at, "", None
    machine.why, machine.found = "", ""
    mark(machine, "claimed", event.at)
    arm = registry.arms.get(event.host)
    if arm is not None and not arm.disks:
        arm.disks = identities(event.disks)


def _phase_started(_: Registry, machine: Machine, event: PhaseStarted) -> None:
    machine.phase, machine.phase_started, machine.progress = event.phase, event.at, None
    mark(machine, event.phase, event.at)


def _built(registry: Registry, machine: Machine, event: Built) -> None:
    machine.closure, machine.report_spent_by = event.closure, ""
    registry.expect_report(machine, event.report_id)


def _erase_started(registry: Registry, machine: Machine, event: EraseStarted) -> None:
    machine.is_local = False
    arm = registry.arms.get(machine.host)
    if arm is not None and arm.id == event.arm:
        arm.is_spending = True
        arm.erases.append(event.at)


def _progressed(_: Registry, machine: Machine, event: Progressed) -> None:
    machine.progress = event


def _installed(_: Registry, machine: Machine, event: Installed) -> None:
    machine.is_local, machine.is_up = True, False
    machine.phase, machine.progress = "", None
    mark(machine, "installed", event.at, event.closure)


def _reported(registry: Registry, machine: Machine, event: Reported) -> None:
    _runs_from_disk(registry, machine, event.address)
    machine.failure, machine.why, machine.found = None, "", ""
    machine.report_spent_by = event.boot_id or "a boot without an id"
    mark(machine, "ready", event.at, event.closure)


def _drifted(registry: Registry, machine: Machine, event: Drifted) -> None:
    _runs_from_disk(registry, machine, event.address)
    machine.found = event.found
    machine.why = f"it runs {event.found}, and {event.expected} was installed"
    mark(machine, "drifted", event.at, event.found)


def _runs_from_disk(registry: Registry, machine: Machine, address: str) -> None:
    machine.is_local, machine.is_up = True, False
    machine.address = address or machine.address
    _end_arm(registry, machine.host, machine.arm)


def _failed(registry: Registry, machine: Machine, event: Failed) -> None:
    machine.failure, machine.phase, machine.progress = event, "", None
    machine.is_up = machine.is_up and not (event.is_lost or event.stage in ON_ITS_OWN)
    machine.why = f"failed at {event.stage}: {event.cause}"
    mark(machine, "failed", event.at, f"{event.stage}: {event.cause}")
    arm = registry.arms.get(machine.host)
    if arm is not None and arm.id == machine.arm:
        arm.failures += 1


def _retried(_: Registry, machine: Machine, event: Retried) -> None:
    """This gives up a system whose first boot failed: the next boot is the installer's, not its disk's."""
    if machine.failure is not None:
        machine.failure = replace(machine.failure, retry_at=event.at)
        machine.is_local = machine.is_local and machine.failure.stage not in ON_ITS_OWN


EFFECTS: Final[dict[type[Event], Callable[[Registry, Any, Any], None]]] = {
    Armed: _armed,
    Disarmed: _disarmed,
    Accepted: _accepted,
    Rejected: _rejected,
    Claimed: _claimed,
    PhaseStarted: _phase_started,
    Built: _built,
    EraseStarted: _erase_started,
    Progressed: _progressed,
    Installed: _installed,
    Reported: _reported,
    Drifted: _drifted,
    Failed: _failed,
    Retried: _retried,
}
