"""From live to ready: judges registrations, claims what is armed, runs the installs and ends what stalls.

Looks at a machine whenever something happened to it, and at all of them by time. Every act waits for the
durable commit of the event that allows it, so that a crash may repeat a message, never an erase. What may be
done is `policy.claim`'s and `policy.arm`'s to say; how it is done is the installer's.

To read an install from the outside in: this file (when), `runs` (one run, phase by phase), `outcomes` (how it
ends), `edge/installer` (the processes), `policy/install` and its neighbours `install_steps`, `_progress`,
`_verdict`, `_facts` (what they are and mean), `policy/install_effects` (what each event leaves behind).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from bootstrapd.daemon.appliance import Appliance, of
from bootstrapd.daemon.outcomes import Outcomes
from bootstrapd.daemon.runs import Ground, InstallerLike, Runs
from bootstrapd.model import Claimed, Host, Profile, Rejected, State, Transition
from bootstrapd.policy.claim import Claim, Exhausted, Wait, claim, judge
from bootstrapd.policy.install import Failure
from bootstrapd.policy.lifecycle import DEADLINES_S
from bootstrapd.policy.machine import Machine

log = structlog.get_logger(__name__)

JUDGED: Final = frozenset({State.LIVE, State.REJECTED, State.FAILED})  # while the live system is up
MID_INSTALL: Final = frozenset({State.CLAIMED, State.INSTALLING})
GONE_S: Final = 10.0
STOPPED: Final = "bootstrapd was stopped while it ran"
UNDECLARED: Final = "its host is no longer declared"


class Installs:
    """`wake` it with every transition, `tick` it by time; `start` after the replay, `close` by the end."""

    def __init__(
        self,
        appliance: Appliance,
        installer: InstallerLike,
        ground: Ground,
        durable: Callable[[], Awaitable[None]],
    ) -> None:
        self._appliance = appliance
        self._registry = appliance.registry
        self._installer = installer
        self._outcomes = Outcomes(appliance)
        self._runs = Runs(appliance, installer, ground, durable, self._outcomes)
        self._to_look_at: set[str] = set()
        self._gone: dict[str, float] = {}  # hosts with an arm or a run that are not declared, and since when
        self._is_open = False
        self.problems: list[str] = []
        self._checking: asyncio.Future[None] | None = None

    async def start(self) -> None:
        """End what a killed appliance left behind, say what is missing, go on where the journal ends."""
        left = await self._installer.reap()
        if left:
            log.warning("installs of an appliance that was killed were ended", processes=left)
        self.problems = await self._installer.problems()
        self._is_open = True
        for machine in list(self._registry):
            found = self._host_of(machine)
            if machine.state is State.INSTALLING:
                self._outcomes.interrupted(machine, STOPPED)
            elif machine.state is State.REBOOTING and found is not None:
                self._runs.reboot(machine, *found)
            self._look(machine)

    async def close(self) -> None:
        """End every install; what ran is journalled as interrupted and tried again at the next start."""
        self._is_open = False
        await self._runs.close()
        for machine in list(self._registry):
            if machine.state is State.INSTALLING:
                self._outcomes.interrupted(machine, STOPPED)

    def wake(self, transition: Transition) -> None:
        """Something happened: have a look at that machine, once whoever told it is done."""
        event = transition.event
        host = self._registry.by_host.get(getattr(event, "host", ""))
        name = event.machine or (host.id if host else "")
        if not name or not self._is_open:
            return
        if not self._to_look_at:
            asyncio.get_running_loop().call_soon(self._look_at_them)
        self._to_look_at.add(name)

    def tick(self, now: float) -> None:
        """What time alone brings: retries that are due, states that lasted too long."""
        if not self._is_open:
            return
        if self.problems and not self._checking:
            self._checking = asyncio.ensure_future(self._check_again())
        self._let_go(now)
        for machine in list(self._registry):
            deadline = DEADLINES_S.get(machine.state)
            if deadline is not None and now - machine.since > deadline:
                self._too_long(machine, deadline)
            self._look(machine)

    async def _check_again(self) -> None:
        self.problems = await self._installer.problems()
        self._checking = None

    def reconsider(self) -> None:
        """The hosts folder changed: verdicts are made anew."""
        for machine in list(self._registry):
            found = self._host_of(machine)
            if found and machine.state in JUDGED and machine.is_up and machine.is_judged:
                self._judge_again(machine, *found)

    def _let_go(self, now: float) -> None:
        """Arms and installs of hosts that stay gone end; a checkout takes files away for a moment only."""
        hosts = self._appliance.setup.book.hosts
        installing = [m for m in self._registry if m.state in MID_INSTALL and m.host not in hosts]
        gone = {machine.host for machine in installing} | self._registry.arms.keys() - hosts.keys()
        self._gone = {name: self._gone.get(name, now) for name in gone}
        for arm in [arm for arm in self._registry.arms.values() if self._is_gone(arm.host, now)]:
            self._outcomes.end(arm, UNDECLARED)
        for machine in installing:
            if self._is_gone(machine.host, now):
                self._runs.stop_soon(machine)
                self._outcomes.interrupted(machine, UNDECLARED)

    def _is_gone(self, host: str, now: float) -> bool:
        return now - self._gone.get(host, now) >= GONE_S

    def _judge_again(self, machine: Machine, host: Host, profile: Profile) -> bool:
        """By the files as they are now; whether the verdict is another one."""
        verdict = judge(machine, host, profile)
        is_news = bool(
            verdict.reasons != machine.rejected
            if isinstance(verdict, Rejected)
            else machine.rejected or verdict.disks != machine.disks
        )
        if is_news:
            self._appliance.tell(verdict)
        return is_news

    def why(self, machine: Machine) -> str:
        """What this machine waits for, in a sentence; "" when it does not."""
        found = self._host_of(machine)
        if found is None or machine.state not in {State.LIVE, State.FAILED}:
            return ""
        host, profile = found
        due = claim(machine, profile, self._registry.arms.get(host.name), self._appliance.chance.now())
        match due:
            case Wait(reason=reason) | Exhausted(reason=reason):
                return reason
            case Claim():
                return " ".join(self.problems)

    async def interrupt(self, machine: Machine, cause: str) -> None:
        """The machine has left its live system: end what runs on it."""
        await self._runs.stop(machine)
        if machine.state in MID_INSTALL:
            self._outcomes.interrupted(machine, cause)

    async def abort(self, machine: Machine, by: str) -> None:
        """Stop it for good: the process group is dead and the arm is over when this returns."""
        stage = machine.phase
        await self._runs.stop(machine)
        if machine.state in MID_INSTALL:
            self._outcomes.aborted(machine, stage, by)

    def _look_at_them(self) -> None:
        names, self._to_look_at = self._to_look_at, set()
        for name in names:
            machine = self._registry.machines.get(name)
            if machine is not None:
                self._look(machine)

    def _look(self, machine: Machine) -> None:
        found = self._host_of(machine)
        if found is None or not self._is_open:
            return
        host, profile = found
        if machine.state in JUDGED and machine.hardware and machine.is_up and not machine.is_judged:
            self._appliance.tell(judge(machine, host, profile))
        if machine.state is State.CLAIMED:
            self._runs.start(machine, host, profile)
            return
        if machine.state is State.REBOOTING and profile.report == "ssh":
            self._runs.look_for(machine, host, profile)
            return
        due = claim(machine, profile, self._registry.arms.get(host.name), self._appliance.chance.now())
        match due:
            case Claim(arm=arm, disks=disks) if not self.problems:
                if not self._judge_again(machine, host, profile):
                    self._appliance.tell(Claimed(**of(machine), host=host.name, arm=arm.id, disks=disks))
            case Exhausted(arm=arm, reason=reason):
                self._outcomes.end(arm, reason)
            case Claim() | Wait():
                pass

    def _too_long(self, machine: Machine, deadline: float) -> None:
        """The state's deadline is over; live has one only while an install is due that cannot begin."""
        stage = machine.phase or "claim"
        match machine.state:
            case State.LIVE if self.problems and self.why(machine) == " ".join(self.problems):
                cause, hint = " ".join(self.problems), "install what is missing; it goes on by itself"
            case State.CLAIMED:
                cause = f"it waited {deadline / 3600:.0f} h for its turn"
                hint = "the installs before it take too long: see 'bootstrapd watch'"
            case State.INSTALLING:
                cause, hint = f"it took longer than {deadline / 3600:.0f} h", "see the last lines"
            case State.REBOOTING:
                self._runs.stop_soon(machine)
                self._outcomes.failed(machine, self._runs.overdue(machine, deadline))
                return
            case _:
                return
        self._runs.stop_soon(machine)
        self._outcomes.failed(machine, Failure(stage=stage, cause=cause, hint=hint))

    def _host_of(self, machine: Machine) -> tuple[Host, Profile] | None:
        book = self._appliance.setup.book
        host = book.hosts.get(machine.host)
        return (host, book.profiles[host.profile]) if host else None
