"""iPXE's choice among the offers, by priority, and its way of putting two answers together.

What iPXE of 2019 and 2025 did in the recorded variants (FIRMWARE.md 4: the row numbers stand in the comments);
its order also stands in its dhcp.c.
"""

from __future__ import annotations

from collections.abc import Sequence

from bootstrapd.client import urls
from bootstrapd.client.answers import NO_ADDRESS, Answer
from bootstrapd.client.personas import Persona
from bootstrapd.client.steps import (
    BOOT_MENU,
    DISCOVERY_CONTROL,
    NEVER,
    USE_THIS_FILE,
    AskBootServer,
    GiveUp,
    Step,
    TakeFile,
    ask_from_menu,
    is_pxe,
    no_offer,
    why_none,
)


def choose(persona: Persona, offers: Sequence[Answer]) -> Step:
    """It goes on as soon as it has an address and a proxy's answer, or an address and 3 s (I4)."""
    dhcp: Answer | None = None
    proxy: Answer | None = None
    decided_s = NEVER
    for offer in offers:
        if dhcp and offer.at_s > persona.window_s:
            break
        if offer.gives_address and _priority(offer) >= _priority(dhcp):
            dhcp = offer
        if is_pxe(offer) and _priority(offer) >= _priority(proxy):
            proxy = offer
        if dhcp and (proxy or dhcp.etherboot_tags.get(176) == b"\x01"):
            decided_s = offer.at_s
            break
    if dhcp is None:
        return no_offer(persona.family, offers, "an address (yiaddr)")
    decided_s = min(decided_s, max(persona.window_s, dhcp.at_s))
    return _choice(dhcp, proxy, decided_s, offers)


def _choice(dhcp: Answer, proxy: Answer | None, at_s: float, offers: Sequence[Answer]) -> Step:
    if proxy is None:
        return file_of([dhcp], at_s) or GiveUp(
            "Nothing to boot", at_s, why_none(offers, "option 60 = PXEClient")
        )
    if not is_complete(proxy) and proxy.server_id != NO_ADDRESS:
        why = f"{proxy.server} says PXEClient without both a next server (siaddr) and a file name"
        return AskBootServer(proxy.server_id, proxy, at_s, why, fallback=file_of([dhcp], at_s))
    if _shows_menu(proxy):
        return ask_from_menu(proxy, at_s)
    named = file_of([dhcp, proxy], at_s)
    return named or GiveUp("Nothing to boot", at_s, "a file is named without a next server (siaddr)")


def _shows_menu(proxy: Answer) -> bool:
    tags = proxy.vendor_tags
    control = int.from_bytes(tags.get(DISCOVERY_CONTROL, b""), "big")
    return BOOT_MENU in tags and not (control & USE_THIS_FILE and proxy.boot_file)


def file_of(settings: Sequence[Answer], at_s: float) -> TakeFile | None:
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


def is_complete(answer: Answer) -> bool:
    """iPXE's dhcp_has_pxeopts: siaddr and a file name, or a menu; nothing stands in for siaddr (08, 10, 11)."""
    return (answer.next_server != NO_ADDRESS and bool(answer.boot_file)) or BOOT_MENU in answer.vendor_tags
