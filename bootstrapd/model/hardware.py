"""A machine's hardware, as the agent in the live system reports it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

Text = Annotated[str, Meta(max_length=256)]
Size = Annotated[int, Meta(ge=0, le=2**63 - 1)]


class Nic(Struct, frozen=True, kw_only=True):
    name: Text
    mac: Text
    driver: Text = ""
    speed_mbps: Size = 0
    has_link: bool = False


class Disk(Struct, frozen=True, kw_only=True):
    name: Text
    size_bytes: Size
    model: Text = ""
    serial: Text = ""
    wwn: Text = ""
    type: Text = ""  # "nvme" | "ssd" | "hdd" | "virtual"
    filesystems: Annotated[tuple[Text, ...], Meta(max_length=64)] = ()
    by_id: Text = ""  # "/dev/disk/by-id/…", the name that stays; "" where the live system has none
    is_removable: bool = False  # a USB stick, a card, a CD: never a disk to install on


class Gpu(Struct, frozen=True, kw_only=True):
    pci_id: Text  # "10de:2204"
    address: Text = ""


class Hardware(Struct, frozen=True, kw_only=True):
    """A machine's inventory, bounded here, a claim like all it says; `policy.admission.sane` cleans it."""

    nics: Annotated[tuple[Nic, ...], Meta(max_length=128)] = ()
    disks: Annotated[tuple[Disk, ...], Meta(max_length=1024)] = ()
    gpus: Annotated[tuple[Gpu, ...], Meta(max_length=128)] = ()
    cpu_model: Text = ""
    cpu_threads: Size = 0
    memory_bytes: Size = 0  # what the kernel has: less than is installed
    memory_installed_bytes: Size = 0  # what SMBIOS says is in the sockets; 0 = it does not say
    arch: Text = ""
    firmware: Text = ""  # "bios" | "uefi"
    secure_boot: bool | None = None
    uuid: Text = ""
    serial: Text = ""
    vendor: Text = ""
    product: Text = ""
    kernel: Text = ""


class ChosenDisk(Struct, frozen=True, kw_only=True):
    """The disk that plays a role of the layout, as it was when it was chosen: what an erase is bound to."""

    role: str  # "main"
    path: str  # "/dev/disk/by-id/…"
    size_bytes: int
    name: str = ""
    model: str = ""
    serial: str = ""
    wwn: str = ""
    type: str = ""
    filesystems: tuple[str, ...] = ()  # what an erase would destroy

    @property
    def identity(self) -> str:
        """What tells this disk from every other: its WWN or serial number, else its path."""
        return self.wwn or self.serial or self.path


class Pin(Struct, frozen=True, kw_only=True):
    """What the first registration said the machine is; a later one that differs is rejected (Safety 4)."""

    uuid: str = ""
    serial: str = ""
    disks: tuple[str, ...] = ()  # serial numbers, sorted


class Registration(Struct, frozen=True, kw_only=True):
    """`POST /v1/register`: what the live agent says, with the token of its overlay."""

    token: Text
    boot_mac: Text
    hardware: Hardware
    host_key: Annotated[str, Meta(max_length=1024)] = ""  # "ssh-ed25519 AAAA…"
    agent: Text = ""  # its version


class Report(Struct, frozen=True, kw_only=True):
    """`POST /v1/report`: what the installed system says at its first boot, with the token planted in it."""

    token: Text
    closure: Text  # where /run/current-system leads: "/nix/store/…-nixos-system-…"
    boot_id: Text = ""  # the kernel's, of this boot
    host_keys: Annotated[tuple[Annotated[str, Meta(max_length=1024)], ...], Meta(max_length=16)] = ()
