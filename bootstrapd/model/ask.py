"""What asks: architectures, doors, stages, and the ask itself."""

from __future__ import annotations

from enum import IntFlag, StrEnum
from typing import Final

from msgspec import Struct

from bootstrapd.errors import ConfigError
from bootstrapd.model.identity import Mac


class Arch(Struct, frozen=True, eq=False):
    """One row of IANA's "Processor Architecture Types" (RFC 4578 2.1, RFC 5970), as DHCP option 93 sends it."""

    code: int
    cpu: str  # "x86_64", "aarch64", …: chooses image and network boot program
    is_uefi: bool
    is_http: bool  # UEFI HTTP boot: asks with HTTPClient, wants a URL
    label: str

    def __str__(self) -> str:
        return self.label

    @classmethod
    def parse(cls, text: str) -> Arch:
        """By number (`7`) or by name (`uefi-x64`, `UEFI x64`); ConfigError lists the names."""
        wanted = text.strip().lower().replace(" ", "-")
        for arch in ARCHES.values():
            if wanted in {str(arch.code), arch.slug}:
                return arch
        names = ", ".join(f"{arch.code} {arch.slug}" for arch in ARCHES.values())
        raise ConfigError(f"{text!r} is not an architecture; the number or the name of one of: {names}")

    @property
    def slug(self) -> str:
        """The label as one word: `uefi-x64-http`."""
        return self.label.lower().translate({ord(" "): "-", ord("("): None, ord(")"): None})


ARCHES: Final[dict[int, Arch]] = {
    arch.code: arch
    for arch in (
        Arch(0, "x86_64", False, False, "BIOS"),
        Arch(6, "i686", True, False, "UEFI ia32"),
        Arch(7, "x86_64", True, False, "UEFI x64"),
        Arch(9, "x86_64", True, False, "UEFI x64 (EBC number)"),  # RFC 4578 erratum: some x64 firmware sends 9
        Arch(10, "arm", True, False, "UEFI arm32"),
        Arch(11, "aarch64", True, False, "UEFI arm64"),
        Arch(15, "i686", True, True, "UEFI ia32 HTTP"),
        Arch(16, "x86_64", True, True, "UEFI x64 HTTP"),
        Arch(18, "arm", True, True, "UEFI arm32 HTTP"),
        Arch(19, "aarch64", True, True, "UEFI arm64 HTTP"),
        Arch(20, "x86_64", False, True, "BIOS HTTP"),
    )
}


class Door(StrEnum):
    """Where an ask came in. A door never has a rule of its own: see `policy.boot`."""

    DHCP = "dhcp"  # UDP 67
    PXE = "pxe"  # UDP 4011, PXE 2.1 boot server
    TFTP = "tftp"
    HTTP = "http"


class Stage(StrEnum):
    """Who on the machine is asking."""

    FIRMWARE = "firmware"  # the NIC's ROM or UEFI
    IPXE = "ipxe"  # an iPXE that can run our script


class Feature(IntFlag):
    """What an iPXE said of itself in option 175 (ipxe `features.h`)."""

    NONE = 0
    HTTP = 1
    HTTPS = 2
    TFTP = 4
    DNS = 8
    BZIMAGE = 16
    EFI = 32
    PXE = 64
    VLAN = 128
    MENU = 256


class Ask(Struct, frozen=True, kw_only=True):
    """A boot question from a machine, whatever the protocol. Everything in it is a claim, not a proof."""

    door: Door
    mac: Mac
    stage: Stage
    server: str  # our own IPv4 address on the link it came in by
    arch: Arch | None = None
    client: str = ""  # its IPv4 address where it has one
    uuid: str = ""  # canonical text, "" when absent or junk
    serial: str = ""
    xid: int = 0  # DHCP transaction: a retry has the same one
    secs: int = 0  # DHCP "seconds since it began"
    features: Feature = Feature.NONE
    interface: str = ""


class FileAsk(Struct, frozen=True, kw_only=True):
    """A TFTP read request or an HTTP GET/HEAD before anything was read into its path."""

    door: Door
    path: str  # as it came, percent-decoded; never trusted
    server: str  # our address that it reached
    client: str
    query: dict[str, str] = {}
    is_probe: bool = False  # HEAD: answers the same, changes nothing
