"""What every door answers: asks in, replies out, from memory, with what changed recorded behind the answer.

The DHCP, 4011, TFTP and HTTP edges hand their asks to one `Appliance`; it finds the machine, lets `policy`
decide, and records the events that the answer caused. It owns no socket and no task; time, ids and secrets come
from outside.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Final, TypedDict

from msgspec import Struct
from msgspec.structs import replace

from bootstrapd.model import (
    ARCHES,
    AnyEvent,
    Ask,
    BootAsked,
    Claimed,
    Enrolled,
    Host,
    Mac,
    Merged,
    NicSeen,
    Noticed,
    Refused,
    Reply,
    Silence,
    Stage,
    State,
    TimedOut,
    Transition,
)
from bootstrapd.policy import answer, lifecycle
from bootstrapd.policy.arm import wants_netboot
from bootstrapd.policy.boot import AnyDecision, Setup, Standing, decide
from bootstrapd.policy.effects import GUARD_WINDOW_S
from bootstrapd.policy.machine import IN_A_RUN, Boot, Machine, begins_boot, run_of
from bootstrapd.policy.match import Conflict, match
from bootstrapd.policy.registry import MACS_A_MACHINE, Registry
from bootstrapd.policy.surroundings import Heard, judge, judge_choice

ANSWERS_A_MACHINE: Final = 16
SCRIPT_AFTER_S: Final = 60.0  # a boot program that runs asks for its script long before (iPXE 2019: up to 35 s)

NBP_WITHOUT_SCRIPT: Final = "NBP_WITHOUT_SCRIPT"
WITHOUT_SCRIPT: Final = (
    "it fetched its network boot program and never asked for its script: Secure Boot is probably on (the "
    "firmware refuses an unsigned iPXE without a word to us), or this program hangs there; switch Secure Boot "
    "off, or name another [boot] program in its host.toml"
)


class Draft(TypedDict):
    id: str
    at: float
    machine: str


class Chance(Struct, frozen=True):
    """The world's clock and dice, handed in so that a test can hold them."""

    now: Callable[[], float]
    new_id: Callable[[], str]
    new_secret: Callable[[], str]


class Appliance:
    """Every answer the appliance gives to machines. `record` journals and publishes an applied event."""

    def __init__(
        self,
        setup: Setup,
        chance: Chance,
        counters: Counter[str],
        record: Callable[[Transition], object],
    ) -> None:
        self.registry = Registry()
        self.setup = setup
        self.counters = counters
        self.chance = chance
        self._record = record

    def tell(self, draft: AnyEvent) -> AnyEvent:
        """Give a draft its id, time and boot, apply it, record it. The one way an event comes to be."""
        event_id = self.chance.new_id()
        machine = self.registry.machines.get(draft.machine)
        boot = event_id if isinstance(draft, BootAsked) else machine.boot.id if machine and machine.boot else ""
        run = event_id if isinstance(draft, Claimed) else run_of(machine) if machine else ""
        event = replace(draft, id=event_id, at=self.chance.now(), boot=boot, run=run)
        self._record(self.registry.apply(event))
        return event

    def reconfigure(self, setup: Setup) -> None:
        """Serve by a new setup from now on. Strangers, and machines whose host is gone, may become another."""
        self.setup = setup
        for machine in list(self.registry):
            machine.answers.clear()
            if machine.host not in setup.book.hosts and machine.id in self.registry.machines:
                known = (match(setup.index, mac, machine.uuid, machine.serial) for mac in machine.macs)
                host = next((found for found in known if isinstance(found, Host)), None)
                if host is not None:
                    self._identify(machine, host.name)

    def claimant(self, ask: Ask) -> Host | Conflict | None:
        """Who claims the asker: by what it says, else by what it said before (file doors hear a MAC only)."""
        found = match(self.setup.index, ask.mac, ask.uuid, ask.serial)
        known = self.registry.by_mac.get(ask.mac)
        if found is None and known is not None:
            found = match(self.setup.index, ask.mac, known.uuid, known.serial)
        return found

    def answer(self, ask: Ask) -> Reply:
        """The DHCP and 4011 doors. From memory: a repeated ask costs a look-up."""
        now = self.chance.now()
        question = (ask.door, ask.stage, ask.arch, ask.server, ask.features, ask.uuid)
        machine = self.registry.find(ask.mac)
        if machine is not None:
            known = machine.answers.get(question)
            if known is not None and not begins_boot(machine, ask, now):
                touch(machine, ask, now)
                reply, counter = known
                self.counters[counter] += 1
                return reply
        machine, decision = self.decide(ask, now)
        reply = answer.reply(decision, ask, self.setup)
        if not machine.held and len(machine.answers) < ANSWERS_A_MACHINE:
            machine.answers[question] = (reply, counter_of(decision))
        return reply

    def peek(self, ask: Ask, now: float) -> tuple[Host | None, AnyDecision]:
        """The decision and whose it is, with nothing changed by asking: for HEAD and `explain`."""
        found = self.claimant(ask)
        host = found if isinstance(found, Host) else None
        machine = self.registry.find(ask.mac, host.name if host else "")
        return host, decide(ask, self.standing(machine, found, now), self.setup)

    def decide(self, ask: Ask, now: float) -> tuple[Machine, AnyDecision]:
        """Find the machine, open a boot where this ask begins one, decide. What every door goes through."""
        found = self.claimant(ask)
        name = found.name if isinstance(found, Host) else ""
        machine = self._asker(ask.mac, name)
        is_first = machine is None or begins_boot(machine, ask, now)
        if machine is None or is_first:
            machine = self._open_boot(ask, name, machine)
        else:
            self._lead_to(machine, ask.mac)
        touch(machine, ask, now)
        decision = decide(ask, self.standing(machine, found, now), self.setup)
        machine.reason = decision.reason
        self.counters[counter_of(decision)] += 1
        if is_first and machine.host and isinstance(decision, Silence) and decision.code != "LOCAL_DISK":
            self.tell(Refused(**of(machine), code=decision.code, reason=decision.reason))
        return machine, decision

    def _asker(self, mac: Mac, host: str) -> Machine | None:
        """The record that asks, None where a new one begins.

        A record that is a declared host stays that host, whatever a packet, an inventory or another file says:
        then only this MAC goes to the host that declares it. So nothing on the wire ends a machine's `ready`.
        """
        machine = self.registry.find(mac, host)
        if machine is None or not host or machine.host == host:
            return machine
        if machine.host in self.setup.book.hosts:
            return self.registry.by_host.get(host)
        return self._identify(machine, host)

    def _lead_to(self, machine: Machine, mac: Mac) -> None:
        if self.registry.by_mac.get(mac) is not machine and len(machine.macs) < MACS_A_MACHINE:
            self.tell(NicSeen(**of(machine), mac=mac))

    def new_machine(self, mac: Mac) -> str:
        """The id of a record that begins with this MAC; another one may have begun with it and lost it."""
        taken = self.registry.machines
        return next(name for n in count() if (name := mac.hex + (f"-{n}" if n else "")) not in taken)

    def _identify(self, machine: Machine, host: str) -> Machine:
        """The machine is this host now; a record that was the host already takes it in."""
        holder = self.registry.by_host.get(host)
        if holder is None or holder is machine:
            self.tell(Enrolled(**of(machine), host=host, macs=tuple(machine.macs)))
            return machine
        if machine.state in IN_A_RUN:  # its record is the run's; it asks again when that has ended
            return machine
        self.tell(Merged(**of(holder), other=machine.id))
        return holder

    def _open_boot(self, ask: Ask, host: str, machine: Machine | None) -> Machine:
        event = self.tell(
            BootAsked(
                id="",
                at=0.0,
                machine=machine.id if machine else self.new_machine(ask.mac),
                mac=ask.mac,
                door=ask.door,
                stage=ask.stage,
                arch=ask.arch.code if ask.arch else machine.arch if machine else -1,
                host=host,
                uuid=ask.uuid,
                serial=ask.serial,
            )
        )
        return self.registry.machines[event.machine]

    def standing(self, machine: Machine | None, host: Host | Conflict | None, now: float) -> Standing:
        """What `decide` may know of the machine."""
        if machine is None:
            return Standing(host=host)
        window = now - GUARD_WINDOW_S
        return Standing(
            host=host,
            is_local=machine.is_local and not self._is_to_be_installed(host),
            arch=ARCHES.get(machine.arch),
            nbp_fetches=sum(at > window for at in machine.fetches),
            held=machine.held if now < machine.held_until else "",
            was_chained=machine.boot.was_chained if machine.boot else False,
        )

    def _is_to_be_installed(self, host: Host | Conflict | None) -> bool:
        if not isinstance(host, Host):
            return False
        return wants_netboot(self.registry.arms.get(host.name), self.setup.book.profiles[host.profile])

    def heard(self, heard: Heard) -> None:
        """Another server answered a machine of ours: a person is told once, while it stays true."""
        notice = judge(heard)
        machine = self.registry.by_mac.get(heard.mac)
        if notice is None or machine is None or not machine.host:
            return
        self.notice(machine, notice.code, notice.reason)

    def took(self, mac: Mac, server: str) -> None:
        """A booting machine says whose DHCP offer it takes."""
        machine = self.registry.by_mac.get(mac)
        if machine is not None and machine.boot is not None:
            machine.boot.took, machine.boot.took_at = server, self.chance.now()

    def notice(self, machine: Machine, code: str, reason: str) -> None:
        """Tell a person something about a machine's surroundings, unless that was the last word on it."""
        known = machine.notices.get(code)
        if known is None or known.reason != reason:
            self.counters[f"notice.{code.lower()}"] += 1
            self.tell(Noticed(**of(machine), code=code, reason=reason))

    def tick(self, now: float) -> None:
        """What time alone brings: deadlines, boot programs that never came back. Call it every few seconds."""
        for machine in list(self.registry):
            boot = machine.boot
            if boot and not boot.ended and machine.fetches and now - machine.fetches[-1] > SCRIPT_AFTER_S:
                self.notice(machine, NBP_WITHOUT_SCRIPT, WITHOUT_SCRIPT)
            if boot and machine.host and is_led_away(boot, now):
                led = judge_choice(machine.host, boot.took)
                self.notice(machine, led.code, led.reason)
            deadline = lifecycle.DEADLINES_S[State.NETBOOTING]
            if machine.state is State.NETBOOTING and now - machine.since > deadline:
                last = boot.stages[-1] if boot and boot.stages else None
                seen = f"; the last thing seen was: {last.name} {last.detail}" if last else ""
                self.tell(
                    TimedOut(**of(machine), reason=f"did not register within {deadline / 60:.0f} minutes{seen}")
                )


def is_led_away(boot: Boot, now: float) -> bool:
    """Whether its iPXE, which had our offer, has followed another server's for too long."""
    return (
        bool(boot.took) and not boot.ended and Stage.IPXE in boot.xids and now - boot.took_at > SCRIPT_AFTER_S
    )


def counter_of(decision: AnyDecision) -> str:
    """What a decision is counted as."""
    if isinstance(decision, Silence):
        return f"silence.{decision.code.lower()}"
    return f"decision.{type(decision).__name__.lower()}"


def of(machine: Machine) -> Draft:
    """The fields that every draft of an event about this machine begins with."""
    return {"id": "", "at": 0.0, "machine": machine.id}


def touch(machine: Machine, ask: Ask, now: float) -> None:
    """The machine is there: nothing that a restart would miss."""
    machine.last_seen = now
    if machine.boot is not None:
        machine.boot.last = now
        machine.boot.xids[ask.stage] = ask.xid
