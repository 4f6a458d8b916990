"""What a firmware can do next, and what the families of firmware read alike in the answers they got.

The numbers in the comments are rows of FIRMWARE.md 4; PXE 2.1's tags of option 43 are told here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from bootstrapd.client.answers import NO_ADDRESS, Answer
from bootstrapd.client.personas import Family

OFFER: Final = 2
ACK: Final = 5
PXE_CLIENT: Final = "PXEClient"
HTTP_CLIENT: Final = "HTTPClient"
# PXE 2.1 tags of option 43
DISCOVERY_CONTROL: Final = 6
BOOT_SERVERS: Final = 8
BOOT_MENU: Final = 9
BOOT_ITEM: Final = 71
DISCOVERY_TAGS: Final = frozenset(range(6, 11))
USE_THIS_FILE: Final = 8  # bit 3 of tag 6
NEVER: Final = 60.0  # edk2 and iPXE alike have given up by then
_SAYS_NO_OFFER: Final = {
    Family.EDK2_PXE: "PXE-E16: No valid offer received.",
    Family.EDK2_HTTP: "no valid offer: after 60 s the next boot option",
    Family.IPXE: "No configuration methods succeeded",
    Family.PXE_ROM: "PXE-E51: No DHCP or proxyDHCP offers were received",
}


class TakeFile(Struct, frozen=True):
    """It loads this file: a TFTP name at `server`, or a URL. `answer` is where the name came from."""

    server: str
    file: str
    answer: Answer
    at_s: float
    why: str


class AskBootServer(Struct, frozen=True):
    """It asks `server` on 4011 because of `offer`; `others` come next when that one is silent."""

    server: str
    offer: Answer
    at_s: float
    why: str
    item: bytes = b""  # the menu entry asked for: option 43.71
    others: tuple[Answer, ...] = ()
    fallback: TakeFile | None = None  # what it has if nobody answers


class GiveUp(Struct, frozen=True):
    """Nothing to boot; `error` is what the machine's screen says, `at_s` when."""

    error: str
    at_s: float
    why: str


Step = TakeFile | AskBootServer | GiveUp


def is_pxe(answer: Answer) -> bool:
    """It claims to be for PXE (option 60), with an address or without."""
    return answer.vendor_class.startswith(PXE_CLIENT)


def server_of(answer: Answer) -> str:
    """edk2: siaddr, else option 54; option 66 and sname are not looked at (rows 08, 10, 11, 31)."""
    return answer.next_server if answer.next_server != NO_ADDRESS else answer.server_id


def ask(offer: Answer, at_s: float, others: tuple[Answer, ...], why: str) -> AskBootServer:
    """Ask who sent the offer, on 4011."""
    return AskBootServer(server_of(offer), offer, at_s, why, others=others)


def ask_from_menu(offer: Answer, at_s: float) -> AskBootServer:
    """The first entry of the menu, at the first server of the list for it (PXE 2.1 2.2.3)."""
    item = offer.vendor_tags.get(BOOT_MENU, b"")[:2]
    server = _listed_server(offer.vendor_tags.get(BOOT_SERVERS, b""), item) or server_of(offer)
    why = f"{offer.server} sent a boot menu (option 43.9)"
    return AskBootServer(server, offer, at_s, why, item=item + b"\0\0" if item else b"")


def _listed_server(servers: bytes, item: bytes) -> str:
    while len(servers) >= 3:
        kind, count = servers[:2], servers[2]
        if kind == item and count and len(servers) >= 7:
            return ".".join(map(str, servers[3:7]))
        servers = servers[3 + 4 * count :]
    return ""


def no_offer(family: Family, offers: Sequence[Answer], wanted: str) -> GiveUp:
    """Nothing of what was heard will do; `wanted` is what an offer must have for this firmware."""
    return GiveUp(_SAYS_NO_OFFER[family], NEVER, why_none(offers, wanted))


def why_none(offers: Sequence[Answer], wanted: str) -> str:
    """Who was heard, and what all of them lacked."""
    if not offers:
        return "nobody answered"
    servers = ", ".join(sorted({offer.server for offer in offers}))
    return f"no answer in time has what it needs ({wanted}); heard from {servers}"
