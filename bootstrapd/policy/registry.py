"""Every machine's state, in memory: the one mutable thing in `policy/`. No I/O, no clock, no randomness.

`apply(event)` is the only way in, for live events and for replay alike, so that a restart ends where it began.
Strangers (machines that no host claims) live in a bounded least-recently-seen list: a flood of made-up MACs
costs memory for `STRANGERS` records and pushes out other strangers only, never a declared host's machine.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Final

from bootstrapd.model import (
    Adopted,
    AnyEvent,
    BootAsked,
    ChainSent,
    Enrolled,
    Event,
    Forgotten,
    ImageSent,
    LocalBoot,
    Mac,
    Merged,
    NicSeen,
    Noticed,
    Refused,
    Registered,
    ScriptSent,
    TimedOut,
    TokenIssued,
    Transition,
)
from bootstrapd.policy import lifecycle
from bootstrapd.policy.machine import TOKEN_LIFE_S, Boot, Machine, Token, line, mark, spender, token_id

STRANGERS: Final = 4096
MACS_A_MACHINE: Final = 64  # claims by UUID or inventory cannot make a record grow without end
SPENT_A_MACHINE: Final = 32  # nor can registering in a loop: each makes room for a fresh token
GUARD_WINDOW_S: Final = 120.0
GUARD_FETCHES: Final = 6
HOLD_S: Final = 600.0


class Registry:
    """All machines, by id, MAC, host and token."""

    def __init__(self) -> None:
        self.machines: dict[str, Machine] = {}
        self.by_mac: dict[Mac, Machine] = {}
        self.by_host: dict[str, Machine] = {}
        self.by_token: dict[str, Machine] = {}
        self.by_overlay: dict[str, Machine] = {}
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
        machine = Machine(event.machine, event.at, lifecycle.born(event))
        self.machines[machine.id] = machine
        self.strangers[machine.id] = machine
        if len(self.strangers) > STRANGERS:
            self._remove(self.strangers[next(iter(self.strangers))])
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

    def claim(self, machine: Machine, host: str) -> None:
        """The machine is this host from now on; the one that was it before is a stranger again."""
        if machine.host:
            del self.by_host[machine.host]
        before = self.by_host.get(host)
        if before is not None:
            before.host = ""
            self.strangers[before.id] = before
        machine.host = host
        self.by_host[host] = machine
        self.strangers.pop(machine.id, None)

    def _remove(self, machine: Machine) -> None:
        self.machines.pop(machine.id, None)
        self.strangers.pop(machine.id, None)
        for mac in machine.macs:
            if self.by_mac.get(mac) is machine:
                del self.by_mac[mac]
        if self.by_host.get(machine.host) is machine:
            del self.by_host[machine.host]
        self._drop(machine, list(machine.tokens))


def _boot_asked(registry: Registry, machine: Machine, event: BootAsked) -> None:
    registry.take_mac(machine, event.mac)
    if event.host and not machine.host:
        registry.claim(machine, event.host)
    machine.arch = event.arch
    machine.uuid = event.uuid or machine.uuid
    machine.serial = event.serial or machine.serial
    machine.boot = Boot(event.id, event.at)
    mark(machine, "asked", event.at, f"{event.stage} by {event.door}")


def _chain_sent(_: Registry, machine: Machine, event: ChainSent) -> None:
    since = event.at - GUARD_WINDOW_S
    machine.fetches = [at for at in machine.fetches if at > since] + [event.at]
    if machine.boot:
        machine.boot.was_chained = True
    mark(machine, "chain", event.at, f"{event.program} by {event.door}")
    if len(machine.fetches) >= GUARD_FETCHES:
        machine.held_until = event.at + HOLD_S
        machine.held = machine.why = (
            f"{len(machine.fetches)} boot programs fetched in {GUARD_WINDOW_S:.0f} s and no script asked for: "
            f"no answers for {HOLD_S / 60:.0f} minutes. Secure Boot is probably on, or none of them runs there"
        )


def _went_right(machine: Machine) -> None:
    machine.fetches.clear()
    machine.held, machine.held_until, machine.why = "", 0.0, ""
    machine.notices.clear()
    if machine.boot:
        machine.boot.ended = True


def _mark_line(machine: Machine, event: ScriptSent | ImageSent | LocalBoot) -> None:
    name, detail = line(event)
    mark(machine, name, event.at, detail)


def _script_sent(_: Registry, machine: Machine, event: ScriptSent) -> None:
    _went_right(machine)
    _mark_line(machine, event)


def _local_boot(_: Registry, machine: Machine, event: LocalBoot) -> None:
    _went_right(machine)
    _mark_line(machine, event)


def _image_sent(_: Registry, machine: Machine, event: ImageSent) -> None:
    _mark_line(machine, event)


def _registered(registry: Registry, machine: Machine, event: Registered) -> None:
    _went_right(machine)
    machine.address, machine.hardware, machine.host_key = event.address, event.hardware, event.host_key
    machine.uuid = event.hardware.uuid or machine.uuid
    machine.serial = event.hardware.serial or machine.serial
    for mac in event.macs:
        registry.add_mac(machine, mac)
    for token in machine.tokens:
        if token_id(token.secret) == event.token_id:
            registry.spend(machine, token, spender(event.address, event.host_key))
            break
    mark(machine, "registered", event.at, event.address)


def _refused(_: Registry, machine: Machine, event: Refused) -> None:
    machine.why = event.reason
    mark(machine, "refused", event.at, event.reason)


def _noticed(_: Registry, machine: Machine, event: Noticed) -> None:
    machine.notices[event.code] = event
    machine.why = event.reason


def _timed_out(_: Registry, machine: Machine, event: TimedOut) -> None:
    machine.why = event.reason


def _token_issued(registry: Registry, machine: Machine, event: TokenIssued) -> None:
    registry.drop_tokens(machine, event.at)
    machine.tokens.append(Token(event.secret, event.overlay, event.address, event.expires))
    registry.by_token[event.secret] = registry.by_overlay[event.overlay] = machine


def _nic_seen(registry: Registry, machine: Machine, event: NicSeen) -> None:
    registry.take_mac(machine, event.mac)


def _claimed(registry: Registry, machine: Machine, event: Enrolled) -> None:
    for mac in event.macs:
        registry.add_mac(machine, mac)
    _enrolled(registry, machine, event)


def _adopted(registry: Registry, machine: Machine, event: Adopted) -> None:
    if event.mac is not None:
        registry.take_mac(machine, event.mac)
    _enrolled(registry, machine, event)


def _enrolled(registry: Registry, machine: Machine, event: Enrolled | Adopted) -> None:
    if machine.host != event.host:
        registry.claim(machine, event.host)
    machine.why, machine.held, machine.held_until = "", "", 0.0
    machine.fetches.clear()


def _merged(registry: Registry, machine: Machine, event: Merged) -> None:
    other = registry.machines.get(event.other)
    if other is None or other is machine:
        return
    registry._remove(other)  # noqa: SLF001 - one room
    for mac in other.macs:
        registry.add_mac(machine, mac)


def _forgotten(registry: Registry, machine: Machine, _: Forgotten) -> None:
    registry._remove(machine)  # noqa: SLF001


EFFECTS: Final[dict[type[Event], Callable[[Registry, Machine, Any], None]]] = {
    BootAsked: _boot_asked,
    ChainSent: _chain_sent,
    ScriptSent: _script_sent,
    ImageSent: _image_sent,
    LocalBoot: _local_boot,
    Registered: _registered,
    Refused: _refused,
    Noticed: _noticed,
    TimedOut: _timed_out,
    TokenIssued: _token_issued,
    Enrolled: _claimed,
    NicSeen: _nic_seen,
    Adopted: _adopted,
    Merged: _merged,
    Forgotten: _forgotten,
}
