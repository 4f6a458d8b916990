"""A machine's life: states, events (facts) and transitions (the changes of state they cause)."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct

from bootstrapd.model.ask import Door, Stage
from bootstrapd.model.hardware import Hardware
from bootstrapd.model.identity import Mac


class State(StrEnum):
    SEEN = "seen"  # unknown machine, quarantined
    ENROLLED = "enrolled"  # a host claims it, it has asked to boot
    NETBOOTING = "netbooting"
    LIVE = "live"  # the installer registered
    READY = "ready"  # runs from its own disk


class Event(Struct, frozen=True, kw_only=True, tag_field="event", tag=True):
    """A fact about one machine. `id` is a UUIDv7; `boot` is the id of the boot it belongs to, if any."""

    id: str
    machine: str
    at: float
    boot: str = ""


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
    | Merged
    | Forgotten
)


class Transition(Struct, frozen=True):
    """The change of state an event caused; `before == after` where it only added to the story."""

    event: AnyEvent
    before: State | None
    after: State | None
