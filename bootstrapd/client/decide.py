"""What each firmware makes of the answers it got: values in, a step out; no clock, no I/O.

The rules are what real firmware did in 44 + 15 recorded variants (FIRMWARE.md 4, whose row numbers stand in the
comments): `edk2` and `ipxe` choose among the offers, port 4011 is here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import structs

from bootstrapd.client import edk2, ipxe
from bootstrapd.client.answers import NO_ADDRESS, Answer
from bootstrapd.client.personas import Family, Options, Persona
from bootstrapd.client.steps import ACK, BOOT_ITEM, OFFER, AskBootServer, GiveUp, Step, TakeFile, ask, server_of

_SAYS_NO_BOOT_SERVER: Final = {
    Family.EDK2_PXE: "PXE-E16: No valid offer received.",
    Family.IPXE: "Nothing to boot",
    Family.PXE_ROM: "PXE-E55: proxyDHCP service did not reply to request on port 4011",
}


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
        return ask(asked.others[0], at_s, asked.others[1:], f"{asked.server} did not answer on port 4011")
    if asked.fallback is not None:
        return structs.replace(asked.fallback, at_s=at_s)
    why = f"{asked.server} gave no answer on port 4011 that it takes"
    return GiveUp(_SAYS_NO_BOOT_SERVER[persona.family], at_s, why)


def _from_boot_server(persona: Persona, asked: AskBootServer, taken: Answer) -> TakeFile:
    at_s = asked.at_s + taken.at_s
    if persona.is_ipxe and asked.fallback is not None:
        return ipxe.file_of([asked.fallback.answer, taken], at_s) or asked.fallback
    server = server_of(taken)
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
        return reply.source_port == 4011 and ipxe.is_complete(reply) and has_item
    return bool(reply.boot_file)


_AFTER_OFFERS: Final[dict[Family, Callable[[Persona, Sequence[Answer]], Step]]] = {
    Family.EDK2_PXE: edk2.choose_pxe,
    Family.EDK2_HTTP: edk2.choose_http,
    Family.IPXE: ipxe.choose,
    Family.PXE_ROM: edk2.choose_pxe,  # PXE 2.1's chart is the one edk2 follows
}
