"""One machine's record: its boots, its tokens, its recent luck. Changed by `policy.registry` only.

The state says where a machine stands; four fields say what is so besides ("may": as it was before):

| state              | is_up            | is_judged | is_local            | failure          |
|--------------------|------------------|-----------|---------------------|------------------|
| seen               | may (discovery)  | no        | no                  | no               |
| enrolled, netboot. | no               | may       | may (armed anew)    | may (before)     |
| live               | yes              | at once   | may (armed anew)    | may (before)     |
| rejected           | yes              | yes       | may (armed anew)    | may (before)     |
| claimed            | yes, until it    | yes       | may (armed anew)    | may (before)     |
| installing         | boots anew       | yes       | no, once it erases  | may (before)     |
| rebooting          | no               | yes       | yes                 | may (before)     |
| ready              | no               | may       | yes                 | no               |
| drifted            | no               | may       | yes                 | may (before)     |
| failed             | may (not lost)   | may       | yes after `reboot`, `first boot` | yes |
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import Final, assert_never

from msgspec import Struct

from bootstrapd.model import (
    Ask,
    ChosenDisk,
    Door,
    Failed,
    Hardware,
    ImageSent,
    LocalBoot,
    Mac,
    Noticed,
    Pin,
    Progressed,
    Reply,
    ScriptSent,
    Stage,
    State,
)
from bootstrapd.model.view import StageView

SILENCE_S: Final = 120.0  # a machine that was silent for so long has been powered on anew
RETRY_S: Final = 30.0  # edk2's last DISCOVER retry comes 28 s after the first, with the same xid
TOKEN_LIFE_S: Final = 900.0
STAGES_A_BOOT: Final = 48
BOOTS_A_MACHINE: Final = 6
IN_A_RUN: Final = frozenset({State.CLAIMED, State.INSTALLING, State.REBOOTING})


def token_id(secret: str) -> str:
    """Names a token in events without being one."""
    return hashlib.sha256(secret.encode()).hexdigest()[:16]


def spender(address: str, host_key: str) -> str:
    """Who spent a token: the same one may repeat itself (its answer was lost), nobody else."""
    return f"{address} {host_key}"


class Token(Struct):
    """A bearer secret of one boot (DESIGN.md, Safety 4). `spent_by` names who used it, "" while it is fresh."""

    secret: str
    overlay: str
    address: str
    expires: float
    spent_by: str = ""


class Boot(Struct):
    """One power-on as far as it was seen. `ended` once a script or a registration came of it."""

    id: str
    started: float
    last: float
    was_chained: bool = False
    ended: bool = False
    took: str = ""  # whose DHCP offer it takes
    took_at: float = 0.0
    xids: dict[Stage, int] = {}
    stages: list[StageView] = []


class Machine(Struct, kw_only=True, dict=True):
    """One record. All but `last_seen`, `answers` and the boot's `last`, `xids` and `took` comes from events."""

    id: str
    state: State
    since: float  # when it entered this state
    first_seen: float
    last_seen: float
    macs: list[Mac] = []
    uuid: str = ""
    serial: str = ""
    host: str = ""
    arch: int = -1
    boot: Boot | None = None
    boots: list[Boot] = []  # the ones before it, oldest first
    fetches: list[float] = []  # completed boot program fetches since the last script
    held: str = ""
    held_until: float = 0.0
    address: str = ""
    hardware: Hardware | None = None
    host_key: str = ""
    tokens: list[Token] = []
    notices: dict[str, Noticed] = {}
    why: str = ""  # the last thing that went wrong, until something goes right
    reason: str = ""  # of the last decision
    # The live system and what was judged of it.
    is_up: bool = False  # the live system that registered still runs, as far as is known
    is_judged: bool = False
    rejected: tuple[str, ...] = ()
    disks: tuple[ChosenDisk, ...] = ()
    pin: Pin | None = None
    # The last run.
    run: str = ""
    run_started: float = 0.0
    arm: str = ""  # the arm it was claimed under
    phase: str = ""
    phase_started: float = 0.0
    progress: Progressed | None = None
    closure: str = ""
    found: str = ""  # drifted: the system that reported in its place
    report_id: str = ""
    report_spent_by: str = ""  # the boot id that showed its token
    failure: Failed | None = None
    is_local: bool = False  # its own disk holds a system to boot

    @cached_property
    def answers(self) -> dict[object, tuple[Reply, str]]:
        """What each question got; emptied by every event. Not part of the record: a snapshot has none."""
        return {}


def begins_boot(machine: Machine, ask: Ask, now: float) -> bool:
    """Whether this ask is the first of a new boot: after silence, or after a script if it is no late retry."""
    boot = machine.boot
    if boot is None or now - boot.last > SILENCE_S:
        return True
    if not boot.ended or ask.door is not Door.DHCP:
        return False
    return ask.xid not in boot.xids.values() or now - boot.last > RETRY_S


def run_of(machine: Machine) -> str:
    """The run that what happens to the machine now is part of; "" outside of one."""
    return machine.run if machine.state in IN_A_RUN else ""


def line(event: ScriptSent | ImageSent | LocalBoot) -> tuple[str, str]:
    """How the event stands in the story of a boot: its name and its detail."""
    match event:
        case ScriptSent():
            return "script", event.image or event.template
        case ImageSent():
            return "image", event.image
        case LocalBoot():
            return "local-disk", ""
        case _:
            assert_never(event)


def last_line(machine: Machine) -> tuple[str, str]:
    """The latest of the boot's story; ("", "") before there is one."""
    stages = machine.boot.stages if machine.boot else []
    return (stages[-1].name, stages[-1].detail) if stages else ("", "")


def mark(machine: Machine, name: str, at: float, detail: str = "") -> None:
    """Add one line to the story of the boot, once each."""
    if machine.boot is None or len(machine.boot.stages) >= STAGES_A_BOOT:
        return
    if last_line(machine) != (name, detail):
        machine.boot.stages.append(StageView(name=name, at=at, detail=detail))
    machine.boot.last = max(machine.boot.last, at)
