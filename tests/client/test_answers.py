"""Frames as answers: scapy's reading, and that no bytes at all break it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrapd.client import answers
from bootstrapd.client.answers import NO_ADDRESS

from .captures import PXE_CLIENT, TAKE_THIS, answer, frame, load


def test_a_recorded_offer_reads_as_it_was_sent() -> None:
    offer = load("edk2_01_offer_file_si_o60_o43d8_no4011").offers[0]
    assert (offer.source, offer.source_port, offer.target, offer.target_port) == (
        "10.77.0.2",
        67,
        "255.255.255.255",
        68,
    )
    assert (offer.next_server, offer.your_address, offer.boot_file) == ("10.77.0.2", NO_ADDRESS, "snponly.efi")
    assert [code for code, _ in offer.options] == [53, 54, 97, 60, 43]
    assert offer.vendor_class == "PXEClient"
    assert offer.vendor_tags == {6: b"\x08"}
    assert offer.message_type == 2
    assert not offer.gives_address


def test_fields_are_for_a_person() -> None:
    fields = dict(answer(PXE_CLIENT, TAKE_THIS, (51, b"\0\0\x0e\x10"), file=b"x.efi").fields)
    assert fields["from"] == "10.77.0.2:67 (02:77:00:00:00:02)"
    assert fields["boot file (file)"] == "x.efi"
    assert fields["53 message-type"] == "OFFER"
    assert fields["54 server_id"] == "10.77.0.2"
    assert fields["60 vendor_class_id"] == "PXEClient"
    assert fields["43 vendor_specific"] == "06 01 08 ff"
    assert fields["51 lease_time"] == "3600"
    assert "your address (yiaddr)" not in fields


def test_D9_pieces_of_a_long_option_are_joined() -> None:
    """RFC 3396: two options 67 are one name."""
    assert answer((67, b"a" * 255), (67, b"bc")).boot_file == "a" * 255 + "bc"


def test_D6_option_67_wins_over_the_header() -> None:
    assert answer((67, b"option.efi\0"), file=b"header.efi").boot_file == "option.efi"


def test_D8_an_overloaded_file_field_is_no_name() -> None:
    assert answer((52, b"\x01"), file=b"\x43\x05hello").boot_file == ""
    assert answer((52, b"\x02"), file=b"header.efi").boot_file == "header.efi"


def test_175_and_43_read_as_sub_options() -> None:
    found = answer((175, b"\x01\x01\x01\xb0\x01\x01"), (43, b"\0\x06\x01\x08\x47\x04\x80\0\0\0\xff\x09"))
    assert found.etherboot_tags == {1: b"\x01", 176: b"\x01"}
    assert found.vendor_tags == {6: b"\x08", 71: b"\x80\x00\x00\x00"}


def test_D10_pads_between_options_are_counted_and_the_tail_is_not() -> None:
    assert answer(PXE_CLIENT, pad_to=400).pads == 0
    raw = frame(PXE_CLIENT)
    at = raw.index(b"\x3c\x09PXEClient")
    padded = answers.read(raw[:at] + b"\0\0" + raw[at:-2], 0.0)
    assert padded is not None
    assert padded.pads == 2


def test_D1_an_option_cut_short_is_said() -> None:
    raw = frame(pad_to=0)
    broken = answers.read(raw.removesuffix(b"\xff") + b"\x43", 0.0)
    assert broken is not None
    assert broken.broken == "43"


def test_ethernet_padding_is_not_part_of_the_answer() -> None:
    padded = answers.read(frame(pad_to=0) + bytes(40), 0.0)
    assert padded is not None
    assert padded.size == 236 + 4 + 3 + 6 + 1


def test_questions_and_other_traffic_are_no_answers() -> None:
    raw = bytearray(frame())
    raw[42] = 1  # BOOTREQUEST
    assert answers.read(bytes(raw), 0.0) is None
    assert answers.read(b"", 0.0) is None
    assert answers.read(frame()[:41], 0.0) is None


def _use_everything(found: answers.Answer | None) -> None:
    if found is not None:
        assert all(isinstance(text, str) for _, text in found.fields)
        _ = (found.boot_file, found.server, found.vendor_tags, found.etherboot_tags, found.message_type)


@given(st.binary(max_size=600))
def test_any_bytes_are_an_answer_or_none(data: bytes) -> None:
    _use_everything(answers.read(data, 0.0))


@pytest.mark.parametrize("name", ["edk2_34_offer_menu_dnsmasq_style_type0", "http_h02_proxy_o60_o67"])
@given(data=st.data())
def test_any_mutation_of_a_recorded_answer_reads_or_not(name: str, data: st.DataObject) -> None:
    raw = bytearray(frame(*load(name).offers[-1].options))
    for _ in range(data.draw(st.integers(1, 8))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    _use_everything(answers.read(bytes(raw[: data.draw(st.integers(0, len(raw)))]), 0.0))
