"""What another server's answer to one of our machines means, in words a person can act on (FIRMWARE.md 4)."""

from __future__ import annotations

from msgspec import Struct

from bootstrapd.model import Mac


class Heard(Struct, frozen=True, kw_only=True):
    """An OFFER or ACK that another server sent to a machine."""

    mac: Mac
    server: str
    gives_address: bool  # yiaddr is set: the site's DHCP server; else a proxy
    vendor_class: str  # option 60 of the answer
    file: str  # header or option 67


class Notice(Struct, frozen=True):
    """A word for programs and a sentence for a person."""

    code: str
    reason: str


def judge_choice(host: str, server: str) -> Notice:
    """A machine's iPXE had our offer, took this server's address and never came for its script.

    iPXE in a ROM is answered alone, so what that server sends is not overheard; this is what remains (row 29).
    """
    return Notice(
        "SITE_FILENAME_WINS",
        f"{host} took its address from the DHCP server at {server} and never asked for its script here: that "
        "server probably sends a boot file with option 60 'PXEClient', which outranks ours; remove option 60 "
        "there (its file name, option 67, then does no harm)",
    )


def judge(heard: Heard) -> Notice | None:
    """What a person must know about this answer; None for an ordinary DHCP server's.

    A file name alone is harmless: UEFI takes the proxy's, iPXE ours by its priority (I6). With option 60 beside
    it the machine asks that server on 4011 and never us (FIRMWARE 4, rows 29 and 32; P9).
    """
    says_pxe = heard.vendor_class.startswith("PXEClient")
    named = f" (file name {heard.file!r})" if heard.file else ""
    if not heard.gives_address and says_pxe:
        return Notice(
            "FOREIGN_PXE_SERVER",
            f"another PXE server at {heard.server} answers {heard.mac} too{named}: the first answer wins, so "
            "stop it or exclude this machine there",
        )
    if heard.gives_address and says_pxe:
        return Notice(
            "SITE_FILENAME_WINS",
            f"the DHCP server at {heard.server} sends option 60 'PXEClient'{named}, so {heard.mac} boots from "
            "it and not from here: remove option 60 there (its file name, option 67, then does no harm)",
        )
    return None
