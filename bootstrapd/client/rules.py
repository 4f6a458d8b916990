"""What is wrong with the answers a machine got: one row a wire rule (PROTOCOL.md), values in, findings out.

Owns the checks on single answers. Who else is on the wire, and who wins, is `surroundings`'s; what a firmware
accepts is `decide`'s: a row here may well be about other firmware than the one that got the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Final

from msgspec import Struct

from bootstrapd.client import urls
from bootstrapd.client.answers import BROADCAST, NO_ADDRESS, Answer
from bootstrapd.client.personas import Family, Persona
from bootstrapd.client.steps import (
    ACK,
    BOOT_MENU,
    DISCOVERY_CONTROL,
    DISCOVERY_TAGS,
    HTTP_CLIENT,
    PXE_CLIENT,
    AskBootServer,
    Step,
)
from bootstrapd.model import Mac

LEASE_OPTIONS: Final = (1, 3, 6, 51, 58, 59)
SMALLEST_SIZE: Final = 300
NO_UUID: Final = bytes(17)  # option 97 as we send it: type 0, no identity
LARGEST_SIZE: Final = 1472  # option 57 as every recorded firmware sends it


class Severity(StrEnum):
    WRONG = "wrong"  # this machine does not boot by it
    RISK = "risk"  # other machines, or on another day
    NOTE = "note"


class Finding(Struct, frozen=True):
    """One rule that one server's answer breaks, or one fact a person should know."""

    rule: str  # PROTOCOL.md's id, or a code such as FOREIGN_PXE_SERVER
    severity: Severity
    server: str
    sentence: str


class Talk(Struct, frozen=True, kw_only=True):
    """A DHCP conversation as one machine had it, and what it made of it."""

    persona: Persona
    mac: Mac
    offers: tuple[Answer, ...]
    asked: tuple[AskBootServer, ...] = ()
    replies: tuple[Answer, ...] = ()  # from port 4011; `at_s` counts from the first REQUEST there
    step: Step


UEFI_AND_ROM: Final = frozenset({Family.EDK2_PXE, Family.EDK2_HTTP, Family.PXE_ROM})
UEFI_PXE: Final = frozenset({Family.EDK2_PXE})
HTTP: Final = frozenset({Family.EDK2_HTTP})
IPXE: Final = frozenset({Family.IPXE})
PXE: Final = frozenset({Family.EDK2_PXE, Family.PXE_ROM, Family.IPXE})
EVERYONE: Final = PXE | HTTP
NOBODY: Final[frozenset[Family]] = frozenset()


class Row(Struct, frozen=True):
    """One rule. `sentence` is filled from the answer `a` and the talk `t`; `is_broken` looks at the same two.

    `concerns` are the firmwares whose conversations it is looked for in, `breaks` those that do not boot by it.
    """

    rule: str
    sentence: str
    is_broken: Callable[[Talk, Answer], bool]
    breaks: frozenset[Family] = NOBODY
    concerns: frozenset[Family] = EVERYONE
    is_note: bool = False


def findings(talk: Talk) -> list[Finding]:
    """Every rule that an answer of this conversation breaks, in the order of the tables."""
    boot_offers = [offer for offer in talk.offers if is_boot_answer(offer)]
    tried = (
        *((row, answer) for row in EVERY_ANSWER for answer in (*boot_offers, *talk.replies)),
        *((row, answer) for row in BOOT_OFFERS for answer in boot_offers),
        *((row, answer) for row in BOOT_SERVER_REPLIES for answer in talk.replies),
    )
    return list(_broken(talk, tried))


def _broken(talk: Talk, tried: Iterable[tuple[Row, Answer]]) -> Iterable[Finding]:
    for row, answer in tried:
        if talk.persona.family in row.concerns and row.is_broken(talk, answer):
            severity = Severity.WRONG if talk.persona.family in row.breaks else Severity.RISK
            sentence = row.sentence.format(a=answer, t=talk)
            yield Finding(row.rule, Severity.NOTE if row.is_note else severity, answer.server, sentence)


def is_boot_answer(answer: Answer) -> bool:
    """Whether it says anything about booting: a proxy's offer, or a DHCP server's with a class or a file."""
    return is_proxy(answer) or bool(answer.boot_file) or boot_class(answer) != ""


def is_proxy(answer: Answer) -> bool:
    return not answer.gives_address


def boot_class(answer: Answer) -> str:
    """ "PXEClient", "HTTPClient" or "": what option 60 says, without its tail."""
    return next((name for name in (PXE_CLIENT, HTTP_CLIENT) if answer.vendor_class.startswith(name)), "")


def _names_url(answer: Answer) -> bool:
    return urls.is_http(answer.boot_file)


def _has_discovery(answer: Answer) -> bool:
    return bool(DISCOVERY_TAGS & answer.vendor_tags.keys())


EVERY_ANSWER: Final = (
    Row("D1", "its options cannot be read to the end: {a.broken}", lambda _, a: bool(a.broken)),
    Row(
        "D5",
        f"it is {{a.size}} bytes long; some clients and relays want at least {SMALLEST_SIZE}",
        lambda _, a: a.size < SMALLEST_SIZE,
    ),
    Row("D5", f"it is {{a.size}} bytes long; {LARGEST_SIZE} was the limit", lambda _, a: a.size > LARGEST_SIZE),
    Row(
        "D8",
        "it uses option 52 (overload): older UEFI reads the options in `file` as a name",
        lambda _, a: a.option(52) is not None,
    ),
    Row("D10", "it has pad bytes between its options: some firmware stops there", lambda _, a: a.pads > 0),
    Row(
        "D11",
        "option 53 (message type) is not its first option",
        lambda _, a: [code for code, _ in a.options[:1]] != [53],
        is_note=True,
    ),
    Row(
        "D7",
        "option 67 does not end in a zero byte: some BIOS ROMs read on into the next option",
        lambda t, a: t.persona.arch == 0 and not (a.option(67) or b"\0").endswith(b"\0"),
    ),
    Row(
        "P14",
        "it answers with another option 97 (UUID) than it was asked with",
        lambda _, a: (a.option(97) or NO_UUID) != NO_UUID,
    ),
)
BOOT_OFFERS: Final = (
    Row(
        "D4",
        "no option 54 (server identifier): UEFI firmware ignores the offer",
        lambda _, a: not a.option(54),
        breaks=UEFI_AND_ROM,
    ),
    Row(
        "D4",
        "it gives no address, yet sends options of a lease (mask, router, DNS, times)",
        lambda _, a: is_proxy(a) and any(a.option(code) is not None for code in LEASE_OPTIONS),
    ),
    Row(
        "D4",
        "its flags are {a.flags:#06x}, the machine sent {t.persona.flags:#06x}",
        lambda t, a: a.flags != t.persona.flags,
        is_note=True,
    ),
    Row(
        "D6",
        "the file name is only in option 67: U-Boot reads only the header's field",
        lambda _, a: bool(a.option(67)) and not a.header_file and len(a.boot_file) < 128,
        concerns=PXE,
    ),
    Row(
        "D18",
        "sent to {a.target}: a machine without an address hears broadcasts only",
        lambda _, a: is_proxy(a) and a.target != BROADCAST,
    ),
    Row("D20", "sent from port {a.source_port}, not 67", lambda _, a: a.source_port != 67),
    Row(
        "P1",
        "no option 43 = 06 01 08 ff: a BIOS ROM asks port 4011 before it takes the file",
        lambda t, a: t.persona.arch == 0 and is_proxy(a) and a.vendor_tags.get(DISCOVERY_CONTROL) != b"\x08",
        concerns=PXE,
    ),
    Row(
        "P2",
        "option 43 has PXE tags 6-10: older UEFI firmware throws such an offer away",
        lambda _, a: is_proxy(a) and _has_discovery(a),
        concerns=UEFI_PXE,
    ),
    Row(
        "P7",
        "a file name without a next server (siaddr): iPXE does not take it, UEFI tries option 54",
        lambda _, a: bool(a.boot_file) and a.next_server == NO_ADDRESS,
        concerns=PXE,
        breaks=IPXE,
    ),
    Row("P18", "it sends a boot menu (option 43.9)", lambda _, a: BOOT_MENU in a.vendor_tags, concerns=PXE),
    Row(
        "H1",
        "HTTPClient (option 60) without a URL",
        lambda _, a: boot_class(a) == HTTP_CLIENT and not _names_url(a),
        concerns=HTTP,
        breaks=HTTP,
    ),
    Row(
        "H1",
        "a URL without option 60 = HTTPClient: UEFI HTTP boot ignores the offer",
        lambda _, a: _names_url(a) and not boot_class(a),
        concerns=HTTP,
        breaks=HTTP,
    ),
    Row(
        "H2",
        "option 60 = PXEClient to a machine that asked as HTTPClient: it ignores the offer",
        lambda _, a: boot_class(a) == PXE_CLIENT,
        concerns=HTTP,
        breaks=HTTP,
    ),
    Row(
        "H4",
        "the URL {a.boot_file} has a name, not an address: it needs the site's DNS to reach the machine",
        lambda _, a: _names_url(a) and not urls.has_address(a.boot_file),
        concerns=HTTP | IPXE,
    ),
    Row(
        "H8",
        "the URL's path does not end in .efi: it must come with Content-Type application/efi",
        lambda _, a: _names_url(a) and not urls.is_efi(a.boot_file),
        concerns=HTTP,
    ),
    Row("H11", "the URL is longer than 255 bytes", lambda _, a: len(a.boot_file) > 255, concerns=HTTP),
    Row(
        "I4",
        "it came {a.at_s:.1f} s after the DISCOVER; this firmware first waits {t.persona.window_s:g} s",
        lambda t, a: is_proxy(a) and a.at_s > t.persona.window_s,
        breaks=IPXE,
    ),
    Row(
        "I6",
        "no option 60 = PXEClient: not a proxy's offer to a PXE machine",
        lambda _, a: is_proxy(a) and boot_class(a) != PXE_CLIENT,
        concerns=PXE,
        breaks=PXE,
    ),
    Row(
        "I6",
        "no option 175 = 01 01 01 (priority): a file name of the site's DHCP server would win over it",
        lambda _, a: is_proxy(a) and bool(a.boot_file) and 1 not in a.etherboot_tags,
        concerns=IPXE,
    ),
    Row("I7", "the file name has a space in it", lambda _, a: " " in a.boot_file, concerns=IPXE, breaks=IPXE),
)
BOOT_SERVER_REPLIES: Final = (
    Row(
        "P3",
        "port 4011 answered to port {a.target_port}; asked from {t.persona.boot_server_port}",
        lambda t, a: a.target_port != t.persona.boot_server_port,
        breaks=UEFI_PXE,
    ),
    Row(
        "P3",
        "answered from port {a.source_port}, not 4011: iPXE does not take that",
        lambda _, a: a.source_port != 4011,
        breaks=IPXE,
    ),
    Row("P3", "port 4011 names no file", lambda _, a: not a.boot_file, breaks=PXE),
    Row(
        "P3",
        "port 4011 names no next server (siaddr)",
        lambda _, a: a.next_server == NO_ADDRESS,
        breaks=IPXE,
    ),
    Row(
        "P3",
        "option 54 is {a.server_id} on port 4011 and another in the offer",
        lambda t, a: a.server_id not in {asked.offer.server_id for asked in t.asked},
    ),
    Row("P3", "port 4011 sends PXE tags 6-10 in option 43", lambda _, a: _has_discovery(a), concerns=UEFI_PXE),
    Row("P3", "port 4011 does not answer with an ACK", lambda _, a: a.message_type != ACK, is_note=True),
    Row("P3", "no option 60 = PXEClient on port 4011", lambda _, a: boot_class(a) != PXE_CLIENT, is_note=True),
    Row("P6", "port 4011 answered after {a.at_s:.1f} s: more than 1 s", lambda _, a: a.at_s > 1.0),
)
