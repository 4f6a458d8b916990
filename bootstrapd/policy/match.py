"""Which host a machine is: by MAC, SMBIOS UUID or serial, any one of which identifies (DESIGN.md, host.toml).

Ties are refused when the hosts are loaded. A machine whose identities point at two hosts is a `Conflict`, which
is told to a person and never guessed at. Junk identities (P14) never match anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from msgspec import Struct

from bootstrapd.errors import ConfigError
from bootstrapd.model import Host, Mac, clean_serial, clean_uuid, swapped_uuid

K = TypeVar("K", bound=str)


class Index(Struct, frozen=True):
    """Each identity's host."""

    by_mac: Mapping[Mac, Host]
    by_uuid: Mapping[str, Host]
    by_serial: Mapping[str, Host]


class Conflict(Struct, frozen=True):
    """The identities of one machine name different hosts."""

    reason: str


def index(hosts: Iterable[Host]) -> Index:
    """All hosts by every identity; ConfigError with one sentence a tie, naming both files."""
    by_mac: dict[Mac, Host] = {}
    by_uuid: dict[str, Host] = {}
    by_serial: dict[str, Host] = {}
    ties: list[str] = []
    for host in hosts:
        for mac in host.macs:
            _claim(by_mac, mac, host, "MAC", ties)
        if host.uuid:
            # P15: the same UUID reads differently in DHCP and SMBIOS byte order; a declared one matches either.
            either = min(host.uuid, swapped_uuid(host.uuid))
            _claim(by_uuid, either, host, "UUID", ties)
        if host.serial:
            _claim(by_serial, host.serial, host, "serial", ties)
    if ties:
        raise ConfigError(*ties)
    swapped = {swapped_uuid(uuid): host for uuid, host in by_uuid.items()}
    return Index(by_mac, {**by_uuid, **swapped}, by_serial)


def match(index: Index, mac: Mac, uuid: str = "", serial: str = "") -> Host | Conflict | None:
    """The one host these identities name, None when nobody declared them, or the Conflict in words."""
    found = {"its MAC": index.by_mac.get(mac)}
    if uuid:
        found["its UUID"] = index.by_uuid.get(clean_uuid(uuid))
    if serial:
        found["its serial"] = index.by_serial.get(clean_serial(serial))
    hosts = {host.name: (what, host) for what, host in found.items() if host is not None}
    if len(hosts) > 1:
        said = ", ".join(f"{what} says {name}" for name, (what, _) in hosts.items())
        return Conflict(f"{mac}: {said}; correct [match] in one of the host.toml files")
    return next((host for _, host in hosts.values()), None)


def _claim(taken: dict[K, Host], key: K, host: Host, what: str, ties: list[str]) -> None:
    other = taken.setdefault(key, host)
    if other is not host:
        ties.append(
            f"{host.source or host.name}: {what} {key} is also claimed by {other.source or other.name}; "
            "a machine can be one host only"
        )
