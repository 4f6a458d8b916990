"""Who may register as which machine: the checks of a token, its address and its MACs (DESIGN.md, Safety 4).

A token is a bearer secret of low worth: anybody on the wire can read it. So it is bound to the address that got
the script, or to one whose neighbour entry is a NIC of the same machine, and it can be spent once. A repeat by
the one who spent it is the same registration (its answer was lost on the way), not a second one.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Final, TypeVar

from msgspec import Struct
from msgspec.structs import asdict, replace

from bootstrapd.errors import ConfigError
from bootstrapd.model import (
    Drifted,
    Hardware,
    Host,
    Mac,
    Nic,
    Registration,
    Report,
    Reported,
    State,
    clean_serial,
    clean_uuid,
)
from bootstrapd.policy import words
from bootstrapd.policy.install import VERIFY
from bootstrapd.policy.machine import TOKEN_LIFE_S, Machine, Token, spender

Inventory = TypeVar("Inventory", bound=Struct)

TOKENS_AN_ADDRESS: Final = 4
TOKENS_A_MACHINE: Final = 32  # so that nobody who asks for scripts can keep a machine from its own
ROUTED_PREFIX: Final = 24
EXTRACT_ITEMS: Final = 8  # of a stranger's NICs, disks, GPUs and file systems; 4,096 strangers may be known
EXTRACT_TEXT: Final = 64


class Refusal(Struct, frozen=True):
    """Why a registration is not taken, in a word and in a sentence."""

    code: str
    reason: str
    is_for_now: bool = False  # the agent tries again


class Caller(Struct, frozen=True):
    """Where a registration came from: its address, and the MAC behind it when it is on a link of ours."""

    address: str
    mac: Mac | None


def judge(
    registration: Registration, machine: Machine, token: Token, host: Host | None, caller: Caller, now: float
) -> Refusal | None:
    """None when the registration may be taken; the first thing that is wrong with it otherwise."""
    if token.expires <= now:
        return Refusal("TOKEN_EXPIRED", f"the token is older than {TOKEN_LIFE_S / 60:.0f} minutes; boot again")
    if token.spent_by and token.spent_by != spender(caller.address, registration.host_key):
        return Refusal("TOKEN_SPENT", f"the token was used before, now by {caller.address}: a copy or a replay")
    macs = {*machine.macs, *(host.macs if host else ())}
    if not _is_at_home(caller, token, macs):
        behind = (
            f"{caller.mac}, no NIC that its host.toml names: add it to [match] mac if it is one of this machine"
            if caller.mac
            else "another network"
        )
        return Refusal("WRONG_ADDRESS", f"the script went to {token.address}; {caller.address} is {behind}")
    if machine.state is State.INSTALLING and caller.mac is None and caller.address != machine.address:
        # Over a router any MAC can be claimed: it may not end what runs on the machine. The machine itself,
        # booted anew at another address there, tries again until its install has noticed that it left.
        return Refusal(
            "BEING_INSTALLED",
            f"it is being installed at {machine.address}, and {caller.address} is on another network",
            is_for_now=True,
        )
    if _mac(registration.boot_mac) not in macs:
        said = words.printable(registration.boot_mac)
        return Refusal("WRONG_MAC", f"{said} is no NIC of this machine ({', '.join(sorted(macs))})")
    return None


def is_repeat(registration: Registration, token: Token, caller: Caller) -> bool:
    """The same registration once more, from the one who made it."""
    return bool(token.spent_by) and token.spent_by == spender(caller.address, registration.host_key)


def too_often(what: str) -> Refusal:
    """For a machine that did nothing wrong but again and again: each costs a place in the journal."""
    return Refusal("TOO_OFTEN", f"{what} too often: it is heard again within a minute", is_for_now=True)


def judge_report(report: Report, machine: Machine) -> Refusal | None:
    """None when the installed system's word may be taken; it comes with the token that only its disk holds.

    The token is on the wire and on the disk before the system is whole: until the install verifies it, nothing
    that shows it proves a system. Who really rebooted early tries again until that run has failed.
    """
    if machine.state is State.CLAIMED or (machine.state is State.INSTALLING and machine.phase != VERIFY):
        return Refusal(
            "TOO_EARLY",
            f"its install is at {machine.phase or 'its start'}: no system of it can run yet",
            is_for_now=True,
        )
    if machine.report_spent_by and machine.report_spent_by != _reporter(report):
        return Refusal("TOKEN_SPENT", "this install has reported before: a copy of its disk, or a replay")
    return None


def is_report_repeated(report: Report, machine: Machine) -> bool:
    """The same report once more, from the same boot."""
    return bool(machine.report_spent_by) and machine.report_spent_by == _reporter(report)


def outcome(report: Report, machine: Machine, address: str) -> Reported | Drifted:
    """What a report that may be taken proves, as a draft of the event that says it."""
    if report.closure != machine.closure:
        return Drifted(
            id="", at=0.0, machine=machine.id, expected=machine.closure, found=report.closure, address=address
        )
    return Reported(
        id="",
        at=0.0,
        machine=machine.id,
        closure=report.closure,
        address=address,
        boot_id=report.boot_id,
        host_keys=report.host_keys,
    )


def _reporter(report: Report) -> str:
    return report.boot_id or "a boot without an id"


def live_token(machine: Machine, address: str, now: float) -> Token | None:
    """The newest fresh token that this address was given, for when no more may be made."""
    fresh = (t for t in reversed(machine.tokens) if t.address == address and t.expires > now and not t.spent_by)
    return next(fresh, None)


def has_room(machine: Machine, address: str, now: float) -> bool:
    """Whether another token may be made for this address: a GET adds one and never revokes another."""
    fresh = [token for token in machine.tokens if token.expires > now and not token.spent_by]
    own = sum(token.address == address for token in fresh)
    return own < TOKENS_AN_ADDRESS and len(fresh) < TOKENS_A_MACHINE


def sane(hardware: Hardware) -> Hardware:
    """The inventory with junk identities emptied, and NICs that have no MAC of their own left out."""
    return replace(
        hardware,
        uuid=clean_uuid(hardware.uuid),
        serial=clean_serial(hardware.serial),
        nics=tuple(nic for nic in map(_sane_nic, hardware.nics) if nic is not None),
    )


def extract(hardware: Hardware) -> Hardware:
    """A stranger's inventory in at most 64 KB: enough to tell what it is, and nothing is installed by it."""
    return _short(hardware)


def _short(inventory: Inventory) -> Inventory:
    return replace(inventory, **{name: _cut(value) for name, value in asdict(inventory).items()})


def _cut(value: object) -> object:
    match value:
        case str():
            return value[:EXTRACT_TEXT]
        case tuple():
            return tuple(_cut(item) for item in value[:EXTRACT_ITEMS])
        case Struct():
            return _short(value)
        case _:
            return value


def _sane_nic(nic: Nic) -> Nic | None:
    mac = _mac(nic.mac)
    return replace(nic, mac=mac) if mac else None


def _mac(text: str) -> Mac | None:
    try:
        return Mac.parse(text)
    except ConfigError:
        return None


def _is_at_home(caller: Caller, token: Token, macs: set[Mac]) -> bool:
    if caller.address == token.address:
        return True
    if caller.mac is not None:
        return caller.mac in macs
    return ip_address(caller.address) in ip_network(f"{token.address}/{ROUTED_PREFIX}", strict=False)
