"""Who a machine is: its MAC addresses."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from bootstrapd.errors import ConfigError, WireError

_SEPARATORS: Final = re.compile(r"[:.\-]")
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
