"""The life: random walks of two machines through everything that may happen to them, over the real core.

Boots, registrations of changing hardware, arms, aborts, retries, failures and hangs of every phase, changed
files, reports, time, and kills that lose what was not durable yet. After every step the promises on erasing
hold; after a walk, time alone brings each machine to rest, and a person's usual words bring it to ready.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from typing import Any, Final

from builders import CLIENT, MAC, OTHER_MAC, SERVER, ask, host, registration, setup
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from installing import CLOSURE, DISK, LAYOUT, FakeInstaller, Fleet
from msgspec.structs import replace

from bootstrapd.daemon.assemble import read_snapshot
from bootstrapd.daemon.installs import MID_INSTALL
from bootstrapd.errors import RefusedError
from bootstrapd.model import (
    Adopted,
    AnyEvent,
    Armed,
    Claimed,
    Disarmed,
    Door,
    EraseStarted,
    FileAsk,
    Hardware,
    Nic,
    PhaseStarted,
    Report,
    Script,
    Stage,
    State,
    encode,
    event_decoder,
)
from bootstrapd.policy.arm import identities
from bootstrapd.policy.claim import Wait, claim
from bootstrapd.policy.install import PHASES, Built, Done, Failure, Job, Progress
from bootstrapd.policy.lifecycle import ERASES_AN_ARM, ERASES_WITHIN_S
from bootstrapd.policy.machine import Machine
from bootstrapd.policy.registry import Registry

Act = tuple[str, int]

MACS: Final = {"cim-1": MAC, "cim-2": OTHER_MAC}
NAMES: Final = tuple(MACS)
RESTING: Final = {
    State.SEEN,
    State.ENROLLED,
    State.LIVE,
    State.REJECTED,
    State.READY,
    State.DRIFTED,
    State.FAILED,
}
ACTS_OF_AN_INSTALL: Final = (Claimed, PhaseStarted, EraseStarted)
OTHER_DISK: Final = replace(DISK, name="vdb", serial="S2", by_id="/dev/disk/by-id/virtio-S2")
HARDWARE: Final[tuple[dict[str, Any], ...]] = (
    {"disks": (DISK,)},
    {"disks": (DISK,)},
    {"disks": (DISK,)},
    {"disks": (OTHER_DISK,)},
    {"disks": (DISK, OTHER_DISK)},  # ambiguous
    {"disks": ()},
    {"disks": (DISK,), "uuid": "11111111-2222-3333-4444-555555555555"},
    {"disks": (DISK,), "uuid": "99999999-2222-3333-4444-555555555555"},
)
BOTH: Final = tuple(host(name, mac) for name, mac in MACS.items())
FILES: Final = (
    setup(*BOTH, profile=LAYOUT),
    setup(*BOTH, profile={**LAYOUT, "install": "approve"}),
    setup(*BOTH),  # no layout
    setup(BOTH[0], profile=LAYOUT),  # cim-2 is gone
)
PAUSES: Final = (1.0, 61.0, 130.0, 301.0, 901.0, 7300.0, 25_000.0, 100_000.0)


class Watched(FakeInstaller):
    """An installer that looks, when a phase's process would start, whether it may."""

    def __init__(self) -> None:
        super().__init__()
        self.durable: Callable[[], list[AnyEvent]] = list
        self.wrong: list[str] = []

    async def run(
        self,
        job: Job,
        gate: Callable[[str, Built | None], Awaitable[None]],
        tell: Callable[[Progress], None],
    ) -> Done | Failure:
        async def watched(phase: str, built: Built | None) -> None:
            await gate(phase, built)
            self.wrong += self._objections(job, phase)

        return await super().run(job, watched, tell)

    def _objections(self, job: Job, phase: str) -> list[str]:
        durable = [event for event in self.durable() if event.run == job.run]
        wrong = []
        if not any(isinstance(event, PhaseStarted) and event.phase == phase for event in durable):
            wrong.append(f"{phase} began before that was durable")
        erases = [event.disks for event in durable if isinstance(event, EraseStarted)]
        if phase != "build" and erases != [job.disks]:
            wrong.append(f"{phase} began on {job.disks}, journalled are {erases}")
        return wrong


class Walk:
    """Two machines and whoever has a say. Each act is a method with a number as its choice."""

    def __init__(self) -> None:
        self.installer = Watched()
        self.fleet = self._made(Fleet(*BOTH))

    async def go(self, acts: list[Act]) -> None:
        await self.fleet.installs.start()
        for name, choice in acts:
            await getattr(self, name)(choice)
            await self.fleet.settle()
            self.check()

    # What machines do.

    async def boot(self, choice: int) -> None:
        self.fleet.now += 200
        self._ask(choice, Stage.FIRMWARE)

    async def ipxe(self, choice: int) -> None:
        self._ask(choice, Stage.IPXE)

    def _ask(self, choice: int, stage: Stage) -> None:
        """Legal in every state, and never an act."""
        before, began = len(self.fleet.told), list(self.installer.began)
        self.fleet.appliance.answer(ask(Door.DHCP, MACS[NAMES[choice % 2]], stage))
        assert not any(isinstance(t.event, ACTS_OF_AN_INSTALL) for t in self.fleet.told[before:])
        assert self.installer.began == began

    async def register(self, choice: int) -> None:
        """By the script that it gets, where that boots an image."""
        await self._register(NAMES[choice % 2], HARDWARE[choice // 2 % len(HARDWARE)])

    async def _register(self, name: str, hardware: dict[str, Any]) -> int:
        mac = MACS[name]
        self.fleet.files.fetch(
            FileAsk(door=Door.HTTP, path=f"boot/{mac.hexhyp}.ipxe", server=SERVER, client=CLIENT)
        )
        machine = self.fleet.appliance.registry.find(mac)
        fresh = [token for token in machine.tokens if not token.spent_by] if machine else []
        if not fresh:
            return 404
        said = Hardware(nics=(Nic(name="eth0", mac=mac),), firmware="uefi", **hardware)
        body = registration(fresh[-1].secret, mac, hardware=said)
        status, _ = await self.fleet.admissions.register(body, CLIENT)
        return status

    async def report(self, choice: int) -> None:
        jobs = [job for job in self.installer.jobs if job.host == NAMES[choice % 2]]
        if jobs:
            closure = CLOSURE if choice % 4 < 2 else "/nix/store/other"
            said = Report(token=jobs[-1].report_token, closure=closure, boot_id=f"b{choice}")
            await self.fleet.admissions.report(encode(said), CLIENT)

    # What persons do.

    async def arm(self, choice: int) -> None:
        await self._word(
            self.fleet.arming.arm(NAMES[choice % 2], "hosts add" if choice % 4 < 2 else "hosts arm")
        )

    async def disarm(self, choice: int) -> None:
        await self._word(self.fleet.arming.disarm(NAMES[choice % 2]))

    async def abort(self, choice: int) -> None:
        await self._word(self.fleet.arming.abort(NAMES[choice % 2], "me"))

    async def retry(self, choice: int) -> None:
        await self._word(self.fleet.arming.retry(NAMES[choice % 2], "me"))

    async def adopt(self, choice: int) -> None:
        """It is the same machine, whatever its hardware; refused by the operator's API in mid-install."""
        machine = self.fleet.appliance.registry.by_host.get(NAMES[choice % 2])
        if machine is not None and machine.state not in MID_INSTALL:
            self._adopt(machine)

    def _adopt(self, machine: Machine) -> None:
        self.fleet.appliance.tell(Adopted(id="", at=0.0, machine=machine.id, host=machine.host))

    async def _word(self, said: Awaitable[None]) -> None:
        with contextlib.suppress(RefusedError):
            await said

    async def files(self, choice: int) -> None:
        self.fleet.appliance.reconfigure(FILES[choice % len(FILES)])
        self.fleet.installs.reconsider()

    # What goes wrong.

    async def fail(self, choice: int) -> None:
        phase = (*PHASES, "reboot")[choice % 6]
        self.installer.fails[phase] = Failure(stage=phase, cause="it broke", is_lost=choice % 4 == 3)

    async def hang(self, choice: int) -> None:
        self.installer.hangs.add(PHASES[choice % len(PHASES)])

    async def mend(self, _: int) -> None:
        self.installer.fails.clear()
        self.installer.hangs.clear()

    async def wait(self, choice: int) -> None:
        await self.fleet.pass_time(PAUSES[choice % len(PAUSES)])

    async def stop(self, _: int) -> None:
        """In order: what runs is journalled as interrupted, and everything is on disk."""
        await self.fleet.installs.close()
        await self._begin_again([t.event for t in self.fleet.told])

    async def kill(self, _: int) -> None:
        """What was not durable is lost, and no process of an install outlives its appliance."""
        self.fleet.installs._is_open = False
        self.check_replay()
        await self.fleet.installs._runs.close()
        await self._begin_again(self._durable())

    async def _begin_again(self, journal: list[AnyEvent]) -> None:
        old = self.fleet
        made = Fleet(*BOTH)
        made.now = old.now + 3
        made.appliance.chance = replace(old.appliance.chance, now=lambda: made.now)
        made.appliance.setup = old.appliance.setup
        for event in journal:
            made.told.append(made.appliance.registry.apply(again(event)))
        made.commits.append(len(made.told))
        made.appliance.registry.calm(made.now)
        self.fleet = self._made(made)
        await made.installs.start()

    def _made(self, fleet: Fleet) -> Fleet:
        fleet.installer = self.installer
        fleet.installs._installer = fleet.installs._runs._installer = self.installer
        self.installer.durable = self._durable
        return fleet

    def _durable(self) -> list[AnyEvent]:
        return [t.event for t in self.fleet.told[: max(self.fleet.commits, default=0)]]

    # What always holds.

    def check(self) -> None:
        self.check_moves()
        self.check_erases()
        assert self.installer.wrong == []
        assert self.installer.at_once <= self.fleet.ground.at_once
        for machine in self.fleet.appliance.registry:
            self.fleet.installs.why(machine)

    def check_moves(self) -> None:
        came_from = {State.INSTALLING: State.CLAIMED, State.REBOOTING: State.INSTALLING}
        for _, before, after in map(parts, self.fleet.told):
            if after is not before and after in came_from:
                assert before is came_from[after]

    def check_erases(self) -> None:
        """Each under a consent that stands, for the disks of its claim, within the budget."""
        standing: dict[str, str] = {}  # arm -> host
        bound: dict[str, tuple[str, ...]] = {}
        erases: defaultdict[str, list[float]] = defaultdict(list)
        attempts: Counter[str] = Counter()
        for event, _, _ in map(parts, self.fleet.told):
            match event:
                case Armed(host=name, arm=arm):
                    standing = {a: h for a, h in standing.items() if h != name} | {arm: name}
                case Disarmed(arm=arm):
                    standing.pop(arm, None)
                case Claimed(host=name, arm=arm, disks=disks):
                    assert standing[arm] == name
                    assert bound.setdefault(arm, identities(disks)) == identities(disks)
                case EraseStarted(arm=arm, disks=disks, run=run, at=at):
                    assert arm in standing
                    assert bound[arm] == identities(disks)
                    attempts[run] += 1
                    assert attempts[run] == 1
                    erases[arm].append(at)
                    assert sum(then > at - ERASES_WITHIN_S for then in erases[arm]) <= ERASES_AN_ARM

    def check_replay(self) -> None:
        """The journal, or a snapshot of its beginning and the rest, make what was in memory."""
        events = [t.event for t in self.fleet.told]
        replayed, resumed, half = Registry(), Registry(), Registry()
        middle = len(events) // 2
        for event in events[:middle]:
            half.apply(again(event))
        resumed.restore(read_snapshot(encode(half.snapshot())))
        for event in events[middle:]:
            resumed.apply(again(event))
        for event in events:
            replayed.apply(again(event))
        assert encode(resumed.snapshot()) == encode(replayed.snapshot())
        assert indexes(resumed) == indexes(replayed)
        live = Registry()
        live.restore(read_snapshot(encode(self.fleet.appliance.registry.snapshot())))
        assert indexes(live) == indexes(self.fleet.appliance.registry)
        assert plain(live, self.fleet.now) == plain(replayed, self.fleet.now)

    # What comes in the end.

    async def rest(self) -> None:
        """No machine says anything any more, whatever hangs goes on hanging, and nobody is there."""
        for _ in range(40):
            await self.fleet.pass_time(3600)
        self.check()
        for machine in self.fleet.appliance.registry:
            assert machine.state in RESTING, machine.state
            found = self.fleet.installs._host_of(machine)
            if found is not None:
                arm = self.fleet.appliance.registry.arms.get(machine.host)
                due = claim(machine, found[1], arm, self.fleet.now)
                assert isinstance(due, Wait), due
                assert not due.until, due

    async def bring_to_ready(self, name: str) -> None:
        """As a person would: mend, boot, adopt what differs, arm, boot again."""
        await self.mend(0)
        self.fleet.appliance.reconfigure(FILES[0])
        self.fleet.installs.reconsider()
        self.fleet.now += 200
        self.fleet.appliance.answer(ask(Door.DHCP, MACS[name]))
        self._adopt(self.fleet.machine(name))
        await self._word(self.fleet.arming.disarm(name))
        await self.fleet.arming.arm(name, "hosts arm")
        self.fleet.now += 1000
        self.fleet.appliance.answer(ask(Door.DHCP, MACS[name]))
        _, decision = self.fleet.appliance.decide(ask(Door.DHCP, MACS[name], Stage.IPXE), self.fleet.now)
        assert isinstance(decision, Script), decision
        assert await self._register(name, HARDWARE[0]) == 200
        await self.fleet.settle()
        assert self.fleet.state(name) is State.REBOOTING, self.fleet.machine(name).why
        await self.report(NAMES.index(name))
        assert self.fleet.state(name) is State.READY
        self.check()


def parts(transition: Any) -> tuple[AnyEvent, State | None, State | None]:
    return transition.event, transition.before, transition.after


def again(event: AnyEvent) -> AnyEvent:
    """As the journal gives it back."""
    read = event_decoder().decode(encode(event))
    assert read == event
    return read


def indexes(registry: Registry) -> dict[str, dict[str, str]]:
    """Whom each name leads to."""
    tables: dict[str, dict[Any, Machine]] = {
        "mac": registry.by_mac,
        "host": registry.by_host,
        "token": registry.by_token,
        "overlay": registry.by_overlay,
        "report": registry.by_report,
        "stranger": dict(registry.strangers),
    }
    return {name: {str(key): found.id for key, found in table.items()} for name, table in tables.items()}


def plain(registry: Registry, now: float) -> Any:
    """The registry without what no event tells: when a packet last came, and what was said to it."""
    for machine in registry:
        registry.drop_tokens(machine, now)
        machine.last_seen, machine.reason = 0.0, ""
        if machine.boot:
            machine.boot.last, machine.boot.took, machine.boot.took_at = 0.0, "", 0.0
            machine.boot.xids.clear()
        for boot in machine.boots:
            boot.last, boot.took, boot.took_at = 0.0, "", 0.0
            boot.xids.clear()
    snapshot = registry.snapshot()
    return (
        sorted(map(encode, snapshot.machines)),
        sorted(snapshot.strangers),
        sorted(map(encode, snapshot.arms)),
    )


OFTEN: Final = ("register", "register", "register", "arm", "arm", "wait", "wait", "wait")
SELDOM: Final = (
    "boot",
    "ipxe",
    "report",
    "disarm",
    "abort",
    "retry",
    "files",
    "fail",
    "hang",
    "mend",
    "stop",
    "kill",
)
ACTS: Final = st.tuples(st.sampled_from(OFTEN + SELDOM), st.integers(0, 47))
A_WALK: Final = settings(
    max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
)


@A_WALK
@given(st.lists(ACTS, max_size=30))
@example([("arm", 2), ("boot", 0), ("register", 0), ("report", 0), ("kill", 0)])
@example(
    [("arm", 2), ("hang", 2), ("boot", 0), ("register", 0), ("kill", 0), ("kill", 0), ("kill", 0), ("kill", 0)]
)
@example([("arm", 2), ("fail", 2), ("register", 0), ("adopt", 0), ("register", 6), ("retry", 0)])
@example([("arm", 2), ("fail", 2), ("register", 0), *[("retry", 0)] * 6])
@example([("arm", 2), ("fail", 4), ("register", 0), ("wait", 1), ("register", 6), ("wait", 3)])
def test_whatever_happens_the_promises_hold_and_time_brings_rest(acts: list[Act]) -> None:
    async def walk() -> None:
        made = Walk()
        await made.go(acts)
        made.check_replay()
        await made.rest()
        made.check_replay()
        for name in NAMES:
            await made.bring_to_ready(name)
        await made.fleet.installs.close()

    asyncio.run(walk())
