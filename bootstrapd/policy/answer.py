"""What the DHCP and 4011 doors say for a decision, in the dialect of who asks.

The options follow what real firmware accepted in 44 variants (FIRMWARE.md 4, "Default answers"). The files that
TFTP and HTTP hand out for the same decisions are `policy.routes`'s.
"""

from __future__ import annotations

from typing import Final, assert_never

from msgspec import Struct

from bootstrapd.model import Ask, Chain, DhcpReply, Door, LocalDisk, Nothing, Script, Silence, Stage
from bootstrapd.policy.boot import AnyDecision, Setup, is_good_enough

PXE_CLIENT: Final = b"PXEClient"
HTTP_CLIENT: Final = b"HTTPClient"
VENDOR_CLASS: Final = 60
VENDOR_OPTIONS: Final = 43
ETHERBOOT: Final = 175
# PXE 2.1 tag 6 (discovery control) bit 3: take the file name of this offer, no boot server discovery (P1).
USE_THIS_OFFER: Final = (VENDOR_OPTIONS, b"\x06\x01\x08\xff")
# ipxe dhcp.h, sub-option 1 (priority) = 1: outranks a file name of the site's DHCP server (I6).
PRIORITY_1: Final = (ETHERBOOT, b"\x01\x01\x01")


class Dialect(Struct, frozen=True):
    """How one kind of asker is spoken to: the vendor class it insists on, and what goes beside it."""

    name: str
    vendor_class: bytes
    options: tuple[tuple[int, bytes], ...]
    wants_url: bool
    rules: str


# UEFI PXE gets no option 43: older edk2 discards offers with discovery tags; without, it asks 4011 (P2, P3).
BIOS_ROM: Final = Dialect("BIOS PXE ROM", PXE_CLIENT, (USE_THIS_OFFER,), False, "P1")
UEFI_PXE: Final = Dialect("UEFI PXE", PXE_CLIENT, (), False, "P2 P3")
UEFI_HTTP: Final = Dialect("UEFI HTTP boot", HTTP_CLIENT, (), True, "H1 H3")
IPXE_BIOS: Final = Dialect("iPXE on BIOS", PXE_CLIENT, (USE_THIS_OFFER, PRIORITY_1), True, "I6 P20")
IPXE_UEFI: Final = Dialect("iPXE on UEFI", PXE_CLIENT, (PRIORITY_1,), True, "I6")


def dialect(ask: Ask) -> Dialect:
    """The dialect of the asker, from its stage and architecture."""
    is_uefi = ask.arch is not None and ask.arch.is_uefi
    if ask.stage is Stage.IPXE and is_good_enough(ask.features):
        return IPXE_UEFI if is_uefi else IPXE_BIOS
    if ask.arch is not None and ask.arch.is_http:
        return UEFI_HTTP
    return UEFI_PXE if is_uefi else BIOS_ROM


OFFER: Final = 2
ACK: Final = 5


def base_url(server: str, port: int) -> str:
    """`http://10.0.0.2`, with the port where it is not 80. IP literals only (I17, H3, H4)."""
    return f"http://{server}" if port == 80 else f"http://{server}:{port}"


def reply(decision: AnyDecision, ask: Ask, setup: Setup) -> DhcpReply | Nothing:
    """What the DHCP and 4011 doors send for a decision (the table "decision x door" of DESIGN.md)."""
    match decision:
        case Silence():
            return Nothing(decision.reason)
        case LocalDisk(method="cancel") if ask.stage is Stage.FIRMWARE:
            return _cancel(ask)
        case Chain() | Script() | LocalDisk():
            return _boot_file(decision, ask, setup)
        case _:
            assert_never(decision)


def _boot_file(decision: Chain | Script | LocalDisk, ask: Ask, setup: Setup) -> DhcpReply | Nothing:
    speak = dialect(ask)
    base = base_url(ask.server, setup.http_port)
    if isinstance(decision, Script) or (isinstance(decision, LocalDisk) and speak in (IPXE_BIOS, IPXE_UEFI)):
        file = f"{base}/boot.ipxe"
    elif not decision.program:
        return Nothing(f"no network boot program for {ask.arch or 'an unknown architecture'} on this appliance")
    else:
        path = f"nbp/{ask.mac.hexhyp}/{decision.program}"
        file = f"{base}/{path}" if speak.wants_url else path
    return DhcpReply(
        message_type=ACK if ask.door is Door.PXE else OFFER,
        next_server=ask.server,
        file=file,
        options=((VENDOR_CLASS, speak.vendor_class), *speak.options),
    )


def _cancel(ask: Ask) -> DhcpReply | Nothing:
    """No file name, and no boot server to ask: PXE-E21, the next boot option follows (FIRMWARE 4, row 05)."""
    if ask.door is Door.PXE or (ask.arch is not None and ask.arch.is_http):
        return Nothing("local_boot = cancel: only a PXE offer can cancel a boot")
    return DhcpReply(
        message_type=OFFER,
        next_server=ask.server,
        file="",
        options=((VENDOR_CLASS, PXE_CLIENT), USE_THIS_OFFER),
    )
