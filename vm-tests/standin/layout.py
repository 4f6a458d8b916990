"""Disko's layouts, as far as the stand-in knows them: GPT disks with file systems; the rest is refused."""

from __future__ import annotations

import shlex
from typing import Any, NamedTuple

_TYPES = {  # disko's (sgdisk's) codes, as sfdisk writes them
    "EF00": "C12A7328-F81F-11D2-BA4B-00A0C93EC93B",
    "EF02": "21686148-6449-6E6F-744E-656564454649",
    "8200": "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
    "8300": "0FC63DAF-8483-4772-8E79-3D69D8477DE4",
}
_UNITS = {"K": "KiB", "M": "MiB", "G": "GiB", "T": "TiB"}


class Partition(NamedTuple):
    disk: str  # the path in the layout
    number: int
    name: str
    type: str
    size: str  # as sfdisk reads it, "" = the rest
    format: str = ""
    extra: tuple[str, ...] = ()
    mountpoint: str = ""


class UnknownLayoutError(ValueError):
    """The stand-in does not know this part of disko."""


class Devices:
    """disko.devices, evaluated, as partitions in their order."""

    def __init__(self, devices: dict[str, Any]) -> None:
        if others := [kind for kind in devices if kind != "disk" and devices[kind]]:
            raise UnknownLayoutError(f"the stand-in knows no disko.devices.{others[0]}")
        self.disks: dict[str, list[Partition]] = {
            disk["device"]: _partitions(name, disk) for name, disk in sorted(devices["disk"].items())
        }

    @property
    def bios_boot(self) -> list[tuple[str, int]]:
        """Where GRUB's core goes: disk and partition number."""
        return [(each.disk, each.number) for each in self._all() if each.type == _TYPES["EF02"]]

    @property
    def root_label(self) -> str:
        """The label of the root file system."""
        root = next((each for each in self._all() if each.mountpoint == "/"), None)
        if root is None or "-L" not in root.extra:
            raise UnknownLayoutError("the stand-in's system finds its root by label: the layout gives it none")
        return root.extra[root.extra.index("-L") + 1]

    def mounts(self) -> list[Partition]:
        """What is mounted, the root first."""
        return sorted((each for each in self._all() if each.mountpoint), key=lambda each: each.mountpoint)

    def _all(self) -> list[Partition]:
        return [each for partitions in self.disks.values() for each in partitions]


def disko_script(devices: Devices) -> str:
    """The script that destroys, formats and mounts; it tells what it does, and ends at what fails."""
    lines = [_HEAD]
    for disk, partitions in devices.disks.items():
        table = "".join(
            f"{'size=' + each.size + ', ' if each.size else ''}type={each.type}, name={each.name}\n"
            for each in partitions
        )
        lines += [
            f"destroy {shlex.quote(disk)}",
            f"sfdisk {shlex.quote(disk)} <<'TABLE'",
            f"label: gpt\n{table}TABLE",
        ]
        lines += ["udevadm trigger --subsystem-match=block", "udevadm settle --timeout 120"]
        lines += [
            f'mkfs.{each.format} {shlex.join(each.extra)} "$(part {shlex.quote(disk)} {each.number})"'
            for each in partitions
            if each.format
        ]
    for each in devices.mounts():
        target = f"/mnt{each.mountpoint}"
        lines += [f"mkdir -p {target}", f'mount -t {each.format} "$(part {each.disk} {each.number})" {target}']
    return "\n".join(lines) + "\n"


_HEAD = """\
#!/bin/sh
# A stand-in for disko's script, made by bootstrapd's vm-tests.
umount -R /mnt
set -eux

part() {
    disk=$(realpath "$1")
    case $disk in *[0-9]) echo "${disk}p$2" ;; *) echo "$disk$2" ;; esac
}

destroy() {
    disk=$(realpath "$1")
    lsblk -a -f
    if [ ! -b "$disk" ]; then
        echo "Problem opening $1 for reading! Error is 2." >&2
        echo "The specified file does not exist!" >&2
        exit 4
    fi
    for old in "$disk"?*; do
        [ ! -b "$old" ] || wipefs --all -f "$old"
    done
    wipefs --all -f "$disk"
    dd if=/dev/zero of="$disk" bs=440 count=1
}
"""


def _partitions(name: str, disk: dict[str, Any]) -> list[Partition]:
    content = disk["content"]
    if content["type"] != "gpt":
        raise UnknownLayoutError(f"the stand-in knows GPT, and no {content['type']} on the disk {name}")
    ordered = sorted(content["partitions"].items(), key=lambda item: (_priority(item[1]), item[0]))
    return [_partition(name, disk["device"], number, *item) for number, item in enumerate(ordered, 1)]


def _priority(partition: dict[str, Any]) -> int:
    """As disko orders them: GRUB's core first, what takes the rest last."""
    usual = 9001 if partition.get("size") == "100%" else 100 if partition.get("type") == "EF02" else 1000
    return int(partition.get("priority", usual))


def _partition(disk: str, device: str, number: int, name: str, value: dict[str, Any]) -> Partition:
    content = value.get("content") or {}
    if content and (content["type"] != "filesystem" or content["format"] not in {"vfat", "ext4"}):
        raise UnknownLayoutError(f"the stand-in knows vfat and ext4, and not what is on {disk}'s {name}")
    size = value.get("size", "100%")
    if size != "100%" and (size[-1] not in _UNITS or not size[:-1].isdecimal()):
        raise UnknownLayoutError(f"the stand-in knows no size {size!r}")
    return Partition(
        disk=device,
        number=number,
        name=f"disk-{disk}-{name}",
        type=_TYPES[value.get("type", "8300")],
        size="" if size == "100%" else size[:-1] + _UNITS[size[-1]],
        format=content.get("format", ""),
        extra=tuple(content.get("extraArgs", ())),
        mountpoint=content.get("mountpoint") or "",
    )
