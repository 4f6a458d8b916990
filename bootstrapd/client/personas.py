"""What each firmware sends, option by option, in the order it was recorded (FIRMWARE.md 3).

Owns the personas, as data; `packets` builds what they say. A persona marked `is_recorded = False` was put
together from the PXE 2.1 text or from recorded parts of two firmwares; the others are byte for byte.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import Final

from msgspec import Struct, structs

from bootstrapd.errors import ConfigError
from bootstrapd.model import ARCHES, Arch


class Family(StrEnum):
    """Whose acceptance rules apply (`decide`)."""

    EDK2_PXE = "edk2-pxe"
    EDK2_HTTP = "edk2-http"
    IPXE = "ipxe"
    PXE_ROM = "pxe-rom"


class Fill(Enum):
    """An option whose value is the machine's own."""

    CLIENT_ID = 61  # hardware type 1 and the MAC
    UUID = 97  # type 0 and the SMBIOS UUID


Options = tuple[tuple[int, bytes | Fill], ...]


class Persona(Struct, frozen=True, kw_only=True):
    """One firmware, as the wire sees it. Times are seconds after its first DISCOVER, or REQUEST to 4011."""

    name: str
    label: str
    family: Family
    arch: int  # option 93
    discover: Options
    boot_server: Options  # the REQUEST to 4011
    flags: int
    secs: int = 0
    boot_server_flags: int = 0
    boot_server_secs: int = 0
    boot_server_port: int = 68  # the source port of the REQUEST to 4011
    sends_at_s: tuple[float, ...]
    window_s: float  # how long it waits for offers before it looks at them
    boot_server_sends_at_s: tuple[float, ...]
    boot_server_gives_up_s: float
    tftp_blksize: int
    asks_autoexec: bool = False  # loads autoexec.ipxe from beside itself before its own DHCP (I9)
    is_recorded: bool = True

    @property
    def is_ipxe(self) -> bool:
        return self.family is Family.IPXE


def _class(client: str, arch: int, undi: str) -> bytes:
    return f"{client}:Arch:{arch:05d}:UNDI:{undi}".encode()


_PXE_PARAMETERS: Final = bytes.fromhex("0102030405060c0d0f111216171c28292a2b3233363a3b3c4243618081828384858687")
_HTTP_PARAMETERS: Final = bytes.fromhex("0102030405060c0d0f111216171c28292a2b3233363a3b3ceb4361")
_IPXE_2019_PARAMETERS: Final = bytes.fromhex("010306070c0f111a2b3c4243778081828384858687afcb")
_IPXE_2025_PARAMETERS: Final = bytes.fromhex("010306070c0f111a2a2b3c4243778081828384858687afcb")
_IPXE_ROM_FEATURES: Final = bytes.fromhex(
    "b105011af41000eb03010000170101220101130101110101270101190101290101100102210101150101180101120101"
)
_IPXE_EFI_FEATURES: Final = bytes.fromhex(
    "b105011af41000eb03010000260101170101270101240101130101140101110101290101150101120101"
)
_IPXE_ARM64_FEATURES: Final = bytes.fromhex(
    "b105011af41000eb030100002601011701012701012401011301011401011101012901011b0101150101120101"
)
_MAX_SIZE: Final = (57, b"\x05\xc0")


def edk2_pxe(arch: int) -> Persona:
    """edk2's own PXE stack (OVMF 2022.11 and 2025.02, AAVMF 2022.11)."""
    vendor = (60, _class("PXEClient", arch, "003000"))
    ndi = (94, b"\x01\x03\x00")
    return Persona(
        name=f"edk2-pxe-{arch}",
        label=f"{_label(arch)} PXE (edk2)",
        family=Family.EDK2_PXE,
        arch=arch,
        discover=(
            (53, b"\x01"),
            _MAX_SIZE,
            (55, _PXE_PARAMETERS),
            (97, Fill.UUID),
            ndi,
            (93, arch.to_bytes(2, "big")),
            vendor,
        ),
        boot_server=(
            (53, b"\x03"),
            (55, _PXE_PARAMETERS),
            _MAX_SIZE,
            vendor,
            (93, arch.to_bytes(2, "big")),
            ndi,
            (97, Fill.UUID),
        ),
        flags=0x8000,
        boot_server_port=4011,
        sends_at_s=(0.0, 4.0, 12.0, 28.0),
        window_s=4.0,
        boot_server_sends_at_s=(0.0, 1.0, 3.0, 6.0),
        boot_server_gives_up_s=10.0,
        tftp_blksize=1468,
        is_recorded=arch in (7, 11),
    )


def edk2_http(arch: int) -> Persona:
    """edk2's UEFI HTTP boot (OVMF 2022.11)."""
    return Persona(
        name=f"edk2-http-{arch}",
        label=f"{_label(arch)} boot (edk2)",
        family=Family.EDK2_HTTP,
        arch=arch,
        discover=(
            (53, b"\x01"),
            _MAX_SIZE,
            (55, _HTTP_PARAMETERS),
            (97, Fill.UUID),
            (94, b"\x01\x03\x00"),
            (93, arch.to_bytes(2, "big")),
            (60, _class("HTTPClient", arch, "003000")),
        ),
        boot_server=(),
        flags=0x8000,
        sends_at_s=(0.0, 4.0, 12.0, 28.0),
        window_s=4.0,
        boot_server_sends_at_s=(),
        boot_server_gives_up_s=0.0,
        tftp_blksize=0,
        is_recorded=arch == 16,
    )


def ipxe_rom() -> Persona:
    """The iPXE in a BIOS machine's network card (iPXE of 2019, QEMU's ROM)."""
    return _ipxe(
        "ipxe-rom",
        "BIOS, iPXE in the card's ROM",
        arch=0,
        vendor_class=_class("PXEClient", 0, "002001"),
        ndi=b"\x01\x02\x01",
        parameters=_IPXE_2019_PARAMETERS,
        features=_IPXE_ROM_FEATURES,
        flags=0,
    )


def ipxe_chained(arch: int, vendor_class: bytes = b"PXEClient") -> Persona:
    """An iPXE of 2025 that firmware loaded; after PXE it repeats option 60 of the proxy's answer."""
    is_bios = arch == 0
    features = {0: _IPXE_ROM_FEATURES, 11: _IPXE_ARM64_FEATURES}.get(arch, _IPXE_EFI_FEATURES)
    persona = _ipxe(
        f"ipxe-{arch}",
        f"{_label(arch)}, iPXE",
        arch=arch,
        vendor_class=vendor_class,
        ndi=b"\x01\x02\x01" if is_bios else b"\x01\x03\x0a",
        parameters=_IPXE_2025_PARAMETERS,
        features=features,
        flags=0x8000,
    )
    return structs.replace(persona, asks_autoexec=not is_bios, is_recorded=not is_bios)  # I10: not on BIOS


def _ipxe(
    name: str,
    label: str,
    *,
    arch: int,
    vendor_class: bytes,
    ndi: bytes,
    parameters: bytes,
    features: bytes,
    flags: int,
) -> Persona:
    options: Options = (
        (53, b"\x01"),
        _MAX_SIZE,
        (93, arch.to_bytes(2, "big")),
        (94, ndi),
        (60, vendor_class),
        (77, b"iPXE"),  # raw, without RFC 3004's length byte (I1)
        (55, parameters),
        (175, features),
        (61, Fill.CLIENT_ID),
        (97, Fill.UUID),
    )
    return Persona(
        name=name,
        label=label,
        family=Family.IPXE,
        arch=arch,
        discover=options,
        boot_server=((53, b"\x03"), *options[1:]),
        flags=flags,
        secs=4,
        boot_server_flags=0x8000,
        boot_server_secs=15,
        sends_at_s=(0.0, 1.0, 3.0),
        window_s=3.0,
        boot_server_sends_at_s=(0.0, 0.25, 0.8, 1.85),
        boot_server_gives_up_s=4.0,
        tftp_blksize=1432,
    )


def bios_rom() -> Persona:
    """A BIOS machine's PXE ROM that is no iPXE, after the PXE 2.1 text: none was recorded."""
    options: Options = (
        (53, b"\x01"),
        (55, _PXE_PARAMETERS),
        (57, b"\x04\xec"),
        (97, Fill.UUID),
        (93, b"\x00\x00"),
        (94, b"\x01\x02\x01"),
        (60, _class("PXEClient", 0, "002001")),
    )
    return Persona(
        name="bios-rom",
        label="BIOS PXE ROM",
        family=Family.PXE_ROM,
        arch=0,
        discover=options,
        boot_server=((53, b"\x03"), *options[1:]),
        flags=0x8000,
        secs=4,
        sends_at_s=(0.0, 4.0, 12.0, 28.0),
        window_s=4.0,
        boot_server_sends_at_s=(0.0, 1.0, 3.0, 6.0),
        boot_server_gives_up_s=10.0,
        tftp_blksize=1456,
        is_recorded=False,
    )


def _label(arch: int) -> str:
    return ARCHES[arch].label


_SHORT_NAMES: Final = {"bios": 0, "uefi": 7, "arm64": 11}
_OVER_HTTP: Final = {6: 15, 7: 16, 9: 16, 10: 18, 11: 19}
# The number iPXE sends is the machine's, however it was loaded.
_AS_IPXE: Final = {9: 7, 15: 6, 16: 7, 18: 10, 19: 11, 20: 0}


def pick(arch: str, *, http: bool = False, ipxe: bool = False) -> Persona:
    """The persona for what a person asked for; ConfigError where there is no such machine."""
    short = _SHORT_NAMES.get(arch.lower())
    row = Arch.parse(arch) if short is None else ARCHES[short]
    if (http or row.is_http) and not row.is_uefi:
        raise ConfigError(f"--arch {arch}: only UEFI firmware boots by HTTP; use --arch uefi or --arch arm64")
    if http and ipxe:
        raise ConfigError("--http and --ipxe: firmware boots by HTTP, iPXE asks as PXE does; give one of them")
    if ipxe:
        return ipxe_rom() if row.code == 0 else ipxe_chained(_AS_IPXE.get(row.code, row.code))
    if http or row.is_http:
        return edk2_http(_OVER_HTTP.get(row.code, row.code))
    return edk2_pxe(row.code) if row.is_uefi else bios_rom()


def after(persona: Persona, vendor_class: str) -> Persona:
    """The iPXE that this firmware's boot program would be, `vendor_class` = option 60 of the answer taken."""
    arch = _AS_IPXE.get(persona.arch, persona.arch)
    if persona.family is Family.EDK2_HTTP:
        return ipxe_chained(arch, _class("PXEClient", arch, "003010"))
    return ipxe_chained(arch, vendor_class.encode() or b"PXEClient")
