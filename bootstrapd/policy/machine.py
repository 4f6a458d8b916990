"""One machine's record: its boots, its tokens, its recent luck. Changed by `policy.registry` only."""

from __future__ import annotations

import hashlib
from typing import Final, assert_never

from bootstrapd.model import (
    Ask,
    Door,
    Hardware,
    ImageSent,
    LocalBoot,
    Mac,
    Noticed,
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


def token_id(secret: str) -> str:
    """Names a token in events without being one."""
    return hashlib.sha256(secret.encode()).hexdigest()[:16]


def spender(address: str, host_key: str) -> str:
    """Who spent a token: the same one may repeat itself (its answer was lost), nobody else."""
    return f"{address} {host_key}"


class Token:
    """A bearer secret of one boot (DESIGN.md, Safety 4). `spent_by` names who used it, "" while it is fresh."""

    __slots__ = ("address", "expires", "overlay", "secret", "spent_by")

    def __init__(self, secret: str, overlay: str, address: str, expires: float) -> None:
        self.secret = secret
        self.overlay = overlay
        self.address = address
        self.expires = expires
        self.spent_by = ""


class Boot:
    """One power-on as far as it was seen. `ended` once a script or a registration came of it."""

    __slots__ = ("ended", "id", "last", "stages", "started", "took", "took_at", "was_chained", "xids")

    def __init__(self, id: str, started: float) -> None:  # noqa: A002 - the glossary's word
        self.id = id
        self.started = started
        self.last = started
        self.was_chained = False
        self.ended = False
        self.took = ""  # whose DHCP offer it takes
        self.took_at = 0.0
        self.xids: dict[Stage, int] = {}
        self.stages: list[StageView] = []


class Machine:
    """One record. All but `last_seen`, `answers` and the boot's `last`, `xids` and `took` comes from events."""

    __slots__ = (
        "address",
        "answers",
        "arch",
        "boot",
        "fetches",
        "first_seen",
        "hardware",
        "held",
        "held_until",
        "host",
        "host_key",
        "id",
        "last_seen",
        "macs",
        "notices",
        "reason",
        "serial",
        "since",
        "state",
        "tokens",
        "uuid",
        "why",
    )

    def __init__(self, id: str, now: float, state: State) -> None:  # noqa: A002
        self.id = id
        self.state = state
        self.since = now  # when it entered this state
        self.first_seen = now
        self.last_seen = now
        self.macs: list[Mac] = []
        self.uuid = ""
        self.serial = ""
        self.host = ""
        self.arch = -1
        self.boot: Boot | None = None
        self.fetches: list[float] = []  # completed boot program fetches since the last script
        self.held = ""
        self.held_until = 0.0
        self.address = ""
        self.hardware: Hardware | None = None
        self.host_key = ""
        self.tokens: list[Token] = []
        self.notices: dict[str, Noticed] = {}
        self.why = ""  # the last thing that went wrong, until something goes right
        self.reason = ""  # of the last decision
        self.answers: dict[object, tuple[Reply, str]] = {}  # what each question got; emptied by every event


def begins_boot(machine: Machine, ask: Ask, now: float) -> bool:
    """Whether this ask is the first of a new boot: after silence, or after a script if it is no late retry."""
    boot = machine.boot
    if boot is None or now - boot.last > SILENCE_S:
        return True
    if not boot.ended or ask.door is not Door.DHCP:
        return False
    return ask.xid not in boot.xids.values() or now - boot.last > RETRY_S


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
