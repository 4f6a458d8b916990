"""Who else is on the wire, and who decides: what only the whole conversation shows.

Owns FOREIGN_PXE_SERVER, SITE_FILENAME_WINS and their like (DESIGN.md, "Seen on the wire"), and the likely
causes of an answer that never came.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from bootstrapd.client import urls
from bootstrapd.client.answers import Answer
from bootstrapd.client.rules import Finding, Severity, Talk, boot_class, is_boot_answer, is_proxy
from bootstrapd.client.steps import GiveUp, TakeFile
from bootstrapd.model import ARCHES, Mac

NOBODY: Final = "-"
# Most likely first: a person reads the first two.
CAUSES_OF_SILENCE: Final = (
    "no DHCP server on this network segment, or it takes longer than that",
    "the switch port is not forwarding yet (spanning tree without edge/PortFast) or is in another VLAN (R7)",
    "a firewall or DHCP snooping drops the packets",
)
CAUSES_OF_NO_BOOT_OFFER: Final = (
    "no host has this MAC: an unknown machine is left alone (bootstrapd hosts list, bootstrapd explain MAC)",
    "bootstrapd does not run, or serves another interface",
    "DHCP snooping on the switch lets only the site's DHCP server answer",
)
HEARS_ONLY_OTHERS: Final = (
    "a boot server on this very machine does not hear what is sent out of its own interface:"
    " probe from another machine on the network, or ask bootstrapd explain"
)


def findings(talk: Talk) -> list[Finding]:
    """Everything to say about who answered and who won."""
    return [finding for look in WHOLE_TALK for finding in look(talk)]


def silence(talk: Talk, waited_s: float, extra_causes: Sequence[str] = ()) -> list[Finding]:
    """What never came, after how long, and why that may be; nothing when a boot server was heard."""
    if any(is_boot_answer(offer) for offer in talk.offers):
        return []
    if not talk.offers:
        causes = "; or ".join((*extra_causes, *CAUSES_OF_SILENCE))
        return [Finding("NO_OFFER", Severity.WRONG, NOBODY, f"nobody answered in {waited_s:.0f} s: {causes}")]
    causes = "; or ".join((*extra_causes, *CAUSES_OF_NO_BOOT_OFFER))
    sentence = f"an address is to be had, but nobody offered anything to boot in {waited_s:.0f} s: {causes}"
    return [Finding("NO_BOOT_OFFER", Severity.WRONG, NOBODY, sentence)]


def is_ours(answer: Answer, mac: Mac) -> bool:
    """Whether the answer has the file names that a bootstrapd gives (`nbp/<mac>/…`, `http://…/boot.ipxe`)."""
    name = answer.boot_file
    return f"nbp/{mac.hexhyp}/" in name or (name.startswith("http://") and name.endswith("/boot.ipxe"))


def _foreign_servers(talk: Talk) -> Iterable[Finding]:
    """Who speaks of booting and is no bootstrapd, each with its address (P9, D15)."""
    ours = {answer.server for answer in (*talk.offers, *talk.replies) if is_ours(answer, talk.mac)}
    winner = talk.step.answer.server if isinstance(talk.step, TakeFile) else ""
    for answer in talk.offers:
        if answer.server in ours or not boot_class(answer):
            continue
        names = f"names {answer.boot_file!r}" if answer.boot_file else "names no file"
        result = (
            "this machine boots from it" if winner == answer.server else "this machine does not boot from it"
        )
        sentence = f"a boot server that is no bootstrapd ({answer.source_mac}) {names}; {result}"
        severity = Severity.WRONG if ours and winner == answer.server else Severity.RISK
        yield Finding("FOREIGN_PXE_SERVER", severity, answer.server, sentence)


def _site_filename(talk: Talk) -> Iterable[Finding]:
    """The site's own DHCP server wins over a proxy's file, or makes the machine ask it (rows 28, 29, 32)."""
    losers = sorted({offer.server for offer in talk.offers if is_proxy(offer) and boot_class(offer)})
    culprit = _followed(talk)
    if culprit is not None and culprit.gives_address and losers:
        sentence = (
            f"the site's DHCP server decides what this machine boots, not {', '.join(losers)}:"
            f" remove {_options_to_remove(culprit)} there"
        )
        yield Finding("SITE_FILENAME_WINS", Severity.WRONG, culprit.server, sentence)


def _followed(talk: Talk) -> Answer | None:
    """The answer that decided: whose file is taken in the end, or else whose server is asked on 4011."""
    if isinstance(talk.step, TakeFile) and talk.step.answer not in talk.replies:
        return talk.step.answer
    return talk.asked[-1].offer if talk.asked else None


def _options_to_remove(culprit: Answer) -> str:
    names = [f"option 60 ({culprit.vendor_class})"] if boot_class(culprit) else []
    if culprit.boot_file:
        names.append(
            f"its boot file name {culprit.boot_file!r} (option 67, dnsmasq's dhcp-boot, ISC's filename)"
        )
    return " and ".join(names)


def _silent_boot_server(talk: Talk) -> Iterable[Finding]:
    """P9: it says PXEClient, so the machine asks it on 4011, and nobody is there."""
    if isinstance(talk.step, GiveUp) and not talk.replies:
        for asked in talk.asked:
            sentence = (
                f"it says PXEClient, so the machine asks {asked.server} on port 4011, where nobody answers:"
                " remove option 60 on that server, or run its boot service"
            )
            yield Finding("P9", Severity.WRONG, asked.offer.server, sentence)


def _dhcp_servers(talk: Talk) -> Iterable[Finding]:
    """The site's DHCP is normal beside a proxy; two of them are not (D15)."""
    given = {offer.server: offer for offer in talk.offers if offer.gives_address}
    for server, offer in given.items():
        also = f", and names the boot file {offer.boot_file!r}" if offer.boot_file else ""
        sentence = f"gives addresses here: offered {offer.your_address}{also}"
        yield Finding("SITE_DHCP", Severity.NOTE, server, sentence)
    if talk.offers and not given:
        sentence = f"boot servers answer, but nobody gives an address: {_SAYS_NO_ADDRESS}"
        yield Finding("NO_ADDRESS", Severity.WRONG, NOBODY, sentence)
    if len(given) > 1:
        sentence = "more than one DHCP server gives addresses here; machines take any of them"
        yield Finding("D15", Severity.RISK, ", ".join(given), sentence)


_SAYS_NO_ADDRESS: Final = "bootstrapd is a proxy and needs the site's DHCP server on this network"


def _wrong_program(talk: Talk) -> Iterable[Finding]:
    """P13: a BIOS program for UEFI, or the reverse, as far as its name tells."""
    if not isinstance(talk.step, TakeFile) or talk.persona.is_ipxe:
        return
    is_uefi = ARCHES[talk.persona.arch].is_uefi
    if urls.is_efi(talk.step.file) != is_uefi:
        wanted = "an EFI program (.efi)" if is_uefi else "a BIOS program (.kpxe, .pxe, .0)"
        sentence = f"{talk.step.file!r} does not look like {wanted}"
        yield Finding("P13", Severity.RISK, talk.step.answer.server, sentence)


WHOLE_TALK: Final = (_foreign_servers, _site_filename, _silent_boot_server, _dhcp_servers, _wrong_program)
