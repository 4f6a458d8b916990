"""Which host a machine is: by MAC, SMBIOS UUID or serial, any one of which identifies (DESIGN.md, host.toml).

A machine whose identities point at two hosts is a `Conflict`, which is told to a person and never guessed at.
Junk identities (P14) never match anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from bootstrapd.model import Hardware, Host, Mac, clean_serial, clean_uuid, uuid_orders
from bootstrapd.policy import words


class Index(Struct, frozen=True):
    """Each identity's host; a UUID is there in both byte orders (P15)."""

    by_mac: Mapping[Mac, Host]
    by_uuid: Mapping[str, Host]
    by_serial: Mapping[str, Host]


class Conflict(Struct, frozen=True):
    """The identities of one machine name different hosts."""

    reason: str


def index(hosts: Iterable[Host]) -> Index:
    """A book's hosts by every identity; that no two claim the same one is seen to by `config/hosts.py`."""
    hosts = tuple(hosts)
    return Index(
        by_mac={mac: host for host in hosts for mac in host.macs},
        by_uuid={uuid: host for host in hosts for uuid in uuid_orders(host.uuid)},
        by_serial={host.serial: host for host in hosts if host.serial},
    )


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


def contradictions(host: Host, hardware: Hardware) -> list[str]:
    """Every way in which this inventory is not the machine that `[match]` names, [] when it is.

    A MAC is a claim that anybody on the link can make: who declares a UUID or a serial has it looked at.
    """
    uuid, serial = clean_uuid(hardware.uuid), clean_serial(hardware.serial)
    claims = (
        ("SMBIOS UUID", uuid, host.uuid, uuid in uuid_orders(host.uuid)),
        ("SMBIOS serial number", serial, host.serial, serial == host.serial),
    )
    return [
        f"its {what} is {words.printable(found) or 'none'}, and {host.source} names {declared}"
        for what, found, declared, is_same in claims
        if declared and not is_same
    ]
