"""What an operator is shown: one JSON shape a noun, the same over the API, in `--json` and in the tables.

Views are made by the daemon (or offline, from the files) and only read by others. Times are Unix seconds,
0.0 = never. A view repeats what a person would otherwise look up elsewhere: the reason, the host's file.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from bootstrapd.model.ask import Door, Stage
from bootstrapd.model.fleet import Requires
from bootstrapd.model.hardware import ChosenDisk, Hardware
from bootstrapd.model.identity import Mac
from bootstrapd.model.life import AnyEvent, State


class StageView(Struct, frozen=True, kw_only=True):
    """One step of a boot as it happened."""

    name: str  # "asked", "chain", "script", "image", "registered", "local-disk", "refused"
    at: float
    detail: str = ""  # "snponly.efi by tftp"


class NoticeView(Struct, frozen=True, kw_only=True):
    """Something a person must know about a machine's surroundings (SITE_FILENAME_WINS, …)."""

    code: str
    reason: str
    at: float


class BootView(Struct, frozen=True, kw_only=True):
    """One power-on, with what it saw of the run it was in: the install's phases are stages like any other."""

    id: str
    started: float
    stages: tuple[StageView, ...] = ()  # oldest first


class ArmView(Struct, frozen=True, kw_only=True):
    """The consent to erase a host's disks. Once it `is_spending`, disks have lost what they held under it."""

    id: str
    at: float
    by: str  # "hosts add", "hosts arm", "deploy"
    is_spending: bool = False
    attempts: int = 0  # erases so far


class ProgressView(Struct, frozen=True, kw_only=True):
    """How far the phase is: `done` of `total` (0 = unknown) `unit`s, and its last line of output."""

    done: int = 0
    total: int = 0
    unit: str = ""
    line: str = ""
    at: float = 0.0  # when this was said


class FailedView(Struct, frozen=True, kw_only=True):
    """Why the last run failed; `retry_at` 0.0 = nothing more happens without a person."""

    stage: str
    cause: str
    hint: str = ""
    lines: tuple[str, ...] = ()
    at: float = 0.0
    retry_at: float = 0.0


class LifeView(Struct, frozen=True, kw_only=True):
    """Where the machine of a host is between live and ready: the same for both."""

    since: float = 0.0  # when it entered its state
    until: float = 0.0  # when time alone moves it on; 0.0 = it may stay
    arm: ArmView | None = None
    run: str = ""  # id of the last run
    run_started: float = 0.0
    phase: str = ""  # of the install that is under way
    phase_started: float = 0.0
    progress: ProgressView | None = None
    failure: FailedView | None = None
    disks: tuple[ChosenDisk, ...] = ()  # chosen for the layout: what an install erases
    rejected: tuple[str, ...] = ()  # every reason why the hardware is not what the host wants
    closure: str = ""  # the system that was installed last
    found: str = ""  # drifted: the system that reported in its place
    fingerprint: str = ""  # "SHA256:…" of its SSH host key, as its console shows it
    boots: tuple[BootView, ...] = ()  # the latest ones, oldest first


class MachineView(LifeView, frozen=True, kw_only=True):
    """A piece of hardware and what is known of it. `why` is one sentence: the reason of the last answer."""

    id: str
    state: State
    macs: tuple[Mac, ...] = ()
    host: str = ""
    profile: str = ""
    uuid: str = ""
    serial: str = ""
    firmware: str = ""  # the architecture's label: "UEFI x64"
    address: str = ""  # its IPv4 address in the live system
    first_seen: float = 0.0
    last_seen: float = 0.0
    boot: str = ""  # id of the last boot
    stages: tuple[StageView, ...] = ()  # of the last boot, oldest first
    why: str = ""
    hardware: Hardware | None = None
    host_key: str = ""
    notices: tuple[NoticeView, ...] = ()


class HostView(LifeView, frozen=True, kw_only=True):
    """A declared host and, where one has shown up, the machine behind it. `state` None = never seen."""

    name: str
    profile: str
    macs: tuple[Mac, ...] = ()
    uuid: str = ""
    serial: str = ""
    labels: dict[str, str] = {}
    system: str = ""  # its profile's: "nixos" | "darwin"
    source: str = ""
    machine: str = ""
    state: State | None = None
    last_seen: float = 0.0
    address: str = ""
    install: str = ""  # its profile's: "auto" | "approve"
    why: str = ""


class EventView(Struct, frozen=True, kw_only=True):
    """An event as it is told: whose it is and, where that is still known, the change of state it caused."""

    event: AnyEvent
    host: str = ""
    before: State | None = None
    after: State | None = None


class ProfileView(Struct, frozen=True, kw_only=True):
    """A profile and who uses it."""

    name: str
    images: dict[str, str] = {}  # cpu -> image; "" = every cpu
    system: str = ""
    install: str = ""
    report: str = ""
    local_boot: str = ""
    esp_label: str = ""
    layout: str = ""
    kernel_params: tuple[str, ...] = ()
    requires: Requires = Requires()
    hosts: tuple[str, ...] = ()
    source: str = ""


class ImageView(Struct, frozen=True, kw_only=True):
    """An image and the profiles that use it."""

    name: str
    kind: str = ""
    arch: str = ""
    size_bytes: int = 0
    kernel: str = ""
    initrds: tuple[str, ...] = ()
    cmdline: str = ""
    sha256: dict[str, str] = {}
    profiles: tuple[str, ...] = ()
    folder: str = ""


class ListenerView(Struct, frozen=True, kw_only=True):
    """One open door of the running appliance."""

    door: str  # "dhcp", "pxe", "tftp", "http"
    address: str
    port: int
    interface: str = ""


class NatsView(Struct, frozen=True, kw_only=True):
    """The way to NATS."""

    where: str  # the URL, "" while none is known
    is_connected: bool
    lag: int  # events in the journal that are not in the stream
    problem: str = ""


class StatusView(Struct, frozen=True, kw_only=True):
    """The running appliance. `problems` are sentences; the last good configuration still serves."""

    version: str
    pid: int
    started: float
    hosts: int = 0
    profiles: int = 0
    images: int = 0
    machines: int = 0
    listeners: tuple[ListenerView, ...] = ()
    problems: tuple[str, ...] = ()
    nats: NatsView | None = None  # None = it is not wanted
    counters: dict[str, int] = {}


class Explained(Struct, frozen=True, kw_only=True):
    """One answer the appliance would give: where, to whom, the rule that chose it, each field, the script."""

    door: Door
    stage: Stage
    arch: str
    rule: str
    reason: str
    fields: list[tuple[str, str]] = []
    script: str = ""


class Adoption(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/machines/{id}/adopt`: this machine is that host; `ready`: it runs from its own disk already."""

    host: str
    ready: bool = False


class Consent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/hosts/{name}/arm`, `/abort` and `/retry`: who says so, for the journal.

    `fingerprint`, of `arm`: of the SSH host key that the person was shown; another one now is not approved.
    """

    by: Annotated[str, Meta(min_length=1, max_length=64)] = "api"
    fingerprint: Annotated[str, Meta(max_length=64)] = ""


class Failure(Struct, frozen=True, kw_only=True):
    """The body of every answer that is not a success. `code` is a word for programs, `error` a sentence."""

    error: str
    code: str
    mistakes: tuple[str, ...] = ()


class Admission(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to `POST /v1/register` and `/v1/report`: "accepted" and who it is, or "refused" and why."""

    status: str
    machine: str = ""
    host: str = ""
    code: str = ""
    reason: str = ""
