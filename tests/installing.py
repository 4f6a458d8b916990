"""A fleet that installs, in memory: the appliance, its installs, and an installer that does as it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from builders import CLIENT, KEY, MAC, World, ask, host, setup

from bootstrapd.daemon.arming import Arming
from bootstrapd.daemon.installs import Installs
from bootstrapd.daemon.runs import Ground
from bootstrapd.model import Disk, Door, Hardware, Mac, Nic, Registered, Report, Stage, State, Transition
from bootstrapd.policy.install import PHASES, Built, Done, Failure, Job, Progress
from bootstrapd.policy.machine import Machine

CLOSURE = "/nix/store/00000000000000000000000000000001-nixos-system-cim-1"
DISK = Disk(name="vda", size_bytes=10**12, serial="S1", by_id="/dev/disk/by-id/virtio-S1", type="nvme")
LAYOUT: dict[str, Any] = {"layout": "single-disk"}
UNSEEN = Failure(stage="first boot", cause="The machine cannot be reached over SSH", is_lost=True)


class FakeInstaller:
    """Walks through the phases. `fails` names phases that fail, `hangs` those that wait to be stopped,
    `waits` those that go on once their event is set."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.fails: dict[str, Failure] = {}
        self.hangs: set[str] = set()
        self.waits: dict[str, asyncio.Event] = {}
        self.jobs: list[Job] = []
        self.began: list[tuple[str, str]] = []  # (host, phase): a process was started
        self.stopped: list[tuple[str, str]] = []
        self.reboots: list[str] = []
        self.looks: list[Job] = []
        self.seen: dict[str, Report | Failure] = {}  # by address: what a look finds
        self.at_once = self.most_at_once = 0

    async def problems(self) -> list[str]:
        return self.missing

    async def reap(self) -> int:
        return 0

    async def run(
        self,
        job: Job,
        gate: Callable[[str, Built | None], Awaitable[None]],
        tell: Callable[[Progress], None],
    ) -> Done | Failure:
        self.jobs.append(job)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            return await self._phases(job, gate, tell)
        finally:
            self.at_once -= 1

    async def _phases(self, job: Job, gate: Any, tell: Callable[[Progress], None]) -> Done | Failure:
        built = Built(closure=CLOSURE, disko="/nix/store/d-disko")
        for phase in PHASES:
            await gate(phase, None if phase == "build" else built)
            self.began.append((job.host, phase))
            tell(Progress(phase=phase, step="at work"))
            await asyncio.sleep(0)
            if phase in self.waits:
                await self.waits[phase].wait()
            if phase in self.hangs:
                try:
                    await asyncio.Event().wait()
                finally:
                    self.stopped.append((job.host, phase))
            if phase in self.fails:
                return self.fails[phase]
        return Done(built=built)

    async def reboot(self, job: Job) -> Failure | None:
        self.reboots.append(job.host)
        return self.fails.get("reboot")

    async def look(self, job: Job) -> Report | Failure:
        self.looks.append(job)
        return self.seen.get(job.address, UNSEEN)


class Fleet(World):
    """`World` with installs. `settle` lets everything that is due happen; `durable` counts the commits."""

    def __init__(self, *hosts: Any, profile: dict[str, Any] | None = None, at_once: int = 2) -> None:
        super().__init__(setup(*(hosts or (host(),)), profile={**LAYOUT, **(profile or {})}))
        self.commits: list[int] = []
        self.installer = FakeInstaller()
        self.ground = Ground(
            place=lambda *_: Path("/hosts"),
            server=lambda _: "http://10.77.0.2",
            key_file=Path("/keys/deploy"),
            at_once=at_once,
        )
        self.installs = Installs(self.appliance, self.installer, self.ground, self._committed)
        self.arming = Arming(self.appliance, self.installs, self._committed)
        self.appliance._record = self._record
        self.admissions._left = self.installs.interrupt
        with contextlib.suppress(RuntimeError):  # no loop runs, and nothing is installed
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))  # see `settle`

    def _record(self, transition: Transition) -> None:
        self.told.append(transition)
        self.installs.wake(transition)

    async def _committed(self) -> None:
        self.commits.append(len(self.told))

    async def settle(self) -> None:
        """Until nothing happens by itself any more: the loop has gone round and nobody told anything.

        There is one thread: what was given to it before is done when it has done nothing for us.
        """
        quiet = 0
        for _ in range(2000):
            before = len(self.told)
            await asyncio.sleep(0)
            await asyncio.to_thread(lambda: None)
            quiet = quiet + 1 if len(self.told) == before else 0
            if quiet > 5:
                return
        raise AssertionError("it never settles")

    async def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.appliance.tick(self.now)
        self.installs.tick(self.now)
        await self.settle()

    def machine(self, name: str = "cim-1") -> Machine:
        return self.appliance.registry.by_host[name]

    def state(self, name: str = "cim-1") -> State:
        return self.machine(name).state

    async def register(self, mac: Mac = MAC, address: str = CLIENT, **fields: Any) -> None:
        """The machine boots by its firmware and its live system registers."""
        self.now += 200
        self.appliance.answer(ask(Door.DHCP, mac, Stage.FIRMWARE))
        machine = self.appliance.registry.by_mac[mac]
        await self.admissions._left(machine, "the machine booted anew and registered again")
        given: dict[str, Any] = {"nics": (Nic(name="eth0", mac=mac),), "disks": (DISK,), "firmware": "uefi"}
        self.appliance.tell(
            Registered(
                id="",
                at=0.0,
                machine=machine.id,
                address=address,
                host_key=KEY.rsplit(" ", 1)[0],
                hardware=Hardware(**{**given, **fields}),
            )
        )
        await self.settle()
