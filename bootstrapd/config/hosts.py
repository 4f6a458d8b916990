"""The hosts folder's texts -> `HostBook`, or every mistake in it at once.

Owns what one file cannot know of itself: names by place, profiles that must exist, two hosts claiming one
value. What each file may say is `config/tables.py`. Profiles that ship with the appliance stand in for those
that the folder does not define.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Final

from msgspec.structs import asdict

from bootstrapd import shipped
from bootstrapd.config import kinds
from bootstrapd.config.check import Report, read, toml, unknown
from bootstrapd.config.networks import FILE, Networks, parse_networks, taken_addresses
from bootstrapd.config.tables import DiskTable, GpuTable, HostTable, ProfileTable, RequiresTable
from bootstrapd.errors import ConfigError
from bootstrapd.model import (
    ARCHES,
    IMAGE_PATTERN,
    DiskSelector,
    Host,
    HostBook,
    Profile,
    RequiredDisk,
    RequiredGpu,
    Requires,
    clean_serial,
    clean_uuid,
    uuid_orders,
)
from bootstrapd.policy import size

_HOST_NAME: Final = re.compile(r"(?!(?:profiles|layouts)\Z)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_IMAGE: Final = re.compile(IMAGE_PATTERN)
_NAME: Final = re.compile(kinds.NAME)
_CPUS: Final = frozenset(arch.cpu for arch in ARCHES.values())

_IDENTITIES: Final = {
    "uuid": "the SMBIOS UUID (32 hex digits in five groups) and not a placeholder",
    "serial": "the maker's serial number and not a placeholder",
}

Read = tuple[Host | Profile | Networks | None, tuple[str, ...]]  # what a file says, and what is wrong with it


def parse_hosts(files: Mapping[str, str], folder: str = "hosts") -> HostBook:
    """The whole folder checked, given as path below it -> text; other paths than those of hosts, profiles and
    networks.toml are ignored.

    `folder` stands before each path in messages and in `source`. ConfigError carries every mistake of every
    file.
    """
    read_files = {path: _read_file(folder, path, files[path]) for path in sorted(files)}
    mistakes = [mistake for _, found in read_files.values() for mistake in found]
    values = [value for value, _ in read_files.values()]
    hosts = {value.name: value for value in values if isinstance(value, Host)}
    own_profiles = {value.name: value for value in values if isinstance(value, Profile)}
    profiles = {**_shipped_profiles(), **own_profiles}
    written = (path[len("profiles/") : -len(".toml")] for path in files if path.startswith("profiles/"))
    mistakes += _unknown_profiles(hosts.values(), {*profiles, *written})
    mistakes += _claimed_twice(hosts.values())
    drawn = next((value for value in values if isinstance(value, Networks)), Networks())
    mistakes += taken_addresses(hosts.values(), drawn)
    if mistakes:
        raise ConfigError(*mistakes)
    return HostBook(hosts=hosts, profiles=profiles, networks=drawn.networks, switches=drawn.switches)


def check_host_name(name: str) -> None:
    """ConfigError when this cannot be a host's name (a DNS label that is no folder of ours)."""
    if not _HOST_NAME.fullmatch(name):
        raise ConfigError(
            f'"{name}" cannot be the name of a host: expected at most 63 of a-z, 0-9 and -, '
            'beginning and ending with a letter or digit, other than "profiles" and "layouts"'
        )


# The folder is read again whole when one file changes; the files that did not are remembered.
@lru_cache(maxsize=16384)
def _read_file(folder: str, path: str, text: str) -> Read:
    mistakes: list[str] = []
    source = f"{folder}/{path}"

    def report(key: str, mistake: str) -> None:
        mistakes.append(f"{source}: {key}: {mistake}" if key else f"{source}: {mistake}")

    match path.split("/"):
        case ["profiles", file] if file.endswith(".toml"):
            return _profile(file.removesuffix(".toml"), text, source, report), tuple(mistakes)
        case [file] if file == FILE:
            return parse_networks(text, source, report), tuple(mistakes)
        case [name, "host.toml"]:
            return _host(name, text, source, report), tuple(mistakes)
    return None, ()


def _host(name: str, text: str, source: str, report: Report) -> Host | None:
    try:
        check_host_name(name)
    except ConfigError as error:
        report("", str(error))
    table = toml(text, report)
    if table is None:
        return None
    host = read(HostTable, table, report)
    if "profile" not in table:
        report("profile", "expected the name of a profile, found nothing")
    return Host(
        name=name,
        profile=host.profile,
        macs=tuple(dict.fromkeys(host.match.mac)),
        uuid=_identity("uuid", host.match.uuid, clean_uuid, report),
        serial=_identity("serial", host.match.serial, clean_serial, report),
        port=host.match.port,
        disk=_selectors(host.disk),
        address=host.network.address,
        labels=host.labels,
        program=host.boot.program,
        tftp_blksize=host.boot.tftp_blksize,
        tftp_windowsize=host.boot.tftp_windowsize,
        source=source,
    )


def _selectors(disks: Mapping[str, DiskTable]) -> dict[str, DiskSelector]:
    return {role: DiskSelector(**asdict(disk)) for role, disk in disks.items()}


def _identity(key: str, text: str, clean: Callable[[str], str], report: Report) -> str:
    identity = clean(text)
    if text and not identity:
        report(f"match.{key}", f'"{text}" identifies no machine: expected {_IDENTITIES[key]}, or leave it out')
    return identity


def _profile(name: str, text: str, source: str, report: Report) -> Profile | None:
    if not _NAME.fullmatch(name):
        report("", f'"{name}" cannot be the name of a profile: expected letters, digits and . _ -')
    table = toml(text, report)
    if table is None:
        return None
    profile = read(ProfileTable, table, report)
    return Profile(
        name=name,
        images=(
            _no_images(profile, report)
            if profile.system == "darwin"
            else _images(profile.image, table.get("image", ""), report)
        ),
        system=profile.system,
        layout=profile.layout,
        flake=profile.flake,
        install=profile.install,
        report=profile.report,
        local_boot=profile.local_boot,
        esp_label=profile.esp_label,
        kernel_params=profile.kernel_params,
        disk=_selectors(profile.disk),
        requires=_requires(profile.requires),
        source=source,
    )


def _images(image: str | dict[str, str], written: object, report: Report) -> dict[str, str]:
    images = image if isinstance(image, dict) else {"": image}
    is_wrong = any(written.values()) if isinstance(written, dict) else written != ""  # said already
    if not any(images.values()) and not is_wrong:
        report("image", "expected the name of an image, or a table of one a CPU, found nothing")
    for cpu, name in images.items():
        if cpu and cpu not in _CPUS:
            report(f"image.{cpu}", unknown("CPU", cpu, _CPUS))
        if name and not _IMAGE.fullmatch(name):
            report("image", f'expected a name of lower-case letters, digits and . _ -, found "{name}"')
    return images


def _no_images(profile: ProfileTable, report: Report) -> dict[str, str]:
    for key in ("image", "layout"):
        if getattr(profile, key):
            report(key, 'a Mac (system = "darwin") boots no image and has no layout; leave it out')
    return {}


def _requires(table: RequiresTable) -> Requires:
    return Requires(
        cpu_threads=table.cpu.threads,
        memory_bytes=size.parse(table.memory, size.MEMORY_BASE),
        disks=tuple(
            RequiredDisk(type=disk.type, size_bytes=size.parse(disk.size, size.DISK_BASE))
            for disk in table.disk
        ),
        gpu=_required_gpu(table.gpu) if table.gpu else None,
        nic_mbps=size.parse(table.nic.speed, size.DISK_BASE) // 1_000_000,
    )


def _required_gpu(table: GpuTable) -> RequiredGpu:
    return RequiredGpu(
        vendor=table.vendor,
        memory_bytes=size.parse(table.memory, size.MEMORY_BASE),
        compute_capability=table.compute_capability,
        allow=table.allow,
    )


def _unknown_profiles(hosts: Iterable[Host], names: Collection[str]) -> Iterator[str]:
    """`names` are there; a file that says nothing right is one, too: what is wrong with it is said once."""
    for host in hosts:
        if host.profile and host.profile not in names:
            yield f"{host.source}: profile: {unknown('profile', host.profile, names)}"


def _claimed_twice(hosts: Iterable[Host]) -> Iterator[str]:
    claims: dict[tuple[str, str], Host] = {}
    for host in hosts:
        for key, value in _claims(host):
            claim = uuid_orders(value)[0] if key == "uuid" else value
            first = claims.setdefault((key, claim), host)
            if first is not host:
                how = (
                    f" (as {first.uuid}, the other byte order)" if key == "uuid" and value != first.uuid else ""
                )
                yield f"{host.source}: match.{key}: {value} is claimed by {first.source} too{how}"


def _claims(host: Host) -> Iterator[tuple[str, str]]:
    yield from (("mac", mac) for mac in host.macs)
    yield from ((key, value) for key in ("uuid", "serial", "port") if (value := getattr(host, key)))


@lru_cache(maxsize=1)
def _shipped_profiles() -> Mapping[str, Profile]:
    folder = shipped.hosts()
    paths = sorted((folder / "profiles").glob("*.toml"))
    read_files = [_read_file(str(folder), f"profiles/{path.name}", path.read_text("utf-8")) for path in paths]
    return {profile.name: profile for profile, _ in read_files if isinstance(profile, Profile)}
