"""What each event of a boot does to its machine's record. An install's are in `policy/install_effects.py`.

An effect adds to the record and never decides: where the machine stands is `lifecycle.step`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from bootstrapd.model import (
    Adopted,
    BootAsked,
    ChainSent,
    Enrolled,
    Event,
    Forgotten,
    ImageSent,
    LocalBoot,
    Merged,
    NicSeen,
    Noticed,
    Refused,
    Registered,
    ScriptSent,
    TimedOut,
    TokenIssued,
)
from bootstrapd.policy import install_effects
from bootstrapd.policy.machine import BOOTS_A_MACHINE, Boot, Machine, Token, line, mark, spender, token_id

if TYPE_CHECKING:
    from bootstrapd.policy.registry import Registry

GUARD_WINDOW_S: Final = 120.0
GUARD_FETCHES: Final = 6
HOLD_S: Final = 600.0


def _boot_asked(registry: Registry, machine: Machine, event: BootAsked) -> None:
    registry.take_mac(machine, event.mac)
    if event.host and not machine.host:
        registry.identify(machine, event.host)
    machine.arch = event.arch
    machine.uuid = event.uuid or machine.uuid
    machine.serial = event.serial or machine.serial
    if machine.boot is not None:
        machine.boots = [*machine.boots, machine.boot][-BOOTS_A_MACHINE + 1 :]
    machine.boot = Boot(event.id, event.at, event.at)
    machine.is_up = False
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
    machine.is_up, machine.is_judged, machine.rejected, machine.disks = True, False, (), ()
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


def _found_host(registry: Registry, machine: Machine, event: Enrolled) -> None:
    for mac in event.macs:
        registry.add_mac(machine, mac)
    _enrolled(registry, machine, event)


def _adopted(registry: Registry, machine: Machine, event: Adopted) -> None:
    if event.mac is not None:
        registry.take_mac(machine, event.mac)
    _enrolled(registry, machine, event)
    machine.is_local = machine.is_local or event.ready
    machine.pin, machine.is_judged = None, False  # a person said it: what it registered with is right


def _enrolled(registry: Registry, machine: Machine, event: Enrolled | Adopted) -> None:
    if machine.host != event.host:
        registry.identify(machine, event.host)
    machine.why, machine.held, machine.held_until = "", "", 0.0
    machine.fetches.clear()


def _merged(registry: Registry, machine: Machine, event: Merged) -> None:
    other = registry.machines.get(event.other)
    if other is None or other is machine:
        return
    registry.remove(other)
    for mac in other.macs:
        registry.add_mac(machine, mac)


def _forgotten(registry: Registry, machine: Machine, _: Forgotten) -> None:
    registry.remove(machine)


EFFECTS: Final[dict[type[Event], Callable[[Registry, Any, Any], None]]] = {
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
    Enrolled: _found_host,
    NicSeen: _nic_seen,
    Adopted: _adopted,
    Merged: _merged,
    Forgotten: _forgotten,
    **install_effects.EFFECTS,
}
