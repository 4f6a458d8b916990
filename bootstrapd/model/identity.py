"""Who a machine is: MAC addresses, SMBIOS UUID and serial, and which of those are worth nothing."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from bootstrapd.errors import ConfigError, WireError

_SEPARATORS: Final = re.compile(r"[:.\-]")
_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_JUNK_UUIDS: Final = frozenset({"03000200-0400-0500-0006-000700080009", "12345678-1234-5678-90ab-cddeefaabbcc"})
# fmt: off
_JUNK_SERIALS: Final = frozenset({
    "to be filled by o.e.m.", "to be filled by oem", "default string", "system serial number", "serial number",
    "none", "n/a", "na", "not specified", "not applicable", "unknown", "oem", "empty", "invalid",
    "0123456789", "123456789", "1234567890",
})
# fmt: on
_TWELVE_HEX: Final = re.compile(r"[0-9a-f]{12}")


class Mac(str):
    """An Ethernet address as text, lower case with colons (`52:54:00:aa:bb:01`). Made by `parse` or `of`."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Mac:
        """Any usual spelling (colons, hyphens, Cisco dots, none); ConfigError says what is wrong with it."""
        digits = _SEPARATORS.sub("", text.strip().lower())
        if not _TWELVE_HEX.fullmatch(digits):
            raise ConfigError(
                f"{text!r} is not a MAC address: expected six hex bytes such as 52:54:00:aa:bb:01"
            )
        octets = bytes.fromhex(digits)
        if octets[0] & 1 or not any(octets):
            raise ConfigError(f"{text!r} is not the address of one network card (multicast or all zero)")
        return _mac_of(octets)

    @staticmethod
    def of(octets: bytes) -> Mac:
        """From six bytes off the wire; interned, because the hot path makes the same few thousand again."""
        return _mac_of(octets)

    @property
    def octets(self) -> bytes:
        return bytes.fromhex(self.replace(":", ""))

    @property
    def hexhyp(self) -> str:
        """`52-54-00-aa-bb-01`: iPXE's `hexhyp`, safe in paths and URLs."""
        return self.replace(":", "-")

    @property
    def hex(self) -> str:
        """`525400aabb01`: machine ids and NATS subjects, which cannot bear colons."""
        return self.replace(":", "")


@lru_cache(maxsize=16384)
def _mac_of(octets: bytes) -> Mac:
    if len(octets) != 6:
        raise WireError(f"a MAC address has 6 bytes, not {len(octets)}")
    return Mac(octets.hex(":"))


def clean_uuid(text: str) -> str:
    """The SMBIOS UUID in canonical lower case, or "" for one that identifies nothing (P14: all 0, all F, vendor
    placeholders) or is no UUID at all.
    """
    uuid = text.strip().lower()
    if not _UUID.fullmatch(uuid) or uuid in _JUNK_UUIDS or len(set(uuid.replace("-", ""))) == 1:
        return ""
    return uuid


def uuid_orders(uuid: str) -> tuple[str, ...]:
    """The UUIDs that are the same machine's: firmware and DHCP read the first three fields of its 16 bytes in
    two orders (P15). The smallest first, whichever is given; none for "".
    """
    if not uuid:
        return ()
    a, b, c, rest = uuid.split("-", 3)
    swapped = "-".join((*(bytes.fromhex(field)[::-1].hex() for field in (a, b, c)), rest))
    return tuple(sorted((uuid, swapped)))


def clean_serial(text: str) -> str:
    """The SMBIOS serial, or "" for a placeholder ("To be filled by O.E.M.", all one character)."""
    serial = text.strip()
    is_junk = serial.lower() in _JUNK_SERIALS or len(set(serial)) <= 1
    return "" if is_junk else serial
