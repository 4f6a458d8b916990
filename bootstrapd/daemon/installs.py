"""From live to ready: judges registrations, claims what is armed, runs the installs and ends what stalls.

Looks at a machine whenever something happened to it, and at all of them by time. Every act waits for the
durable commit of the event that allows it, so that a crash may repeat a message, never an erase. What may be
done is `policy.claim`'s and `policy.arm`'s to say; how it is done is the installer's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import structlog
from msgspec import Struct

from bootstrapd.daemon.appliance import Appliance, of
from bootstrapd.errors import EdgeError, RefusedError
from bootstrapd.model import (
    Built,
    ChosenDisk,
    Claimed,
    Disarmed,
    EraseStarted,
    Failed,
    Host,
    Installed,
    PhaseStarted,
    Profile,
    Progressed,
    Rejected,
    State,
    Transition,
)
from bootstrapd.policy import install
from bootstrapd.policy.arm import Arm, forbids, next_try
from bootstrapd.policy.claim import Claim, Exhausted, Wait, claim, judge
from bootstrapd.policy.install import Done, Failure, Job, Progress
from bootstrapd.policy.lifecycle import DEADLINES_S
from bootstrapd.policy.machine import Machine, token_id

log = structlog.get_logger(__name__)

PROGRESS_S: Final = 5.0  # a phase's progress becomes an event so often at most
ERASES: Final = "preclean"  # the first phase that destroys

FIRST_BOOT: Final = (
    "look at its console: it may hang in its boot loader, boot from another disk, or have no network; "
    "'bootstrapd hosts retry NAME' lets its next power-on install it again"
)


class InstallerLike(Protocol):
    async def problems(self) -> list[str]: ...

    async def reap(self) -> int: ...

    async def run(
        self,
        job: Job,
        gate: Callable[[str, install.Built | None], Awaitable[None]],
        tell: Callable[[Progress], None],
    ) -> Done | Failure: ...

    async def reboot(self, job: Job) -> Failure | None: ...


class Ground(Struct, frozen=True):
    """What an install needs of the appliance: a folder to build from, where to report, the key, the room."""

    place: Callable[[Host, Profile, tuple[ChosenDisk, ...]], Path | str]  # blocking: writes disks.json
    server: Callable[[str], str]  # our base URL as seen from this address
    key_file: Path
    at_once: int = 2
    ssh_port: int = 22


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
        self._ground = ground
        self._durable = durable
        self._slots = asyncio.Semaphore(ground.at_once)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._to_look_at: set[str] = set()
        self._told: dict[str, float] = {}  # when a machine's progress last became an event
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
            if machine.state is State.INSTALLING:
                self._interrupted(machine, "bootstrapd was stopped while it ran")
            elif machine.state is State.REBOOTING:
                self._start(machine, partial(self._reboot_once_more, machine))
            self._look(machine)

    async def close(self) -> None:
        """End every install; what ran is journalled as interrupted and tried again at the next start."""
        self._is_open = False
        running = {name: task for name, task in self._running.items() if not task.done()}
        for task in running.values():
            task.cancel()
        await asyncio.gather(*running.values(), return_exceptions=True)
        for name in running:
            machine = self._registry.machines.get(name)
            if machine is not None and machine.state is State.INSTALLING:
                self._interrupted(machine, "bootstrapd was stopped while it ran")

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
        for machine in list(self._registry):
            deadline = DEADLINES_S.get(machine.state)
            if deadline is not None and now - machine.since > deadline:
                self._too_long(machine, deadline)
            self._look(machine)

    async def _check_again(self) -> None:
        self.problems = await self._installer.problems()
        self._checking = None

    def reconsider(self) -> None:
        """The hosts folder changed: arms of hosts that are gone end, and what was rejected is judged again."""
        hosts = self._appliance.setup.book.hosts
        for arm in [arm for arm in self._registry.arms.values() if arm.host not in hosts]:
            self._end(arm, "its host is no longer declared")
        for machine in list(self._registry):
            found = self._host_of(machine)
            if found and machine.state in {State.LIVE, State.REJECTED} and machine.is_judged:
                verdict = judge(machine, *found)
                is_news = (
                    verdict.reasons != machine.rejected
                    if isinstance(verdict, Rejected)
                    else machine.rejected or verdict.disks != machine.disks
                )
                if is_news:
                    self._appliance.tell(verdict)

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

    async def _stop(self, machine: Machine) -> None:
        """No process of its install is alive when this returns."""
        task = self._running.get(machine.id)
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    async def interrupt(self, machine: Machine, cause: str) -> None:
        """The machine has left its live system: end what runs on it."""
        await self._stop(machine)
        if machine.state in {State.CLAIMED, State.INSTALLING}:
            self._interrupted(machine, cause)

    async def abort(self, machine: Machine, by: str) -> None:
        """Stop it for good: the process group is dead and the arm is over when this returns."""
        stage = machine.phase
        await self._stop(machine)
        if machine.state not in {State.CLAIMED, State.INSTALLING}:
            return
        self._tell_failed(
            machine,
            Failure(
                stage=stage or "claim",
                cause=f"aborted ({by}). {install.holds(stage)}",
                hint=f"'bootstrapd hosts arm {machine.host}' consents to another install",
            ),
            retry_at=0.0,
        )
        self._disarm(machine.host, f"aborted ({by})")

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
        if machine.state in {State.LIVE, State.REJECTED} and machine.hardware and not machine.is_judged:
            self._appliance.tell(judge(machine, host, profile))
        if machine.state is State.CLAIMED:
            self._start(machine, lambda: self._install(machine, host, profile))
            return
        due = claim(machine, profile, self._registry.arms.get(host.name), self._appliance.chance.now())
        match due:
            case Claim(arm=arm, disks=disks) if not self.problems:
                self._appliance.tell(Claimed(**of(machine), host=host.name, arm=arm.id, disks=disks))
            case Exhausted(arm=arm, reason=reason):
                self._end(arm, reason)
            case Claim() | Wait():
                pass

    def _too_long(self, machine: Machine, deadline: float) -> None:
        """The state's deadline is over; live has one only while an install is due that cannot begin."""
        match machine.state:
            case State.LIVE if self.problems and self.why(machine) == " ".join(self.problems):
                cause, hint = " ".join(self.problems), "install what is missing; it goes on by itself"
            case State.CLAIMED:
                cause = f"it waited {deadline / 3600:.0f} h for its turn"
                hint = "the installs before it take too long: see 'bootstrapd watch'"
            case State.INSTALLING:
                cause, hint = f"it took longer than {deadline / 3600:.0f} h", "see the last lines"
            case State.REBOOTING:
                self._tell_failed(
                    machine,
                    Failure(
                        stage="first boot",
                        cause=f"its system did not report within {deadline / 60:.0f} minutes",
                        hint=FIRST_BOOT.replace("NAME", machine.host),
                    ),
                    retry_at=0.0,
                )
                return
            case _:
                return
        task = self._running.get(machine.id)
        if task is not None:
            task.cancel()
        self._fail(machine, Failure(stage=machine.phase or "claim", cause=cause, hint=hint))

    def _start(self, machine: Machine, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """One piece of work a machine at a time."""
        if machine.id not in self._running:
            task = self._running[machine.id] = asyncio.create_task(work())
            task.add_done_callback(lambda done: self._ended(machine.id, done))

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        del self._running[name]
        if not task.cancelled() and (bug := task.exception()) is not None:
            log.error("an install ended by a bug of ours", machine=name, exc_info=bug)

    async def _install(self, machine: Machine, host: Host, profile: Profile) -> None:
        async with self._slots:
            if machine.state is not State.CLAIMED:
                return
            try:
                job = await self._job(machine, host, profile)
                outcome: Done | Failure | None = await self._installer.run(
                    job,
                    lambda phase, built: self._gate(machine, job, phase, built),
                    lambda progress: self._progress(machine, progress),
                )
                if isinstance(outcome, Done):
                    self._appliance.tell(Installed(**of(machine), closure=outcome.built.closure))
                    await self._durable()
                    outcome = await self._installer.reboot(job)
            except (EdgeError, RefusedError) as error:
                outcome = Failure(stage=machine.phase or "claim", cause=str(error))
            except Exception as error:
                log.exception("an install ended by a bug of ours", machine=host.name)
                outcome = Failure(stage=machine.phase or "claim", cause=f"a bug in bootstrapd: {error!r}")
            if isinstance(outcome, Failure):
                self._fail(machine, outcome)

    async def _reboot_once_more(self, machine: Machine) -> None:
        """Killed between the event and the act: where the installer still runs it is told again.

        A machine that is on its way already does not answer, or answers with another key: nothing is lost.
        """
        found = self._host_of(machine)
        if found is not None:
            await self._installer.reboot(await self._job(machine, *found))

    async def _job(self, machine: Machine, host: Host, profile: Profile) -> Job:
        flake = await asyncio.to_thread(self._ground.place, host, profile, machine.disks)
        hardware = machine.hardware
        return Job(
            run=machine.run,
            host=host.name,
            address=machine.address,
            host_key=machine.host_key,
            firmware=hardware.firmware if hardware else "",
            disks=machine.disks,
            flake=str(flake),
            key_file=str(self._ground.key_file),
            esp_label=profile.esp_label,
            server=self._ground.server(machine.address),
            report_token=self._appliance.chance.new_secret(),
            port=self._ground.ssh_port,
        )

    async def _gate(self, machine: Machine, job: Job, phase: str, built: install.Built | None) -> None:
        """Before a phase's first process: what it is about to do is on disk when this returns."""
        if built is not None:
            self._appliance.tell(
                Built(
                    **of(machine),
                    closure=built.closure,
                    disko=built.disko,
                    report_id=token_id(job.report_token),
                )
            )
        if phase == ERASES:
            arm = self._consent(machine)
            self._appliance.tell(EraseStarted(**of(machine), arm=arm.id, disks=machine.disks))
        self._appliance.tell(PhaseStarted(**of(machine), phase=phase))
        await self._durable()

    def _consent(self, machine: Machine) -> Arm:
        """The arm this run was claimed under, which still allows the erase; RefusedError where it does not."""
        arm = self._registry.arms.get(machine.host)
        if arm is None or arm.id != machine.arm:
            raise RefusedError("the consent it was claimed under is gone: nothing was erased", "NO_ARM")
        forbidden = forbids(arm, machine.disks, self._appliance.chance.now())
        if forbidden:
            raise RefusedError(forbidden, "ARM_EXHAUSTED")
        return arm

    def _progress(self, machine: Machine, progress: Progress) -> None:
        now = self._appliance.chance.now()
        if now - self._told.get(machine.id, 0.0) < PROGRESS_S:
            return
        self._told[machine.id] = now
        self._appliance.tell(
            Progressed(
                **of(machine),
                phase=progress.phase,
                done=progress.done,
                total=progress.total,
                unit=progress.unit,
                line=progress.line or progress.step,
            )
        )

    def _interrupted(self, machine: Machine, cause: str) -> None:
        stage = machine.phase or "claim"
        held = install.holds(machine.phase)
        self._fail(machine, Failure(stage=stage, cause=f"interrupted: {cause}", disk=held), at_once=True)

    def _fail(self, machine: Machine, failure: Failure, *, at_once: bool = False) -> None:
        """The run failed: when to try again, or that the arm has no more to give."""
        arm = self._registry.arms.get(machine.host)
        now = self._appliance.chance.now()
        if failure.stage in {"reboot", "first boot"}:
            self._tell_failed(machine, failure, retry_at=0.0)
            return
        retry_at = next_try(arm, now)
        self._tell_failed(machine, failure, retry_at=now if at_once and retry_at else retry_at)
        if arm is not None and not retry_at:
            self._end(arm, f"its budget is used up: {failure.stage}: {failure.cause}")

    def _tell_failed(self, machine: Machine, failure: Failure, *, retry_at: float) -> None:
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

    def _disarm(self, host: str, reason: str) -> None:
        arm = self._registry.arms.get(host)
        if arm is not None:
            self._end(arm, reason)

    def _end(self, arm: Arm, reason: str) -> None:
        self._appliance.tell(Disarmed(id="", at=0.0, machine="", host=arm.host, arm=arm.id, reason=reason))

    def _host_of(self, machine: Machine) -> tuple[Host, Profile] | None:
        book = self._appliance.setup.book
        host = book.hosts.get(machine.host)
        return (host, book.profiles[host.profile]) if host else None
