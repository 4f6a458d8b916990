"""Every machine's state, in memory: the one mutable thing in `policy/`. No I/O, no clock, no randomness.

`apply(event)` is the only way in, for live events and for replay alike, so that a restart ends where it began.
Strangers (machines that no host claims) live in a bounded least-recently-seen list: a flood of made-up MACs
costs memory for `STRANGERS` records and pushes out other strangers only, never a declared host's machine.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from bootstrapd.model import AnyEvent, Event, Mac, Transition
from bootstrapd.policy import lifecycle
from bootstrapd.policy.arm import Arm
from bootstrapd.policy.effects import EFFECTS, HOLD_S
from bootstrapd.policy.machine import TOKEN_LIFE_S, Machine, Token

STRANGERS: Final = 4096
ENDED_ARMS: Final = 1024
MACS_A_MACHINE: Final = 64  # claims by UUID or inventory cannot make a record grow without end
SPENT_A_MACHINE: Final = 32  # nor can registering in a loop: each makes room for a fresh token


class Snapshot(Struct):
    """All that the registry knows, for a quick start; `answers` are made anew."""

    machines: list[Machine]
    strangers: list[str]  # ids, the longest unseen first
    arms: list[Arm]
    ended_arms: list[str] = []


class Registry:
    """All machines, by id, MAC, host and token."""

    def __init__(self) -> None:
        self.machines: dict[str, Machine] = {}
        self.by_mac: dict[Mac, Machine] = {}
        self.by_host: dict[str, Machine] = {}
        self.by_token: dict[str, Machine] = {}
        self.by_overlay: dict[str, Machine] = {}
        self.by_report: dict[str, Machine] = {}  # the name of the token that its installed system shows
        self.arms: dict[str, Arm] = {}  # by host, seen or not
        self.ended_arms: deque[str] = deque(maxlen=ENDED_ARMS)  # a file that stays must not consent again
        self.strangers: OrderedDict[str, Machine] = OrderedDict()

    def __iter__(self) -> Iterator[Machine]:
        return iter(self.machines.values())

    def find(self, mac: Mac, host: str = "") -> Machine | None:
        """The machine with this MAC, else the one that is this host (its other NIC asks), else None."""
        machine = self.by_mac.get(mac)
        if machine is None:
            return self.by_host.get(host) if host else None
        if not machine.host:
            self.strangers.move_to_end(machine.id)
        return machine

    def apply(self, event: AnyEvent) -> Transition:
        """Take in one event and say what it changed. Events of a forgotten machine start a new record."""
        if not event.machine:
            EFFECTS[type(event)](self, None, event)
            return Transition(event, None, None)
        machine = self.machines.get(event.machine)
        before = machine.state if machine else None
        if machine is None:
            machine = self._born(event)
        after = lifecycle.step(machine.state, event)
        if after is not machine.state:
            machine.state, machine.since = after, event.at
        machine.last_seen = max(machine.last_seen, event.at)
        machine.answers.clear()
        EFFECTS[type(event)](self, machine, event)
        return Transition(event, before, after)

    def snapshot(self) -> Snapshot:
        """Everything as it is now; `restore` makes the same registry of it."""
        return Snapshot(
            list(self.machines.values()), list(self.strangers), list(self.arms.values()), list(self.ended_arms)
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Begin where the snapshot was taken. The registry must be empty."""
        self.machines = {machine.id: machine for machine in snapshot.machines}
        self.arms = {arm.host: arm for arm in snapshot.arms}
        self.ended_arms.extend(snapshot.ended_arms)
        self.strangers = OrderedDict((name, self.machines[name]) for name in snapshot.strangers)
        for machine in snapshot.machines:
            self.by_mac.update((mac, machine) for mac in machine.macs)
            self.by_token.update((token.secret, machine) for token in machine.tokens)
            self.by_overlay.update((token.overlay, machine) for token in machine.tokens)
            if machine.host:
                self.by_host[machine.host] = machine
            if machine.report_id:
                self.by_report[machine.report_id] = machine

    def expect_report(self, machine: Machine, report_id: str) -> None:
        """The machine's installed system will show the token of this name; an earlier one is void."""
        self.by_report.pop(machine.report_id, None)
        machine.report_id = report_id
        self.by_report[report_id] = machine

    def calm(self, now: float) -> None:
        """After a replay: nothing lies in the future, also where the clock was wrong when it was written."""
        for machine in self.machines.values():
            machine.since, machine.last_seen = min(machine.since, now), min(machine.last_seen, now)
            machine.fetches = [min(at, now) for at in machine.fetches]
            machine.held_until = min(machine.held_until, now + HOLD_S)
            for token in machine.tokens:
                token.expires = min(token.expires, now + TOKEN_LIFE_S)
            if machine.boot is not None:
                machine.boot.last = min(machine.boot.last, now)
            if machine.failure is not None:
                retry_at = min(machine.failure.retry_at, now + lifecycle.RETRY_AFTER_S[-1])
                machine.failure = replace(machine.failure, retry_at=retry_at)
        for arm in self.arms.values():
            arm.erases = [min(at, now) for at in arm.erases]

    def token(self, secret: str) -> tuple[Machine, Token] | None:
        """The token with this secret, live or not, and whose it is."""
        machine = self.by_token.get(secret)
        if machine is None:
            return None
        return machine, next(token for token in machine.tokens if token.secret == secret)

    def overlay(self, key: str) -> tuple[Machine, Token] | None:
        """The token whose overlay has this path."""
        machine = self.by_overlay.get(key)
        if machine is None:
            return None
        return machine, next(token for token in machine.tokens if token.overlay == key)

    def drop_tokens(self, machine: Machine, now: float) -> None:
        """Forget the machine's expired tokens."""
        self._drop(machine, [token for token in machine.tokens if token.expires <= now])

    def spend(self, machine: Machine, token: Token, by: str) -> None:
        """The token is used up. The latest spent ones stay, at the end, for a repeat of theirs."""
        machine.tokens.remove(token)
        machine.tokens.append(token)
        token.spent_by = by
        self._drop(machine, [token for token in machine.tokens if token.spent_by][:-SPENT_A_MACHINE])

    def _drop(self, machine: Machine, tokens: list[Token]) -> None:
        for token in tokens:
            machine.tokens.remove(token)
            self.by_token.pop(token.secret, None)
            self.by_overlay.pop(token.overlay, None)

    def _born(self, event: Event) -> Machine:
        machine = Machine(
            id=event.machine,
            state=lifecycle.born(event),
            since=event.at,
            first_seen=event.at,
            last_seen=event.at,
        )
        self.machines[machine.id] = machine
        self.strangers[machine.id] = machine
        if len(self.strangers) > STRANGERS:
            self.remove(self.strangers[next(iter(self.strangers))])
        return machine

    def add_mac(self, machine: Machine, mac: Mac) -> None:
        """This MAC is the machine's, unless another record has it, or this one has more than any machine."""
        if mac in self.by_mac or len(machine.macs) >= MACS_A_MACHINE:
            return
        self.by_mac[mac] = machine
        machine.macs.append(mac)

    def take_mac(self, machine: Machine, mac: Mac) -> None:
        """This MAC is the machine's, whoever had it: it asked to boot with it."""
        holder = self.by_mac.get(mac)
        if holder is not None and holder is not machine:
            holder.macs.remove(mac)
            holder.answers.clear()
            del self.by_mac[mac]
        self.add_mac(machine, mac)

    def identify(self, machine: Machine, host: str) -> None:
        """The machine is this host from now on; the one that was it before is a stranger again."""
        if machine.host:
            del self.by_host[machine.host]
        else:
            machine.is_up = False  # of a stranger's inventory only an extract is known: it registers anew
        before = self.by_host.get(host)
        if before is not None:
            before.host = ""
            self.strangers[before.id] = before
        machine.host = host
        self.by_host[host] = machine
        self.strangers.pop(machine.id, None)

    def remove(self, machine: Machine) -> None:
        self.machines.pop(machine.id, None)
        self.strangers.pop(machine.id, None)
        for mac in machine.macs:
            if self.by_mac.get(mac) is machine:
                del self.by_mac[mac]
        if self.by_host.get(machine.host) is machine:
            del self.by_host[machine.host]
        self._drop(machine, list(machine.tokens))
        self.by_report.pop(machine.report_id, None)
