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
    memory_bytes: Size = 0
    arch: Text = ""
    firmware: Text = ""  # "bios" | "uefi"
    secure_boot: bool | None = None
    uuid: Text = ""
    serial: Text = ""
    vendor: Text = ""
    product: Text = ""
    kernel: Text = ""


class Registration(Struct, frozen=True, kw_only=True):
    """`POST /v1/register`: what the live agent says, with the token of its overlay."""

    token: Text
    boot_mac: Text
    hardware: Hardware
    host_key: Annotated[str, Meta(max_length=1024)] = ""  # "ssh-ed25519 AAAA…"
    agent: Text = ""  # its version
