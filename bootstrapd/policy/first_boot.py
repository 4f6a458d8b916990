"""The first boot of a system that does not report by itself (`report = "ssh"`): is it what was installed?

The appliance logs in, pinned to the key that the live system registered with, which the install left on the
disk. So it does not matter at which address it asks: who has the key is the machine. Its live system has the
same key, and answers until it has gone down: that is no report.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct

from bootstrapd.model import Host, Report
from bootstrapd.policy.install import Failure, Job, holds
from bootstrapd.policy.install_progress import STORE_PATH, Reading
from bootstrapd.policy.install_verdict import KEY_REFUSED, OTHER_KEY, failure, plain

STAGE: Final = "first boot"
PAUSES_S: Final = (5.0, 5.0, 10.0, 15.0, 20.0, 30.0)  # before each look; the last one again and again
ADDRESSES_MAX: Final = 4
LIVE: Final = "Its live system still runs"
NO_SYSTEM: Final = "What answers has no NixOS in /run/current-system"

_BOOT_ID: Final = re.compile(r"[0-9a-f-]{36}")
_HOST_KEY: Final = re.compile(r"[a-z0-9@.-]+ [A-Za-z0-9+/]{16,900}={0,3}")
_HOST_KEYS_MAX: Final = 16
_CLOSURE_MAX: Final = 255
_AGAIN: Final = "'bootstrapd hosts retry {host}' lets its next power-on install it again"
_WHERE: Final = "[network] address in its host.toml says where it is"
_CONSOLE: Final = "look at its console: it may hang in its boot loader, boot from another disk,"
_HINTS: Final = {
    KEY_REFUSED: "its system needs the key in {public_key} in root's authorized_keys",
    OTHER_KEY: (
        "its system has to keep the SSH host keys that the install put into /etc/ssh; or somebody else has its "
        f"address: {_WHERE}"
    ),
    LIVE: "look at its console: it did not reboot",
}
_UNSEEN: Final = f"{_CONSOLE} have no network, no sshd, or another address than those: {_WHERE}"


class Asked(Struct, frozen=True, kw_only=True):
    """Where the system was asked for in the last round, what came of it, and the key that it has to let in."""

    addresses: tuple[str, ...]
    failure: Failure
    public_key: str


def pauses() -> Iterator[float]:
    """How long to wait before each look, without an end."""
    yield from PAUSES_S
    while True:
        yield PAUSES_S[-1]


def addresses(host: Host, registered: str, neighbours: Iterable[str]) -> tuple[str, ...]:
    """Where it may be now: where its file says, where its live system was, where its NICs were seen."""
    known = (host.address.partition("/")[0], registered, *neighbours)
    return tuple(dict.fromkeys(filter(None, known)))[:ADDRESSES_MAX]


def judge(job: Job, reading: Reading) -> Report | Failure:
    """What the machine said of itself as a report; a Failure where it is no installed NixOS."""
    facts = reading.facts
    if ("variant", "installer") in facts:
        return failure(STAGE, plain(LIVE), job, reading)
    closure, boot_id = next(((*fact[1:], "", "")[:2] for fact in facts if fact[0] == "running"), ("", ""))
    if not STORE_PATH.fullmatch(closure) or len(closure) > _CLOSURE_MAX:
        return failure(STAGE, plain(NO_SYSTEM), job, reading)
    said = ("".join(fact[1:2]) for fact in facts if fact[0] == "hostkey")
    keys = [key for key in said if _HOST_KEY.fullmatch(key)]
    return Report(
        token="",
        closure=closure,
        boot_id=boot_id if _BOOT_ID.fullmatch(boot_id) else "",
        host_keys=tuple(keys[:_HOST_KEYS_MAX]),
    )


def overdue(host: str, waited_s: float, asked: Asked | None) -> Failure:
    """No report came in time; `asked` where the appliance looked for itself."""
    minutes = f"within {waited_s / 60:.0f} minutes"
    again = _AGAIN.format(host=host)
    if asked is None:
        return _failed(f"its system did not report {minutes}", f"{_CONSOLE} or have no network; {again}")
    where = ", ".join(asked.addresses)
    last = asked.failure.cause
    cause = f"its system was not found over SSH {minutes} (asked at {where}): {last[:1].lower()}{last[1:]}"
    hint = _HINTS.get(last, _UNSEEN).format(public_key=asked.public_key)
    return _failed(cause, f"{hint}; {again}", asked.failure.lines)


def _failed(cause: str, hint: str, lines: tuple[str, ...] = ()) -> Failure:
    return Failure(stage=STAGE, cause=cause, hint=hint, lines=lines, disk=holds(STAGE))
