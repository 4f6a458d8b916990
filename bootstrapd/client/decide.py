"""What each firmware makes of the answers it got: values in, a step out; no clock, no I/O.

The rules are what OVMF 2022.11 and 2025.02 and iPXE of 2019 and 2025 did in 44 + 15 recorded variants
(FIRMWARE.md 4, whose row numbers stand in the comments); edk2's order of preference also stands in its
PxeBcDhcp4.c and HttpBootDhcp4.c, iPXE's in its dhcp.c.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct, structs

from bootstrapd.client import urls
from bootstrapd.client.answers import NO_ADDRESS, Answer
from bootstrapd.client.personas import Family, Options, Persona

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
MOST_OFFERS: Final = 16  # edk2 keeps no more
NEVER: Final = 60.0  # edk2 and iPXE alike have given up by then
_SAYS_NO_OFFER: Final = {
    Family.EDK2_PXE: "PXE-E16: No valid offer received.",
    Family.EDK2_HTTP: "no valid offer: after 60 s the next boot option",
    Family.IPXE: "No configuration methods succeeded",
    Family.PXE_ROM: "PXE-E51: No DHCP or proxyDHCP offers were received",
}
_SAYS_NO_BOOT_SERVER: Final = {
    Family.EDK2_PXE: "PXE-E16: No valid offer received.",
    Family.IPXE: "Nothing to boot",
    Family.PXE_ROM: "PXE-E55: proxyDHCP service did not reply to request on port 4011",
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


def after_offers(persona: Persona, answers: Sequence[Answer]) -> Step:
    """What this firmware does after its DISCOVERs, `answers` being all that came, in order of arrival."""
    offers = [answer for answer in answers if answer.message_type == OFFER and answer.target_port == 68]
    return _AFTER_OFFERS[persona.family](persona, offers)


def after_boot_server(persona: Persona, asked: AskBootServer, replies: Sequence[Answer]) -> Step:
    """What it does after its REQUESTs to `asked.server` on 4011; times count from the first of those."""
    taken = next((reply for reply in replies if _is_taken(persona, asked, reply)), None)
    if taken is not None:
        return _from_boot_server(persona, asked, taken)
    at_s = asked.at_s + persona.boot_server_gives_up_s
    if asked.others:
        return _ask(asked.others[0], at_s, asked.others[1:], f"{asked.server} did not answer on port 4011")
    if asked.fallback is not None:
        return structs.replace(asked.fallback, at_s=at_s)
    why = f"{asked.server} gave no answer on port 4011 that it takes"
    return GiveUp(_SAYS_NO_BOOT_SERVER[persona.family], at_s, why)


def _from_boot_server(persona: Persona, asked: AskBootServer, taken: Answer) -> TakeFile:
    at_s = asked.at_s + taken.at_s
    if persona.is_ipxe and asked.fallback is not None:
        return _ipxe_file([asked.fallback.answer, taken], at_s) or asked.fallback
    server = _server_of(taken)
    why = f"{taken.server} named it on port 4011"
    return TakeFile(asked.server if server == NO_ADDRESS else server, taken.boot_file, taken, at_s, why)


def boot_server_extra(persona: Persona, asked: AskBootServer) -> Options:
    """The options that this firmware adds to its REQUEST to 4011."""
    if asked.item:
        return ((43, bytes((BOOT_ITEM, len(asked.item))) + asked.item + b"\xff"),)
    server_id = asked.offer.option(54)
    return ((54, server_id),) if persona.is_ipxe and server_id else ()


def _is_taken(persona: Persona, asked: AskBootServer, reply: Answer) -> bool:
    """Rows 12, 13, 33: the port it must come to; for iPXE the port it must come from, and the menu's item."""
    if reply.target_port != persona.boot_server_port or reply.message_type not in (OFFER, ACK):
        return False
    if persona.is_ipxe:
        has_item = not asked.item or reply.vendor_tags.get(BOOT_ITEM, b"")[:2] == asked.item[:2]
        return reply.source_port == 4011 and _is_complete(reply) and has_item
    return bool(reply.boot_file)


def _is_pxe(answer: Answer) -> bool:
    return answer.vendor_class.startswith(PXE_CLIENT)


def _server_of(answer: Answer) -> str:
    """edk2: siaddr, else option 54; option 66 and sname are not looked at (rows 08, 10, 11, 31)."""
    return answer.next_server if answer.next_server != NO_ADDRESS else answer.server_id


def _ask(offer: Answer, at_s: float, others: tuple[Answer, ...], why: str) -> AskBootServer:
    return AskBootServer(_server_of(offer), offer, at_s, why, others=others)


def _edk2_pxe(persona: Persona, offers: Sequence[Answer]) -> Step:
    """At the end of each window, by kind of offer, not by arrival; nothing chosen = the next, longer window."""
    for end in (*persona.sends_at_s[1:], NEVER):
        heard = _identified(offers, end)
        if step := _edk2_choice(heard, end):
            return step
    why = _why_none(offers, "option 60 = PXEClient and option 54")
    return GiveUp(_SAYS_NO_OFFER[persona.family], NEVER, why)


def _identified(offers: Sequence[Answer], end: float) -> list[Answer]:
    """What came before `end` and says who sent it (row 19, h12)."""
    return [offer for offer in offers if offer.at_s < end and offer.server_id != NO_ADDRESS][:MOST_OFFERS]


def _edk2_choice(offers: Sequence[Answer], at_s: float) -> Step | None:
    dhcp = [offer for offer in offers if offer.gives_address]
    proxy = [offer for offer in offers if not offer.gives_address and _is_pxe(offer)]
    plain = [offer for offer in dhcp if not _is_pxe(offer)]
    if complete := [offer for offer in dhcp if _is_pxe(offer) and _has_discovery(offer)]:
        return _edk2_with_discovery(complete[0], at_s)
    if plain and (described := [offer for offer in proxy if _has_discovery(offer)]):
        return _edk2_with_discovery(described[0], at_s)
    if asking := [offer for offer in dhcp if _is_pxe(offer)]:
        why = f"the DHCP server {asking[0].server} says PXEClient (option 60) without option 43"
        return _ask(asking[0], at_s, (), why)
    if plain and proxy:
        why = f"{proxy[0].server} says PXEClient (option 60) without option 43.8"
        return _ask(proxy[0], at_s, tuple(proxy[1:]), why)
    named = next((offer for offer in plain if offer.boot_file), None)
    if named is None:
        return None
    return TakeFile(_server_of(named), named.boot_file, named, at_s, "only the DHCP server named a file")


def _has_discovery(offer: Answer) -> bool:
    return bool(DISCOVERY_TAGS & offer.vendor_tags.keys())


def _edk2_with_discovery(offer: Answer, at_s: float) -> Step:
    """Option 43 with PXE tags: its file with bit 3 of tag 6 (01), its menu's server without (34)."""
    tags = offer.vendor_tags
    control = int.from_bytes(tags.get(DISCOVERY_CONTROL, b""), "big")
    if control & USE_THIS_FILE and offer.boot_file:
        why = f"{offer.server} says: take this file (option 43.6 = 8)"
        return TakeFile(_server_of(offer), offer.boot_file, offer, at_s, why)
    if control & USE_THIS_FILE:
        error = "PXE-E99: Unexpected network error." if BOOT_MENU in tags else "PXE-E21: Remote boot cancelled."
        return GiveUp(error, at_s, f"{offer.server} says: take this file (option 43.6 = 8), and names none")
    return _ask_from_menu(offer, at_s)


def _ask_from_menu(offer: Answer, at_s: float) -> AskBootServer:
    """The first entry of the menu, at the first server of the list for it (PXE 2.1 2.2.3)."""
    item = offer.vendor_tags.get(BOOT_MENU, b"")[:2]
    server = _listed_server(offer.vendor_tags.get(BOOT_SERVERS, b""), item) or _server_of(offer)
    why = f"{offer.server} sent a boot menu (option 43.9)"
    return AskBootServer(server, offer, at_s, why, item=item + b"\0\0" if item else b"")


def _listed_server(servers: bytes, item: bytes) -> str:
    while len(servers) >= 3:
        kind, count = servers[:2], servers[2]
        if kind == item and count and len(servers) >= 7:
            return ".".join(map(str, servers[3:7]))
        servers = servers[3 + 4 * count :]
    return ""


def _ipxe(persona: Persona, offers: Sequence[Answer]) -> Step:
    """It goes on as soon as it has an address and a proxy's answer, or an address and 3 s (I4)."""
    dhcp: Answer | None = None
    proxy: Answer | None = None
    decided_s = NEVER
    for offer in offers:
        if dhcp and offer.at_s > persona.window_s:
            break
        if offer.gives_address and _priority(offer) >= _priority(dhcp):
            dhcp = offer
        if _is_pxe(offer) and _priority(offer) >= _priority(proxy):
            proxy = offer
        if dhcp and (proxy or dhcp.etherboot_tags.get(176) == b"\x01"):
            decided_s = offer.at_s
            break
    if dhcp is None:
        return GiveUp(_SAYS_NO_OFFER[persona.family], NEVER, _why_none(offers, "an address (yiaddr)"))
    decided_s = min(decided_s, max(persona.window_s, dhcp.at_s))
    return _ipxe_choice(dhcp, proxy, decided_s, offers)


def _ipxe_choice(dhcp: Answer, proxy: Answer | None, at_s: float, offers: Sequence[Answer]) -> Step:
    if proxy is None:
        return _ipxe_file([dhcp], at_s) or GiveUp(
            "Nothing to boot", at_s, _why_none(offers, "option 60 = PXEClient")
        )
    if not _is_complete(proxy) and proxy.server_id != NO_ADDRESS:
        why = f"{proxy.server} says PXEClient without both a next server (siaddr) and a file name"
        return AskBootServer(proxy.server_id, proxy, at_s, why, fallback=_ipxe_file([dhcp], at_s))
    if _shows_menu(proxy):
        return _ask_from_menu(proxy, at_s)
    named = _ipxe_file([dhcp, proxy], at_s)
    return named or GiveUp("Nothing to boot", at_s, "a file is named without a next server (siaddr)")


def _shows_menu(proxy: Answer) -> bool:
    tags = proxy.vendor_tags
    control = int.from_bytes(tags.get(DISCOVERY_CONTROL, b""), "big")
    return BOOT_MENU in tags and not (control & USE_THIS_FILE and proxy.boot_file)


def _ipxe_file(settings: Sequence[Answer], at_s: float) -> TakeFile | None:
    """The first that names a file, by priority (175.1), the DHCP server's before the proxy's (28, I6)."""
    ranked = sorted(settings, key=_priority, reverse=True)
    named = next((answer for answer in ranked if answer.boot_file), None)
    if named is None or (named.next_server == NO_ADDRESS and not urls.split(named.boot_file).scheme):
        return None
    why = "only this answer names a file"
    if len({answer.server for answer in settings if answer.boot_file}) > 1:
        why = f"its priority (option 175.1 = {_priority(named)}) is the higher one, or it gives the address"
    return TakeFile(named.next_server, named.boot_file, named, at_s, why)


def _priority(answer: Answer | None) -> int:
    return int.from_bytes(answer.etherboot_tags.get(1, b""), "big", signed=True) if answer else 0


def _is_complete(answer: Answer) -> bool:
    """iPXE's dhcp_has_pxeopts: siaddr and a file name, or a menu; nothing stands in for siaddr (08, 10, 11)."""
    return (answer.next_server != NO_ADDRESS and bool(answer.boot_file)) or BOOT_MENU in answer.vendor_tags


def _edk2_http(persona: Persona, offers: Sequence[Answer]) -> Step:
    for end in (*persona.sends_at_s[1:], NEVER):
        heard = _identified(offers, end)
        if taken := _http_choice(heard):
            why = f"{taken.server} says HTTPClient (option 60) and names a URL"
            return TakeFile(urls.host(taken.boot_file), taken.boot_file, taken, end, why)
    why = _why_none(offers, "option 60 = HTTPClient, option 54 and a URL")
    return GiveUp(_SAYS_NO_OFFER[persona.family], NEVER, why)


def _http_choice(offers: Sequence[Answer]) -> Answer | None:
    """A DHCP server's own URL, else a proxy's beside any address; a host name needs a DNS server (H3, H4)."""
    dhcp = [offer for offer in offers if offer.gives_address]
    with_url = [offer for offer in offers if _is_http(offer)]
    has_dns = any(offer.option(6) for offer in dhcp)
    usable = [offer for offer in with_url if has_dns or urls.has_address(offer.boot_file)]
    ranked = sorted(usable, key=lambda offer: (not offer.gives_address, not urls.has_address(offer.boot_file)))
    return ranked[0] if ranked and dhcp else None


def _is_http(offer: Answer) -> bool:
    return offer.vendor_class.startswith(HTTP_CLIENT) and urls.is_http(offer.boot_file)


def _why_none(offers: Sequence[Answer], wanted: str) -> str:
    if not offers:
        return "nobody answered"
    servers = ", ".join(sorted({offer.server for offer in offers}))
    return f"no answer in time has what it needs ({wanted}); heard from {servers}"


_AFTER_OFFERS: Final[dict[Family, Callable[[Persona, Sequence[Answer]], Step]]] = {
    Family.EDK2_PXE: _edk2_pxe,
    Family.EDK2_HTTP: _edk2_http,
    Family.IPXE: _ipxe,
    Family.PXE_ROM: _edk2_pxe,  # PXE 2.1's chart is the one edk2 follows
}
