"""What the operator declared: hosts, profiles, images, network boot programs."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgspec import Struct

from bootstrapd.model.identity import Mac

# They stand in paths and URLs that machines fetch, and let nothing through that means something there.
IMAGE_PATTERN: Final = r"[a-z0-9][a-z0-9._-]{0,62}"
FILE_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._+-]{0,126}"


class DiskSelector(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which of a machine's disks plays a role of the layout (DESIGN.md, "What a person writes")."""

    type: str = ""
    size: str = ""
    serial: str = ""
    wwn: str = ""
    pick: str = ""


class Host(Struct, frozen=True, kw_only=True):
    """A declared role: `hosts/<name>/host.toml`."""

    name: str
    profile: str
    macs: tuple[Mac, ...] = ()
    uuid: str = ""
    serial: str = ""
    port: str = ""
    disk: dict[str, DiskSelector] = {}
    address: str = ""
    labels: dict[str, str] = {}
    program: str = ""  # [boot] program: overrides the architecture's network boot program (rule I12)
    tftp_blksize: int = 0  # [boot] tftp_blksize: cap for a firmware that cannot take more (T4); 0 = ours
    tftp_windowsize: int = 0  # [boot] tftp_windowsize: 1 turns windows off (T6); 0 = ours
    source: str = ""  # the file it came from


class RequiredDisk(Struct, frozen=True, kw_only=True):
    """One disk that must be there; several ask for as many different disks."""

    type: str = ""  # "nvme" | "ssd" | "hdd" | "virtual"; "" = any
    size_bytes: int = 0


class RequiredGpu(Struct, frozen=True, kw_only=True):
    vendor: str = ""  # "nvidia" | "amd" | "intel"; "" = any
    memory_bytes: int = 0
    compute_capability: float = 0.0
    allow: tuple[str, ...] = ()  # PCI ids that are good enough, whatever is known of them: "10de:20b5"


class Requires(Struct, frozen=True, kw_only=True):
    """What a profile's hardware must be at least; 0 and None ask for nothing."""

    cpu_threads: int = 0
    memory_bytes: int = 0
    disks: tuple[RequiredDisk, ...] = ()
    gpu: RequiredGpu | None = None
    nic_mbps: int = 0


class Profile(Struct, frozen=True, kw_only=True):
    """What hosts share: `hosts/profiles/<name>.toml`."""

    name: str
    images: dict[str, str]  # cpu -> image name; key "" = the image for every cpu
    system: str = "nixos"  # "darwin" = Macs, which are declared here and never booted: policy/darwin.py
    layout: str = ""
    flake: str = ""
    install: str = "auto"
    report: str = "agent"  # how its first boot is known: "agent" = it says so, "ssh" = we log in and look
    local_boot: str = "disk"
    esp_label: str = "ESP"
    kernel_params: tuple[str, ...] = ()
    disk: dict[str, DiskSelector] = {}  # of hosts that name none themselves
    requires: Requires = Requires()
    source: str = ""

    @property
    def is_darwin(self) -> bool:
        return self.system == "darwin"

    def image_for(self, cpu: str) -> str:
        """The image's name for this CPU, or "" when the profile has none for it."""
        return self.images.get(cpu, self.images.get("", ""))


class Network(Struct, frozen=True, kw_only=True):
    """A subnet of the fleet: `[network.<name>]` in networks.toml. Addresses are text, "" = none."""

    name: str
    subnet: str  # "10.1.0.0/24"
    vlan: int = 0  # the switches' number of it, 0 = none
    tagged: bool = False  # its hosts' frames carry that number
    gateway: str = ""
    dns: tuple[str, ...] = ()
    appliance: str = ""  # bootstrapd's own address there
    description: str = ""


class Switch(Struct, frozen=True, kw_only=True):
    """`[switch.<name>]` in networks.toml: which networks it carries, and the switch above it."""

    name: str
    networks: tuple[str, ...] = ()
    uplink: str = ""
    description: str = ""


class HostBook(Struct, frozen=True, kw_only=True):
    """The whole hosts folder as one checked value."""

    hosts: dict[str, Host] = {}
    profiles: dict[str, Profile] = {}
    networks: dict[str, Network] = {}
    switches: dict[str, Switch] = {}


class Image(Struct, frozen=True, kw_only=True):
    """What a machine boots over the network: a folder with `manifest.json` (DESIGN.md, Images)."""

    name: str
    kind: str  # "nixos" | "linux"
    arch: str  # cpu
    kernel: str
    initrds: tuple[str, ...]
    cmdline: str
    sha256: dict[str, str]  # file -> lower-case hex
    sizes: dict[str, int]
    folder: Path


class Program(Struct, frozen=True, kw_only=True):
    """A network boot program found on this appliance, under the name that machines ask for."""

    name: str  # "snponly.efi"
    path: Path
    size: int
