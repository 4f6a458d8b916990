"""What the options of a DHCP packet say of the asker: boot client or not, architecture, iPXE or firmware, UUID.

Follows PXE 2.1 and RFC 4578, RFC 3004 for user classes, and iPXE's own option 175. Rules P11, P12, P14, I1, I2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Final

from msgspec import Struct

from bootstrapd.errors import WireError
from bootstrapd.model import ARCHES, Arch, Door, Feature, Stage, clean_uuid
from bootstrapd.wire.dhcp_options import architectures, machine_uuid, sub_options, user_classes

DISCOVER: Final = 1
OFFER: Final = 2
REQUEST: Final = 3

_QUESTIONS: Final[Mapping[bytes, Door]] = {bytes((DISCOVER,)): Door.DHCP, bytes((REQUEST,)): Door.PXE}  # P5
_PXE: Final = b"PXEClient"
_HTTP: Final = b"HTTPClient"
_IPXE: Final = b"iPXE"
_ARCH_TEXT: Final = re.compile(rb"(?:PXE|HTTP)Client:Arch:(\d{1,5})")
_FEATURES: Final[Mapping[int, Feature]] = {
    0x13: Feature.HTTP,
    0x14: Feature.HTTPS,
    0x15: Feature.TFTP,
    0x17: Feature.DNS,
    0x18: Feature.BZIMAGE,
    0x21: Feature.PXE,
    0x24: Feature.EFI,
    0x26: Feature.VLAN,
    0x27: Feature.MENU,
}


class Kind(Struct, frozen=True):
    """The kind of asker: one a firmware, shared by thousands of machines."""

    is_boot: bool  # option 60 names a boot client (D3)
    is_http: bool
    door: Door | None  # where a message of this type is a question
    stage: Stage
    arch: Arch | None
    features: Feature


class Options(dict[int, bytes]):
    """A packet's options, code to value, and what they say of the asker. Nobody changes them once made.

    `uuid` is canonical text, "" where there is none or junk; `machine` is option 97 as an answer repeats it.
    """

    __slots__ = ("kind", "machine", "uuid")

    def __init__(self, options: Mapping[int, bytes] | Iterable[tuple[int, bytes]] = ()) -> None:
        super().__init__(options)
        get = self.get
        self.kind = _kind(get(53, b""), get(60, b""), get(77, b""), get(93), get(175))
        self.machine, self.uuid = _machine(get(97, b""))


@lru_cache(maxsize=512)
def _kind(
    message: bytes, vendor_class: bytes, user_class: bytes, arches: bytes | None, ipxe: bytes | None
) -> Kind:
    """From options 53, 60, 77, 93 and 175."""
    is_http = vendor_class.startswith(_HTTP)
    is_ipxe = ipxe is not None or _IPXE in user_classes(user_class)
    return Kind(
        is_boot=is_http or vendor_class.startswith(_PXE),
        is_http=is_http,
        door=_QUESTIONS.get(message),
        stage=Stage.IPXE if is_ipxe else Stage.FIRMWARE,
        arch=_arch(arches, vendor_class),
        features=_features(ipxe or b""),
    )


def _arch(arches: bytes | None, vendor_class: bytes) -> Arch | None:
    """The first known number of option 93 (P11); option 60's only where 93 is absent or broken (P12)."""
    if arches is not None:
        with suppress(WireError):
            return next((ARCHES[code] for code in architectures(arches) if code in ARCHES), None)
    said = _ARCH_TEXT.match(vendor_class)
    if said:
        return ARCHES.get(int(said[1]))
    return ARCHES[0] if vendor_class.startswith(_PXE) else None


def _machine(value: bytes) -> tuple[bytes, str]:
    """Option 97 to repeat and as UUID; another length or type is accepted and identifies nothing (P14)."""
    try:
        uuid = machine_uuid(value)
    except WireError:
        return b"", ""
    return b"\x61\x11" + value, clean_uuid(uuid)


def _features(value: bytes) -> Feature:
    try:
        said = sub_options(value)
    except WireError:
        return Feature.NONE
    return Feature(sum(feature for code, feature in _FEATURES.items() if any(said.get(code, b""))))
