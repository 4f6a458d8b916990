"""Each row of the table: an answer that breaks it is named with the rule, one that keeps it is not."""

from __future__ import annotations

from typing import Any

import pytest

from bootstrapd.client import decide, personas, rules, steps
from bootstrapd.client.answers import Answer
from bootstrapd.client.personas import Persona
from bootstrapd.client.rules import Severity, Talk

from .captures import HTTP_CLIENT, MAC, PXE_CLIENT, TAKE_THIS, answer, load, site

EDK2 = personas.edk2_pxe(7)
IPXE = personas.ipxe_rom()
HTTP = personas.edk2_http(16)
ROM = personas.bios_rom()
PRIORITY = (175, b"\x01\x01\x01")
URL = b"http://10.77.0.2/x.efi"
GOOD = {
    EDK2.name: answer(PXE_CLIENT, file=b"x.efi"),
    IPXE.name: answer(PXE_CLIENT, TAKE_THIS, PRIORITY, file=b"http://10.77.0.2/boot.ipxe", flags=0),
    HTTP.name: answer(HTTP_CLIENT, file=URL),
    ROM.name: answer(PXE_CLIENT, TAKE_THIS, file=b"undionly.kpxe"),
}
REPLY = answer(
    PXE_CLIENT, kind=5, file=b"x.efi", source_port=4011, target="10.77.0.9", target_port=4011, flags=0
)
WRONG, RISK, NOTE = Severity.WRONG, Severity.RISK, Severity.NOTE


def found(persona: Persona, *offers: Answer, replies: tuple[Answer, ...] = ()) -> list[tuple[str, Severity]]:
    step = decide.after_offers(persona, offers)
    asked = (step,) if isinstance(step, steps.AskBootServer) else ()
    talk = Talk(persona=persona, mac=MAC, offers=offers, asked=asked, replies=replies, step=step)
    return [(finding.rule, finding.severity) for finding in rules.findings(talk)]


@pytest.mark.parametrize("persona", [EDK2, IPXE, HTTP, ROM], ids=lambda persona: persona.name)
def test_a_good_answer_breaks_nothing(persona: Persona) -> None:
    assert found(persona, site(), GOOD[persona.name]) == []


def test_a_good_reply_on_4011_breaks_nothing() -> None:
    assert found(EDK2, site(), answer(PXE_CLIENT, file=b"x.efi"), replies=(REPLY,)) == []


@pytest.mark.parametrize(
    ("rule", "severity", "persona", "offer"),
    [
        ("D5", RISK, EDK2, answer(PXE_CLIENT, file=b"x.efi", pad_to=0)),
        ("D5", RISK, EDK2, answer(PXE_CLIENT, file=b"x.efi", pad_to=1500)),
        ("D8", RISK, EDK2, answer(PXE_CLIENT, (52, b"\x02"), file=b"x.efi")),
        ("D7", RISK, ROM, answer(PXE_CLIENT, TAKE_THIS, (67, b"undionly.kpxe"), file=b"undionly.kpxe")),
        ("P14", RISK, EDK2, answer(PXE_CLIENT, (97, b"\0"), file=b"x.efi")),
        ("D4", WRONG, EDK2, answer(PXE_CLIENT, file=b"x.efi", server_id=None)),
        ("D4", WRONG, HTTP, answer(HTTP_CLIENT, file=URL, server_id=None)),
        ("D4", RISK, IPXE, answer(PXE_CLIENT, TAKE_THIS, PRIORITY, file=URL, flags=0, server_id=None)),
        ("D4", RISK, EDK2, answer(PXE_CLIENT, (51, b"\0\0\0\1"), file=b"x.efi")),
        ("D4", NOTE, EDK2, answer(PXE_CLIENT, file=b"x.efi", flags=0)),
        ("D6", RISK, EDK2, answer(PXE_CLIENT, (67, b"x.efi\0"))),
        ("D18", RISK, EDK2, answer(PXE_CLIENT, file=b"x.efi", target="10.77.0.9")),
        ("D20", RISK, EDK2, answer(PXE_CLIENT, file=b"x.efi", source_port=4011)),
        ("P1", RISK, ROM, answer(PXE_CLIENT, file=b"undionly.kpxe")),
        ("P2", RISK, EDK2, answer(PXE_CLIENT, TAKE_THIS, file=b"x.efi")),
        ("P7", RISK, EDK2, answer(PXE_CLIENT, file=b"x.efi", siaddr="0.0.0.0")),
        ("P7", WRONG, IPXE, answer(PXE_CLIENT, TAKE_THIS, PRIORITY, file=b"x", siaddr="0.0.0.0", flags=0)),
        ("P18", RISK, ROM, answer(PXE_CLIENT, (43, b"\x06\x01\x08\x09\x04\x80\0\x01a\xff"), file=b"x.kpxe")),
        ("H1", WRONG, HTTP, answer(HTTP_CLIENT, file=b"x.efi")),
        ("H1", WRONG, HTTP, answer(file=URL)),
        ("H2", WRONG, HTTP, answer(PXE_CLIENT, file=URL)),
        ("H4", RISK, HTTP, answer(HTTP_CLIENT, file=b"http://boot.lan/x.efi")),
        ("H8", RISK, HTTP, answer(HTTP_CLIENT, file=b"http://10.77.0.2/x")),
        ("H11", RISK, HTTP, answer(HTTP_CLIENT, (67, b"http://10.77.0.2/" + b"x" * 238), (67, b"xx.efi"))),
        ("I4", WRONG, IPXE, answer(PXE_CLIENT, TAKE_THIS, PRIORITY, file=URL, flags=0, at_s=3.2)),
        ("I4", RISK, EDK2, answer(PXE_CLIENT, file=b"x.efi", at_s=4.5)),
        ("I6", WRONG, EDK2, answer(file=b"x.efi")),
        ("I6", RISK, IPXE, answer(PXE_CLIENT, TAKE_THIS, file=URL, flags=0)),
        ("I7", WRONG, IPXE, answer(PXE_CLIENT, TAKE_THIS, PRIORITY, file=b"http://10.77.0.2/a b", flags=0)),
    ],
)
def test_an_offer_that_breaks_a_rule(rule: str, severity: Severity, persona: Persona, offer: Answer) -> None:
    """D4 D5 D6 D7 D8 D18 D20 P1 P2 P7 P14 P18 H1 H2 H4 H8 H11 I4 I6 I7."""
    others = {"H8", "H11", "D6", "P1", "P18", "I6", "D4", "H1"} - {rule}  # a broken answer may break two
    names = [name for name in found(persona, site(), offer) if name[0] not in others]
    assert names == [(rule, severity)]


@pytest.mark.parametrize(
    ("rule", "severity", "fields"),
    [
        ("P3", WRONG, {"target_port": 68}),
        ("P3", RISK, {"source_port": 67}),
        ("P3", WRONG, {"file": b""}),
        ("P3", RISK, {"siaddr": "0.0.0.0"}),
        ("P3", RISK, {"server_id": "10.77.0.3"}),
        ("P3", NOTE, {"kind": 2}),
        ("P6", RISK, {"at_s": 1.2}),
    ],
)
def test_P3_P6_a_reply_on_4011_that_breaks_a_rule(
    rule: str, severity: Severity, fields: dict[str, Any]
) -> None:
    usual: dict[str, Any] = {
        "kind": 5,
        "file": b"x.efi",
        "source_port": 4011,
        "target_port": 4011,
        "target": "10.77.0.9",
    }
    reply = answer(PXE_CLIENT, **(usual | fields))
    assert found(EDK2, site(), answer(PXE_CLIENT, file=b"x.efi"), replies=(reply,)) == [(rule, severity)]


def test_P3_no_class_and_no_tags_on_4011() -> None:
    reply = answer(TAKE_THIS, kind=5, file=b"x.efi", source_port=4011, target_port=4011)
    assert found(EDK2, site(), GOOD[EDK2.name], replies=(reply,)) == [("P3", RISK), ("P3", NOTE)]


def test_D1_D10_D11_an_answer_badly_put_together() -> None:
    good = GOOD[EDK2.name]
    from msgspec import structs

    broken = structs.replace(good, broken="43 ff", pads=1, options=tuple(reversed(good.options)))
    assert found(EDK2, site(), broken) == [("D1", RISK), ("D10", RISK), ("D11", NOTE)]


def test_the_sites_dhcp_is_not_judged_by_the_proxys_rules() -> None:
    assert found(EDK2, site(pad_to=0)) == []


def test_sentences_name_what_was_seen() -> None:
    talk = load("edk2_12_4011ack_dport68").talk()
    sentences = {finding.rule: finding.sentence for finding in rules.findings(talk)}
    assert sentences["P3"] == "port 4011 answered to port 68; asked from 4011"


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("edk2_06_offer_file_si_NO60_no43", "I6"),
        ("edk2_12_4011ack_dport68", "P3"),
        ("edk2_19_offer_no_o54", "D4"),
        ("ipxe_08_offer_o66o67_si0_o60_o43d8", "P7"),
        ("ipxe_13_4011ack_sport67", "P3"),
        ("ipxe_21_proxy_delay_3.5", "I4"),
        ("http_h03_proxy_NO60_file", "H1"),
        ("http_h04_proxy_o60PXEClient_file", "H2"),
        ("http_h05_full_NO60_file", "H1"),
        ("http_h11_proxy_o60_nofile_4011", "H1"),
        ("http_h12_proxy_o60_file_no54", "D4"),
        ("http_h14_full_o66o67_tftp_names", "H1"),
    ],
)
def test_a_recorded_failure_is_explained_by_its_rule(name: str, rule: str) -> None:
    """What real firmware did not take has a finding that says so."""
    wrong = [finding.rule for finding in rules.findings(load(name).talk()) if finding.severity is WRONG]
    assert rule in wrong
