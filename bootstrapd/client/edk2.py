"""edk2's choice among the offers, for PXE and for HTTP boot, and that of PXE ROMs, which follow the same chart.

What OVMF 2022.11 and 2025.02 did in the recorded variants (FIRMWARE.md 4, whose row numbers stand in the
comments); the order of preference also stands in its PxeBcDhcp4.c and HttpBootDhcp4.c.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bootstrapd.client import urls
from bootstrapd.client.answers import NO_ADDRESS, Answer
from bootstrapd.client.personas import Persona
from bootstrapd.client.steps import (
    BOOT_MENU,
    DISCOVERY_CONTROL,
    DISCOVERY_TAGS,
    HTTP_CLIENT,
    NEVER,
    USE_THIS_FILE,
    GiveUp,
    Step,
    TakeFile,
    ask,
    ask_from_menu,
    is_pxe,
    no_offer,
    server_of,
)

MOST_OFFERS: Final = 16  # edk2 keeps no more


def choose_pxe(persona: Persona, offers: Sequence[Answer]) -> Step:
    """At the end of each window, by kind of offer, not by arrival; nothing chosen = the next, longer window."""
    for end in (*persona.sends_at_s[1:], NEVER):
        heard = _identified(offers, end)
        if step := _pxe_choice(heard, end):
            return step
    return no_offer(persona.family, offers, "option 60 = PXEClient and option 54")


def _pxe_choice(offers: Sequence[Answer], at_s: float) -> Step | None:
    dhcp = [offer for offer in offers if offer.gives_address]
    proxy = [offer for offer in offers if not offer.gives_address and is_pxe(offer)]
    plain = [offer for offer in dhcp if not is_pxe(offer)]
    if complete := [offer for offer in dhcp if is_pxe(offer) and _has_discovery(offer)]:
        return _with_discovery(complete[0], at_s)
    if plain and (described := [offer for offer in proxy if _has_discovery(offer)]):
        return _with_discovery(described[0], at_s)
    if asking := [offer for offer in dhcp if is_pxe(offer)]:
        why = f"the DHCP server {asking[0].server} says PXEClient (option 60) without option 43"
        return ask(asking[0], at_s, (), why)
    if plain and proxy:
        why = f"{proxy[0].server} says PXEClient (option 60) without option 43.8"
        return ask(proxy[0], at_s, tuple(proxy[1:]), why)
    named = next((offer for offer in plain if offer.boot_file), None)
    if named is None:
        return None
    return TakeFile(server_of(named), named.boot_file, named, at_s, "only the DHCP server named a file")


def _has_discovery(offer: Answer) -> bool:
    return bool(DISCOVERY_TAGS & offer.vendor_tags.keys())


def _with_discovery(offer: Answer, at_s: float) -> Step:
    """Option 43 with PXE tags: its file with bit 3 of tag 6 (01), its menu's server without (34)."""
    tags = offer.vendor_tags
    control = int.from_bytes(tags.get(DISCOVERY_CONTROL, b""), "big")
    if control & USE_THIS_FILE and offer.boot_file:
        why = f"{offer.server} says: take this file (option 43.6 = 8)"
        return TakeFile(server_of(offer), offer.boot_file, offer, at_s, why)
    if control & USE_THIS_FILE:
        error = "PXE-E99: Unexpected network error." if BOOT_MENU in tags else "PXE-E21: Remote boot cancelled."
        return GiveUp(error, at_s, f"{offer.server} says: take this file (option 43.6 = 8), and names none")
    return ask_from_menu(offer, at_s)


def choose_http(persona: Persona, offers: Sequence[Answer]) -> Step:
    """The same windows, and only what names a URL counts."""
    for end in (*persona.sends_at_s[1:], NEVER):
        heard = _identified(offers, end)
        if taken := _http_choice(heard):
            why = f"{taken.server} says HTTPClient (option 60) and names a URL"
            return TakeFile(urls.host(taken.boot_file), taken.boot_file, taken, end, why)
    return no_offer(persona.family, offers, "option 60 = HTTPClient, option 54 and a URL")


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


def _identified(offers: Sequence[Answer], end: float) -> list[Answer]:
    """What came before `end` and says who sent it (row 19, h12)."""
    return [offer for offer in offers if offer.at_s < end and offer.server_id != NO_ADDRESS][:MOST_OFFERS]
