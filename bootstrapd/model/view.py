"""What an operator is shown: one JSON shape a noun, the same over the API, in `--json` and in the tables.

Views are made by the daemon (or offline, from the files) and only read by others. Times are Unix seconds,
0.0 = never. A view repeats what a person would otherwise look up elsewhere: the reason, the host's file.
"""

from __future__ import annotations

from msgspec import Struct

from bootstrapd.model.ask import Door, Stage
from bootstrapd.model.fleet import Requires
from bootstrapd.model.hardware import Hardware
from bootstrapd.model.identity import Mac
from bootstrapd.model.life import State


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


class MachineView(Struct, frozen=True, kw_only=True):
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


class HostView(Struct, frozen=True, kw_only=True):
    """A declared host and, where one has shown up, the machine behind it. `state` None = never seen."""

    name: str
    profile: str
    macs: tuple[Mac, ...] = ()
    uuid: str = ""
    serial: str = ""
    labels: dict[str, str] = {}
    source: str = ""
    machine: str = ""
    state: State | None = None
    last_seen: float = 0.0
    why: str = ""


class ProfileView(Struct, frozen=True, kw_only=True):
    """A profile and who uses it."""

    name: str
    images: dict[str, str] = {}  # cpu -> image; "" = every cpu
    install: str = ""
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


class Failure(Struct, frozen=True, kw_only=True):
    """The body of every answer that is not a success. `code` is a word for programs, `error` a sentence."""

    error: str
    code: str
    mistakes: tuple[str, ...] = ()


class Admission(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to `POST /v1/register`: "accepted" with who the machine is, or "refused" with why."""

    status: str
    machine: str = ""
    host: str = ""
    code: str = ""
    reason: str = ""
