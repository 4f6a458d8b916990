"""Who else answers, who wins, and why nobody does."""

from __future__ import annotations

import pytest

from bootstrapd.client import decide, personas, steps, surroundings
from bootstrapd.client.answers import Answer
from bootstrapd.client.personas import Persona
from bootstrapd.client.rules import Finding, Severity, Talk

from .captures import MAC, PXE_CLIENT, TAKE_THIS, answer, load, site

OURS = f"nbp/{MAC.hexhyp}/snponly.efi".encode()
EDK2 = personas.edk2_pxe(7)


def talk_of(persona: Persona, *offers: Answer) -> Talk:
    step = decide.after_offers(persona, offers)
    asked = []
    while isinstance(step, steps.AskBootServer):
        asked.append(step)
        step = decide.after_boot_server(persona, step, [])
    return Talk(persona=persona, mac=MAC, offers=offers, asked=tuple(asked), step=step)


def by_rule(talk: Talk) -> dict[str, Finding]:
    return {finding.rule: finding for finding in surroundings.findings(talk)}


def test_a_foreign_proxy_that_wins_is_named_with_its_address() -> None:
    """27: the second proxy was first."""
    foreign = answer(PXE_CLIENT, TAKE_THIS, source="10.77.0.3", siaddr="10.77.0.3", file=b"second.efi")
    found = by_rule(talk_of(EDK2, site(), foreign, answer(PXE_CLIENT, TAKE_THIS, file=OURS, at_s=0.3)))
    finding = found["FOREIGN_PXE_SERVER"]
    assert (finding.server, finding.severity) == ("10.77.0.3", Severity.WRONG)
    assert "'second.efi'; this machine boots from it" in finding.sentence


def test_a_foreign_proxy_that_loses_is_a_risk() -> None:
    foreign = answer(PXE_CLIENT, TAKE_THIS, source="10.77.0.3", at_s=0.3, file=b"second.efi")
    found = by_rule(talk_of(EDK2, site(), answer(PXE_CLIENT, TAKE_THIS, file=OURS), foreign))
    assert found["FOREIGN_PXE_SERVER"].severity is Severity.RISK
    assert found["FOREIGN_PXE_SERVER"].server == "10.77.0.3"


@pytest.mark.parametrize("file", [OURS, b"http://10.77.0.2/boot.ipxe", b"http://10.77.0.2:8080/" + OURS])
def test_our_own_names_are_not_foreign(file: bytes) -> None:
    found = by_rule(talk_of(EDK2, site(), answer(PXE_CLIENT, TAKE_THIS, file=file)))
    assert "FOREIGN_PXE_SERVER" not in found


def test_the_sites_dhcp_is_named_as_normal() -> None:
    found = by_rule(talk_of(EDK2, site(), answer(PXE_CLIENT, TAKE_THIS, file=OURS)))
    assert found.keys() == {"SITE_DHCP"}
    assert found["SITE_DHCP"].server == "10.77.0.1"
    assert found["SITE_DHCP"].severity is Severity.NOTE
    assert "10.77.0.150" in found["SITE_DHCP"].sentence


@pytest.mark.parametrize(
    ("name", "removes"),
    [
        ("edk2_29_site_has_file_o60_plus_proxy", ("option 60 (PXEClient)", "'second.efi'")),
        ("ipxe_28_site_has_file_no60_plus_proxy", ("its boot file name 'second.efi'",)),
        ("ipxe_29_site_has_file_o60_plus_proxy", ("option 60 (PXEClient)", "'second.efi'")),
    ],
)
def test_SITE_FILENAME_WINS_says_which_option_to_remove(name: str, removes: tuple[str, ...]) -> None:
    finding = by_rule(load(name).talk())["SITE_FILENAME_WINS"]
    assert (finding.server, finding.severity) == ("10.77.0.1", Severity.WRONG)
    assert all(part in finding.sentence for part in removes)
    assert "10.77.0.2" in finding.sentence


def test_SITE_FILENAME_WINS_by_option_67_too() -> None:
    """32, with a proxy beside it: option 60 on the DHCP server alone is enough to lead the machine away."""
    named = answer((67, b"x.efi\0"), PXE_CLIENT, source="10.77.0.1", yiaddr="10.77.0.150", siaddr="0.0.0.0")
    found = by_rule(talk_of(EDK2, named, answer(PXE_CLIENT, TAKE_THIS, file=OURS)))
    assert (
        "option 60 (PXEClient) and its boot file name 'x.efi' (option 67,"
        in found["SITE_FILENAME_WINS"].sentence
    )


@pytest.mark.parametrize(
    "name",
    [
        "edk2_28_site_has_file_no60_plus_proxy",
        "edk2_30_site_full_file_no60_only",
        "edk2_01_offer_file_si_o60_o43d8_no4011",
    ],
)
def test_a_site_that_does_not_win_over_a_proxy_is_not_accused(name: str) -> None:
    assert "SITE_FILENAME_WINS" not in by_rule(load(name).talk())


def test_P9_a_server_that_says_PXEClient_and_is_silent_on_4011() -> None:
    finding = by_rule(load("edk2_32_site_o60_on_dhcp_nofile_4011_on_proxyIP").talk())["P9"]
    assert finding.server == "10.77.0.1"
    assert "asks 10.77.0.1 on port 4011, where nobody answers" in finding.sentence


def test_D15_two_dhcp_servers() -> None:
    found = by_rule(talk_of(EDK2, site(), site(source="10.77.0.7"), answer(PXE_CLIENT, TAKE_THIS, file=OURS)))
    assert found["D15"].server == "10.77.0.1, 10.77.0.7"


def test_boot_servers_without_any_dhcp_server() -> None:
    assert (
        by_rule(talk_of(EDK2, answer(PXE_CLIENT, TAKE_THIS, file=OURS)))["NO_ADDRESS"].severity
        is Severity.WRONG
    )


def test_P13_a_bios_program_for_uefi() -> None:
    found = by_rule(talk_of(EDK2, site(), answer(PXE_CLIENT, TAKE_THIS, file=b"undionly.kpxe")))
    assert "'undionly.kpxe' does not look like an EFI program" in found["P13"].sentence
    rom = by_rule(talk_of(personas.bios_rom(), site(), answer(PXE_CLIENT, TAKE_THIS, file=b"x.efi")))
    assert "a BIOS program" in rom["P13"].sentence


def test_silence_says_how_long_and_why() -> None:
    (finding,) = surroundings.silence(talk_of(EDK2), 12.0)
    assert finding.rule == "NO_OFFER"
    assert finding.sentence.startswith("nobody answered in 12 s: no DHCP server on this network segment")
    assert "spanning tree" in finding.sentence


def test_only_the_site_answered() -> None:
    (finding,) = surroundings.silence(talk_of(EDK2, site()), 12.4, ("the moon is full",))
    assert finding.rule == "NO_BOOT_OFFER"
    assert (
        "nobody offered anything to boot in 12 s: the moon is full; or no host has this MAC" in finding.sentence
    )


def test_a_boot_server_was_heard() -> None:
    assert surroundings.silence(talk_of(EDK2, site(), answer(PXE_CLIENT)), 12.0) == []
