"""The runs under way: a task a machine, a bounded number at once, first come, first served.

A run is claimed before it comes here. Before each phase its event is made durable, and before the first one
that destroys, the erase; only then does the installer start a process. Stopping a run returns when its
processes are dead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from pathlib import Path
from typing import Final, Protocol

import structlog
from msgspec import Struct

from bootstrapd.daemon.appliance import Appliance, of
from bootstrapd.daemon.first_boot import FirstBoots
from bootstrapd.daemon.outcomes import Outcomes
from bootstrapd.errors import EdgeError, RefusedError
from bootstrapd.model import (
    Built,
    ChosenDisk,
    EraseStarted,
    Host,
    Installed,
    Mac,
    PhaseStarted,
    Profile,
    Progressed,
    Report,
    State,
)
from bootstrapd.policy import install
from bootstrapd.policy.arm import Arm, forbids
from bootstrapd.policy.claim import outdated
from bootstrapd.policy.install import Done, Failure, Job, Progress
from bootstrapd.policy.machine import Machine, token_id

log = structlog.get_logger(__name__)

PROGRESS_S: Final = 5.0  # a phase's progress becomes an event so often at most


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

    async def look(self, job: Job) -> Report | Failure: ...


class Ground(Struct, frozen=True):
    """What an install needs of the appliance: a folder to build from, where to report, the key, the room."""

    place: Callable[[Host, Profile, tuple[ChosenDisk, ...]], Path | str]  # blocking: writes disks.json
    server: Callable[[str], str]  # our base URL as seen from this address
    key_file: Path
    at_once: int = 2
    ssh_port: int = 22
    neighbours: Callable[[Iterable[Mac]], list[str]] = lambda _: []  # addresses that the kernel saw these at
    wait: Callable[[float], Awaitable[None]] = asyncio.sleep


class Runs:
    """`start` what is claimed, `stop` what must not go on, `close` by the end."""

    def __init__(
        self,
        appliance: Appliance,
        installer: InstallerLike,
        ground: Ground,
        durable: Callable[[], Awaitable[None]],
        outcomes: Outcomes,
    ) -> None:
        self._appliance = appliance
        self._registry = appliance.registry
        self._installer = installer
        self._ground = ground
        self._durable = durable
        self._outcomes = outcomes
        self._slots = asyncio.Semaphore(ground.at_once)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._first_boots = FirstBoots(appliance, installer, durable, ground.neighbours, ground.wait)
        self._told: dict[str, float] = {}  # when a machine's progress last became an event

    def start(self, machine: Machine, host: Host, profile: Profile) -> None:
        """Install it when its turn comes; nothing where it is under way already, or has not quite ended."""
        self._begin(machine, lambda: self._run(machine, host, profile))

    def reboot(self, machine: Machine, host: Host, profile: Profile) -> None:
        """Once more: the appliance was killed between the event and the act."""
        self._begin(machine, lambda: self._reboot(machine, host, profile))

    def look_for(self, machine: Machine, host: Host, profile: Profile) -> None:
        """Its new system does not report: ask for it, as soon as what is under way with it has ended."""
        self._begin(machine, lambda: self._look_for(machine, host, profile))

    def overdue(self, machine: Machine, waited_s: float) -> Failure:
        """Why its first boot counts as failed."""
        return self._first_boots.overdue(machine, waited_s)

    async def stop(self, machine: Machine) -> None:
        """No process of its run is alive when this returns."""
        task = self._running.get(machine.id)
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    def stop_soon(self, machine: Machine) -> None:
        """As `stop`; a new run of this machine begins after that."""
        task = self._running.get(machine.id)
        if task is not None:
            task.cancel()

    async def close(self) -> None:
        """No process of any run is alive when this returns."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, machine: Machine, work: Callable[[], Coroutine[None, None, None]]) -> None:
        if machine.id not in self._running:
            task = self._running[machine.id] = asyncio.create_task(work())
            task.add_done_callback(lambda done: self._ended(machine.id, done))

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        del self._running[name]
        if not task.cancelled() and (bug := task.exception()) is not None:
            log.error("a run ended by a bug of ours", machine=name, exc_info=bug)

    async def _run(self, machine: Machine, host: Host, profile: Profile) -> None:
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
                self._outcomes.failed(machine, outcome)

    async def _reboot(self, machine: Machine, host: Host, profile: Profile) -> None:
        """Killed between the event and the act: where the installer still runs it is told again.

        A machine that is on its way already does not answer, or answers with another key: nothing is lost.
        """
        await self._installer.reboot(await self._job(machine, host, profile))

    async def _look_for(self, machine: Machine, host: Host, profile: Profile) -> None:
        try:
            await self._first_boots.watch(machine, host, await self._job(machine, host, profile))
        except EdgeError as error:
            log.warning("the new system cannot be asked for", machine=host.name, reason=str(error))

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
            report=profile.report,
            server=self._ground.server(machine.address),
            report_token=self._appliance.chance.new_secret(),
            port=self._ground.ssh_port,
        )

    async def _gate(self, machine: Machine, job: Job, phase: str, built: install.Built | None) -> None:
        """Before a phase's first process: what it is about to do is on disk when this returns."""
        if phase == install.ERASES and built is not None:
            self._refuse_outdated(machine, job)
            arm = self._consent(machine)
            self._appliance.tell(
                Built(
                    **of(machine),
                    closure=built.closure,
                    disko=built.disko,
                    report_id=token_id(job.report_token),
                )
            )
            self._appliance.tell(EraseStarted(**of(machine), arm=arm.id, disks=machine.disks))
        self._appliance.tell(PhaseStarted(**of(machine), phase=phase))
        await self._durable()

    def _refuse_outdated(self, machine: Machine, job: Job) -> None:
        """A build takes its time: RefusedError where a person has changed the host's files meanwhile."""
        book = self._appliance.setup.book
        host = book.hosts.get(machine.host)
        changed = outdated(machine, job.disks, host, book.profiles[host.profile]) if host else ""
        if changed:
            raise RefusedError(f"nothing was erased: {changed}", "OUTDATED")

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
