"""host.toml, profiles/<name>.toml and networks.toml as a person writes them (DESIGN.md).

Field names are the keys. What the rest of the house reads are the model's `Host` and `Profile`, which
`config/hosts.py` makes of these.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from bootstrapd.config.kinds import (
    Address,
    Blksize,
    Capability,
    EspLabel,
    FlakeRef,
    Ip,
    KernelParam,
    LinkSpeed,
    Name,
    OptionalIp,
    OptionalName,
    PciId,
    Size,
    SizeBound,
    Subnet,
    Text,
    Threads,
    Vlan,
    Windowsize,
)
from bootstrapd.model import Mac

DiskType = Literal["", "nvme", "ssd", "hdd", "virtual"]


class Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of host.toml or of a profile."""


class MatchTable(Table, frozen=True, kw_only=True):
    mac: tuple[Mac, ...] = ()
    uuid: Text = ""
    serial: Text = ""
    port: Text = ""


class DiskTable(Table, frozen=True, kw_only=True):
    type: DiskType = ""
    size: SizeBound = ""
    serial: Text = ""
    wwn: Text = ""
    pick: Literal["", "smallest", "largest"] = ""


class NetworkTable(Table, frozen=True, kw_only=True):
    address: Address = ""


class BootTable(Table, frozen=True, kw_only=True):
    program: OptionalName = ""
    tftp_blksize: Blksize = 0
    tftp_windowsize: Windowsize = 0


class HostTable(Table, frozen=True, kw_only=True):
    """host.toml."""

    profile: Name = ""
    match: MatchTable = MatchTable()
    disk: dict[Name, DiskTable] = {}
    network: NetworkTable = NetworkTable()
    labels: dict[Name, Text] = {}
    boot: BootTable = BootTable()


class CpuTable(Table, frozen=True, kw_only=True):
    threads: Threads = 0


class RequiredDiskTable(Table, frozen=True, kw_only=True):
    type: DiskType = ""
    size: Size = "0"


class GpuTable(Table, frozen=True, kw_only=True):
    vendor: Literal["", "nvidia", "amd", "intel"] = ""
    memory: Size = "0"
    compute_capability: Capability = 0.0
    allow: tuple[PciId, ...] = ()


class NicTable(Table, frozen=True, kw_only=True):
    speed: LinkSpeed = "0M"


class RequiresTable(Table, frozen=True, kw_only=True):
    cpu: CpuTable = CpuTable()
    memory: Size = "0"
    disk: tuple[RequiredDiskTable, ...] = ()
    gpu: GpuTable | None = None
    nic: NicTable = NicTable()


class ProfileTable(Table, frozen=True, kw_only=True):
    """profiles/<name>.toml."""

    system: Literal["nixos", "darwin"] = "nixos"
    image: str | dict[str, str] = ""  # no kinds here: see `config/kinds.py`
    layout: OptionalName = ""
    flake: FlakeRef = ""
    install: Literal["auto", "approve"] = "auto"
    report: Literal["agent", "ssh"] = "agent"
    local_boot: Literal["disk", "cancel", "silence"] = "disk"
    esp_label: EspLabel = "ESP"
    kernel_params: tuple[KernelParam, ...] = ()
    disk: dict[Name, DiskTable] = {}
    requires: RequiresTable = RequiresTable()


class SubnetTable(Table, frozen=True, kw_only=True):
    subnet: Subnet = ""
    vlan: Vlan = 0
    tagged: bool = False
    gateway: OptionalIp = ""
    dns: tuple[Ip, ...] = ()
    appliance: OptionalIp = ""
    description: Text = ""


class SwitchTable(Table, frozen=True, kw_only=True):
    networks: tuple[Name, ...] = ()
    uplink: OptionalName = ""
    description: Text = ""


class NetworksTable(Table, frozen=True, kw_only=True):
    """networks.toml."""

    network: dict[Name, SubnetTable] = {}
    switch: dict[Name, SwitchTable] = {}
