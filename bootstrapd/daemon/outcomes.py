"""How a run ends other than well: an event with its cause, what is next, and what is left of the arm."""

from __future__ import annotations

from bootstrapd.daemon.appliance import Appliance, of
from bootstrapd.model import Disarmed, Failed
from bootstrapd.policy import install
from bootstrapd.policy.arm import Arm, next_try
from bootstrapd.policy.install import Failure
from bootstrapd.policy.install_effects import ON_ITS_OWN
from bootstrapd.policy.machine import Machine


class Outcomes:
    """Tells failures, and ends arms that have no more to give."""

    def __init__(self, appliance: Appliance) -> None:
        self._appliance = appliance

    def failed(self, machine: Machine, failure: Failure, *, at_once: bool = False) -> None:
        """The run failed: when to try again (`at_once`: now, if at all), or that a person has to."""
        arm = self._appliance.registry.arms.get(machine.host)
        now = self._appliance.chance.now()
        if failure.stage in ON_ITS_OWN:
            self._tell(machine, failure, retry_at=0.0)
            return
        retry_at = next_try(arm, now)
        self._tell(machine, failure, retry_at=now if at_once and retry_at else retry_at)
        if arm is not None and not retry_at:
            self.end(arm, f"its budget is used up: {failure.stage}: {failure.cause}")

    def interrupted(self, machine: Machine, cause: str) -> None:
        """Nobody's mistake: tried again as soon as may be."""
        held = install.holds(machine.phase)
        failure = Failure(stage=machine.phase or "claim", cause=f"interrupted: {cause}", disk=held)
        self.failed(machine, failure, at_once=True)

    def aborted(self, machine: Machine, stage: str, by: str) -> None:
        """A person ended it, and with it the consent."""
        failure = Failure(
            stage=stage or "claim",
            cause=f"aborted ({by})",
            hint=f"'bootstrapd hosts arm {machine.host}' consents to another install",
            disk=install.holds(stage),
        )
        self._tell(machine, failure, retry_at=0.0)
        arm = self._appliance.registry.arms.get(machine.host)
        if arm is not None:
            self.end(arm, f"aborted ({by})")

    def end(self, arm: Arm, reason: str) -> None:
        """The arm is over."""
        self._appliance.tell(Disarmed(id="", at=0.0, machine="", host=arm.host, arm=arm.id, reason=reason))

    def _tell(self, machine: Machine, failure: Failure, *, retry_at: float) -> None:
        cause = f"{failure.cause}. {failure.disk}" if failure.disk else failure.cause
        self._appliance.tell(
            Failed(
                **of(machine),
                stage=failure.stage,
                cause=cause,
                hint=failure.hint,
                lines=failure.lines,
                retry_at=retry_at,
                is_lost=failure.is_lost,
            )
        )
