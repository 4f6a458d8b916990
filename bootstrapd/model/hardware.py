"""A machine's hardware, as the agent in the live system reports it."""

from __future__ import annotations

from msgspec import Struct


class Nic(Struct, frozen=True, kw_only=True):
    name: str
    mac: str
    driver: str = ""
    speed_mbps: int = 0
    has_link: bool = False


class Disk(Struct, frozen=True, kw_only=True):
    name: str
    size_bytes: int
    model: str = ""
    serial: str = ""
    wwn: str = ""
    type: str = ""  # "nvme" | "ssd" | "hdd" | "virtual"
    filesystems: tuple[str, ...] = ()


class Gpu(Struct, frozen=True, kw_only=True):
    pci_id: str  # "10de:2204"
    address: str = ""


class Hardware(Struct, frozen=True, kw_only=True):
    """A machine's inventory. Bounds are the API's (`edge/api`); junk identities are already "" here."""

    nics: tuple[Nic, ...] = ()
    disks: tuple[Disk, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    cpu_model: str = ""
    cpu_threads: int = 0
    memory_bytes: int = 0
    arch: str = ""
    firmware: str = ""  # "bios" | "uefi"
    secure_boot: bool | None = None
    uuid: str = ""
    serial: str = ""
    vendor: str = ""
    product: str = ""
    kernel: str = ""


class Registration(Struct, frozen=True, kw_only=True):
    """`POST /v1/register`: what the live agent says, with the token of its overlay."""

    token: str
    boot_mac: str
    hardware: Hardware
    host_key: str = ""  # "ssh-ed25519 AAAA…"
    agent: str = ""  # its version
