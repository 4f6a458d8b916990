"""A machine's life: states, events (facts) and transitions (the changes of state they cause)."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct

from bootstrapd.model.ask import Door, Stage
from bootstrapd.model.hardware import ChosenDisk, Hardware, Pin
from bootstrapd.model.identity import Mac


class State(StrEnum):
    SEEN = "seen"  # unknown machine, quarantined
    ENROLLED = "enrolled"  # a host claims it, it has asked to boot
    NETBOOTING = "netbooting"
    LIVE = "live"  # the installer registered
    REJECTED = "rejected"  # it registered, and is not what its profile wants
    CLAIMED = "claimed"  # it will be installed: waits for its turn
    INSTALLING = "installing"
    REBOOTING = "rebooting"  # installed, its first boot is awaited
    READY = "ready"  # runs from its own disk
    DRIFTED = "drifted"  # runs from its own disk, another system than the one installed
    FAILED = "failed"  # with a stage, a cause, and what comes next


class Event(Struct, frozen=True, kw_only=True, tag_field="event", tag=True):
    """A fact about one machine. `id` is a UUIDv7; `boot` and `run` are the ids of those it is in, or "".

    A draft has id "" and at 0.0: `Appliance.tell` gives it both, and its boot and run.
    """

    id: str
    machine: str  # "" for a fact about a host
    at: float
    boot: str = ""
    run: str = ""


class BootAsked(Event, frozen=True, kw_only=True):
    """A machine's firmware or iPXE asked for the first time in this boot. Its id is the boot's id."""

    mac: Mac
    door: Door
    stage: Stage
    arch: int = -1
    host: str = ""
    uuid: str = ""
    serial: str = ""


class ChainSent(Event, frozen=True, kw_only=True):
    """The network boot program was fetched."""

    program: str
    door: Door


class ScriptSent(Event, frozen=True, kw_only=True):
    """The machine's script was fetched: `template` says which."""

    template: str
    image: str = ""


class ImageSent(Event, frozen=True, kw_only=True):
    """The last file of the image was asked for; the kernel is about to start."""

    image: str


class Registered(Event, frozen=True, kw_only=True):
    """The agent in the live system registered."""

    address: str
    hardware: Hardware
    host_key: str = ""
    macs: tuple[Mac, ...] = ()  # of its NICs, those that no other host declares
    token_id: str = ""  # names the token it spent without being one


class LocalBoot(Event, frozen=True, kw_only=True):
    """The script that starts the machine's own disk was fetched."""


class Refused(Event, frozen=True, kw_only=True):
    """Something was refused; `code` is counted, `reason` is for a person."""

    code: str
    reason: str


class Noticed(Event, frozen=True, kw_only=True):
    """Something about the machine's surroundings that a person must know (SITE_FILENAME_WINS, …)."""

    code: str
    reason: str


class Enrolled(Event, frozen=True, kw_only=True):
    """A host of the hosts folder claims this machine, which another host or none claimed before."""

    host: str
    macs: tuple[Mac, ...] = ()  # as far as they are known: strangers are not always journalled


class NicSeen(Event, frozen=True, kw_only=True):
    """Another NIC of the machine asked to boot."""

    mac: Mac


class TokenIssued(Event, frozen=True, kw_only=True):
    """The script carried a token to `address`. Private: journalled for restarts, never published or shown."""

    secret: str
    overlay: str  # the random part of the overlay's path
    address: str
    expires: float


class TimedOut(Event, frozen=True, kw_only=True):
    """The state's deadline passed; `reason` says what was last seen of the machine."""

    reason: str


class Adopted(Event, frozen=True, kw_only=True):
    """A person said: this machine is that host. With `ready`, it already runs its system from its disk."""

    host: str
    ready: bool = False
    mac: Mac | None = None  # the address it was named by, for a machine that was never seen


class Armed(Event, frozen=True, kw_only=True):
    """The owner consents, once, that this host's disks are erased. A fact about the host, seen or not."""

    host: str
    arm: str  # the arm's own id
    by: str  # "hosts add", "hosts arm", "deploy"
    seen: str = ""  # what its machine showed then: an SSH host key or its pin's name; "" = nothing yet


class WaitingArm(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`<state>/arms/<host>.json`: an arm that was made while no appliance ran."""

    arm: Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,64}\Z")]
    at: float
    by: Annotated[str, Meta(pattern=r"^[ -~]{1,64}\Z")]


class Disarmed(Event, frozen=True, kw_only=True):
    """The host's arm ended: used up, taken back, or its host is gone."""

    host: str
    arm: str
    reason: str


class Accepted(Event, frozen=True, kw_only=True):
    """The hardware is what the profile wants, and every role of the layout has its disk."""

    disks: tuple[ChosenDisk, ...] = ()
    pin: Pin = Pin()


class Rejected(Event, frozen=True, kw_only=True):
    """The hardware is not what the host's files want: every reason at once."""

    reasons: tuple[str, ...]


class Claimed(Event, frozen=True, kw_only=True):
    """The machine will be installed under this arm, on these disks. Its id is the run's."""

    host: str
    arm: str
    disks: tuple[ChosenDisk, ...]


class PhaseStarted(Event, frozen=True, kw_only=True):
    """A phase of the install is about to start: "build", "preclean", "disko", "install", "verify"."""

    phase: str


class Built(Event, frozen=True, kw_only=True):
    """What will be installed, and the name of the token that its first boot will show."""

    closure: str
    disko: str
    report_id: str


class EraseStarted(Event, frozen=True, kw_only=True):
    """These disks are about to lose what they hold. Durable before the process that does it starts."""

    arm: str
    disks: tuple[ChosenDisk, ...]


class Progressed(Event, frozen=True, kw_only=True):
    """How far a phase is: `done` of `total` (0 = unknown) `unit`s, and its last line."""

    phase: str
    done: int = 0
    total: int = 0
    unit: str = ""
    line: str = ""


class Installed(Event, frozen=True, kw_only=True):
    """The disk holds a verified system and the machine boots from it from now on; it is about to reboot."""

    closure: str


class Reported(Event, frozen=True, kw_only=True):
    """The installed system proved that it runs: the closure it was given."""

    closure: str
    address: str = ""
    boot_id: str = ""
    host_keys: tuple[str, ...] = ()


class Drifted(Event, frozen=True, kw_only=True):
    """Another system than the installed one reported."""

    expected: str
    found: str
    address: str = ""


class Failed(Event, frozen=True, kw_only=True):
    """The run ended without a running system; `retry_at` 0.0 = nothing more happens without a person."""

    stage: str  # a phase, "claim", "reboot", "first boot"
    cause: str
    hint: str = ""  # what to do next
    lines: tuple[str, ...] = ()  # the last ones of the output
    retry_at: float = 0.0
    is_lost: bool = False  # the machine could not be reached: it has to register again first


class Retried(Event, frozen=True, kw_only=True):
    """A person said: try again now."""

    by: str


class Merged(Event, frozen=True, kw_only=True):
    """`other` turned out to be this machine; its record is gone."""

    other: str


class Forgotten(Event, frozen=True, kw_only=True):
    """A person removed the record. The host's file is untouched."""


AnyEvent = (
    BootAsked
    | Enrolled
    | NicSeen
    | TokenIssued
    | TimedOut
    | ChainSent
    | ScriptSent
    | ImageSent
    | Registered
    | LocalBoot
    | Refused
    | Noticed
    | Adopted
    | Armed
    | Disarmed
    | Accepted
    | Rejected
    | Claimed
    | PhaseStarted
    | Built
    | EraseStarted
    | Progressed
    | Installed
    | Reported
    | Drifted
    | Failed
    | Retried
    | Merged
    | Forgotten
)


class Transition(Struct, frozen=True):
    """The change of state an event caused; `before == after` where it only added to the story."""

    event: AnyEvent
    before: State | None
    after: State | None
