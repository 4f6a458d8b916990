"""The DHCP codec rule by rule: what is a question for which door, what it says, and how the answer looks."""

from __future__ import annotations

import struct

import pytest
from dhcp_packets import (
    GOLDEN,
    MAC,
    SERVER,
    UUID,
    UUID_OPTION,
    discover,
    packet,
    raw_options,
    recorded,
    reply,
    request,
)

from bootstrapd.errors import RefusedError, WireError
from bootstrapd.model import ARCHES, Ask, DhcpReply, Door, Feature, Mac, Stage
from bootstrapd.wire import dhcp
from bootstrapd.wire.dhcp_packet import build_options, parse_options

CLIENT = ("10.77.0.113", 4011)
IPXE_FEATURES = b"\xb1\x05\x01\x1a\xf4\x10\x00\xeb\x03\x01\x00\x00\x13\x01\x01\x18\x01\x01\x17\x01\x01"


def ask(data: bytes, door: Door = Door.DHCP, source: tuple[str, int] = ("0.0.0.0", 68)) -> Ask | None:
    return dhcp.read_ask(dhcp.parse(data), door, SERVER, "eth0", source)


def asked(data: bytes, door: Door = Door.DHCP) -> Ask:
    found = ask(data, door)
    assert found is not None
    return found


def refused(data: bytes, door: Door = Door.DHCP) -> str:
    """The reason, after making sure that `read_ask` agrees."""
    assert ask(data, door) is None
    return dhcp.refusal(dhcp.parse(data), door, SERVER)


def answer(data: bytes, says: DhcpReply | None = None) -> bytes:
    return dhcp.build_reply(dhcp.parse(data), says or reply(), SERVER)


def cut(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        discover()[:239],
        cut(discover(), 236, b"\x63\x82\x53\x64"),
        cut(discover(), 0, b"\x00"),
        cut(discover(), 0, b"\x03"),
        cut(discover(), 1, b"\x06"),
        cut(discover(), 2, b"\x10"),
        discover()[:240] + b"\x35\x01\x01\x3c\xf0PXEClient",
        discover()[:240] + b"\x35\x01\x01\x3c",
    ],
    ids=["empty", "header cut", "cookie", "op 0", "op 3", "htype", "hlen", "option cut", "length missing"],
)
def test_D1_broken_packets_are_wire_errors(data: bytes) -> None:
    with pytest.raises(WireError):
        dhcp.parse(data)


def test_D1_a_server_answer_is_no_question() -> None:
    assert refused(cut(discover(), 0, b"\x02")) == "not_a_request"


@pytest.mark.parametrize("mac", [bytes(6), b"\xff" * 6, bytes.fromhex("01005e000001")])
def test_D1_no_machine_has_such_an_address(mac: bytes) -> None:
    assert refused(discover(mac=mac)) == "bad_mac"


def test_D1_options_may_end_without_an_end() -> None:
    assert dhcp.parse(discover()[:240] + b"\x35\x01\x01").message_type == 1


def test_D2_a_request_to_another_server_is_not_ours() -> None:
    other, ours = {54: b"\x0a\x4d\x00\x01"}, {54: b"\x0a\x4d\x00\x02"}
    assert refused(request(other), Door.DHCP) == refused(request(ours), Door.DHCP) == "other_message"
    assert refused(request(other), Door.PXE) == "other_server"
    assert ask(request(ours), Door.PXE)


@pytest.mark.parametrize("vendor_class", [b"", b"busybox-initrd", b"MSFT 5.0", b"xPXEClient", b"pxeclient"])
def test_D3_only_boot_clients_are_answered(vendor_class: bytes) -> None:
    assert refused(discover({60: vendor_class})) == "not_a_boot_client"


def test_D4_an_offer_copies_the_question_and_gives_no_address() -> None:
    data = discover(xid=0xA1B2C3D4, secs=7, flags=0x8000, giaddr=b"\x0a\x4d\x09\x01")
    offer = dhcp.parse(answer(data))
    assert (offer.op, offer.xid, offer.flags, offer.secs) == (2, 0xA1B2C3D4, 0x8000, 0)
    assert offer.chaddr == MAC.ljust(16, b"\0")
    assert offer.giaddr == b"\x0a\x4d\x09\x01"
    assert offer.yiaddr == offer.ciaddr == bytes(4)
    assert offer.siaddr == b"\x0a\x4d\x00\x02"
    assert (offer.message_type, offer.server_id, offer.vendor_class) == (2, SERVER, "PXEClient")
    assert not {1, 3, 6, 51, 58, 59} & set(offer.options)


def test_D5_answers_are_at_least_300_bytes() -> None:
    assert len(answer(discover(), reply(""))) == 300


@pytest.mark.parametrize("most", [None, 0, 300, 576])
def test_D5_576_bytes_are_the_most_unless_the_machine_says_otherwise(most: int | None) -> None:
    """Option 57 counts the IP packet, so 548 bytes of DHCP. The second copy of the name goes first, then 97."""
    wanted = {57: struct.pack("!H", most)} if most is not None else {}
    data = discover({97: UUID_OPTION, **wanted})
    for length in range(1, 127):
        built = answer(data, reply("x" * length, (43, b"\x80" * 170)))
        assert len(built) <= 548
        assert dhcp.parse(built).boot_file == "x" * length


def test_D5_what_cannot_fit_is_refused_and_not_cut() -> None:
    with pytest.raises(RefusedError) as refusal:
        answer(discover(), reply("x", (43, bytes(255)), (43, bytes(255))))
    assert refusal.value.code == "REPLY_TOO_LONG"


def test_D5_a_machine_that_takes_more_gets_more_but_no_fragments() -> None:
    says = reply("x", (43, bytes(255)), (43, bytes(255)))
    assert len(answer(discover({57: struct.pack("!H", 1472)}), says)) > 548
    with pytest.raises(RefusedError):
        answer(discover({57: b"\xff\xff"}), reply("x", *((43, bytes(255)),) * 6))


def test_D6_D7_the_name_is_in_the_header_and_in_option_67_with_its_end() -> None:
    built = answer(discover(), reply("snponly.efi"))
    assert built[108:236] == b"snponly.efi".ljust(128, b"\0")
    assert (67, b"snponly.efi\0") in raw_options(built)


def test_D6_no_name_is_no_option_67() -> None:
    built = answer(discover(), reply(""))
    assert built[108:236] == bytes(128)
    assert 67 not in dict(raw_options(built))


@pytest.mark.parametrize(("length", "in_header"), [(127, True), (128, False), (200, False)])
def test_D8_a_longer_name_is_in_option_67_only(length: int, in_header: bool) -> None:
    built = answer(discover(), reply("n" * length))
    assert (built[108] != 0) is in_header
    assert built[235] == 0
    assert (67, b"n" * length + b"\0") in raw_options(built)
    assert 52 not in dict(raw_options(built))


def lending(which: int, file: bytes, sname: bytes) -> bytes:
    """A DISCOVER whose header fields hold options (52), as some servers send it; `build` never does."""
    data = cut(cut(discover(), 108, file), 44, sname)
    return data[:240] + bytes((52, 1, which)) + data[240:]


def test_D8_options_lent_to_file_and_sname_are_read() -> None:
    lent = dhcp.parse(lending(3, b"\x43\x05a.efi\xff", b"\x0c\x03abc\x43\x02xy\xff"))
    assert lent.options[67] == b"a.efixy"
    assert lent.options[12] == b"abc"
    assert (lent.file, lent.sname) == (bytes(128), bytes(64))
    written = dhcp.build(lent)
    assert 52 not in dict(raw_options(written))
    assert dhcp.parse(written).options[67] == b"a.efixy"


@pytest.mark.parametrize(("which", "lost"), [(1, {12}), (2, {67}), (0, {12, 67}), (4, {12, 67})])
def test_D8_only_the_fields_that_are_lent_are_read(which: int, lost: set[int]) -> None:
    lent = dhcp.parse(lending(which, b"\x43\x05a.efi\xff", b"\x0c\x03abc\xff"))
    assert {12, 67} - set(lent.options) == lost


def test_D8_a_broken_lent_field_is_a_wire_error() -> None:
    with pytest.raises(WireError):
        dhcp.parse(lending(1, b"\x0c\xf0", b""))


@pytest.mark.parametrize("length", [0, 1, 254, 255, 256, 510, 511, 1000])
def test_D9_long_options_are_split_and_joined(length: int) -> None:
    value = bytes(number % 251 for number in range(length))
    built = build_options(((43, value), (60, b"x")))
    pieces = [piece for code, piece in raw_options(bytes(240) + built + b"\xff") if code == 43]
    assert b"".join(pieces) == value
    assert all(len(piece) == 255 for piece in pieces[:-1])
    assert parse_options(built) == {43: value, 60: b"x"}


def test_D9_pieces_may_lie_apart() -> None:
    assert parse_options(b"\x43\x02ab\x0c\x01h\x43\x02cd\xff") == {67: b"abcd", 12: b"h"}


def test_D10_no_pads_before_the_end() -> None:
    assert 0 not in dict(raw_options(answer(discover({97: UUID_OPTION}))))


def test_D10_pads_are_skipped_in_what_others_send() -> None:
    assert parse_options(b"\0\0\x35\x01\x01\0\x3c\x01x\xff") == {53: b"\x01", 60: b"x"}


def test_D11_options_stand_in_a_stable_order() -> None:
    data = discover({97: UUID_OPTION, 82: b"\x01\x03abc"})
    says = reply("a.efi", (43, b"\x06\x01\x08\xff"), (175, b"\x01\x01\x01"))
    assert [code for code, _ in raw_options(answer(data, says))] == [53, 54, 60, 97, 43, 175, 67, 82, 255]


def test_D14_a_retry_gets_the_same_answer() -> None:
    """Only `secs` differs between a machine's tries, and an answer does not repeat it."""
    assert answer(discover(xid=9, secs=0)) == answer(discover(xid=9, secs=28))


@pytest.mark.parametrize("flags", [0, 0x8000])
def test_D18_an_offer_is_broadcast_whatever_the_flag_says(flags: int) -> None:
    assert dhcp.reply_address(packet(flags=flags), Door.DHCP, ("0.0.0.0", 68)) == ("255.255.255.255", 68)


def test_D18_a_machine_with_an_address_is_answered_there() -> None:
    held = packet(ciaddr=b"\x0a\x4d\x00\x71")
    assert dhcp.reply_address(held, Door.DHCP, ("10.77.0.113", 68)) == ("10.77.0.113", 68)


def test_P1_bios_gets_the_option_43_that_policy_gives() -> None:
    data = discover({60: b"PXEClient:Arch:00000:UNDI:002001", 93: b"\0\0"})
    assert asked(data).arch is ARCHES[0]
    assert (43, b"\x06\x01\x08\xff") in raw_options(
        answer(data, reply("undionly.kpxe", (43, b"\x06\x01\x08\xff")))
    )


def test_P2_nothing_is_added_to_what_policy_gives() -> None:
    assert 43 not in dict(raw_options(answer(discover())))


@pytest.mark.parametrize("source", [("10.77.0.113", 4011), ("10.77.0.113", 68), ("192.0.2.9", 1024)])
def test_P3_a_4011_request_is_answered_where_it_came_from(source: tuple[str, int]) -> None:
    held = packet({53: b"\x03"}, ciaddr=b"\x0a\x4d\x00\x71", flags=0x8000)
    assert dhcp.reply_address(held, Door.PXE, source) == source


def test_P3_the_ack_repeats_ciaddr() -> None:
    ack = dhcp.parse(answer(request(ciaddr=b"\x0a\x4d\x00\x71", xid=77), reply("a.efi", message_type=5)))
    assert (ack.message_type, ack.xid, ack.server_id) == (5, 77, SERVER)
    assert ack.ciaddr == b"\x0a\x4d\x00\x71"
    assert ack.boot_file == "a.efi"


def test_P3_a_machine_without_an_address_hears_broadcasts_only() -> None:
    assert dhcp.reply_address(packet(), Door.PXE, ("0.0.0.0", 68)) == ("255.255.255.255", 68)
    found = ask(request(), Door.PXE, ("0.0.0.0", 68))
    assert found is not None
    assert found.client == ""


def test_P3_the_client_is_known_by_ciaddr_or_by_its_source() -> None:
    for data in (request(ciaddr=b"\x0a\x4d\x00\x71"), request()):
        found = ask(data, Door.PXE, CLIENT)
        assert found is not None
        assert (found.client, found.door) == ("10.77.0.113", Door.PXE)


def test_P4_a_bios_rom_may_ask_4011() -> None:
    assert asked(request({93: b"\0\0", 60: b"PXEClient:Arch:00000:UNDI:002001"}), Door.PXE).arch is ARCHES[0]


@pytest.mark.parametrize("kind", [0, 2, 3, 4, 5, 6, 7, 8, 9, 255])
def test_P5_port_67_takes_discovers_only(kind: int) -> None:
    assert refused(discover({53: bytes((kind,))}), Door.DHCP) == "other_message"


@pytest.mark.parametrize("kind", [b"", b"\x00", b"\x01", b"\x08", b"\x03\x03"])
def test_P5_port_4011_takes_requests_only(kind: bytes) -> None:
    assert refused(discover({53: kind}), Door.PXE) == "other_message"


def test_P7_siaddr_is_never_zero() -> None:
    nowhere = DhcpReply(message_type=2, next_server="", file="a.efi", options=())
    assert answer(discover(), nowhere)[20:24] == b"\x0a\x4d\x00\x02"


def test_P8_the_tftp_server_may_be_another_host() -> None:
    elsewhere = DhcpReply(message_type=5, next_server="10.77.0.9", file="a.efi", options=())
    ack = dhcp.parse(answer(request(), elsewhere))
    assert (ack.siaddr, ack.server_id) == (b"\x0a\x4d\x00\x09", SERVER)


@pytest.mark.parametrize(
    ("arches", "code"), [("0007", 7), ("00ff0007", 7), ("00100007", 16), ("00070000", 7), ("000b", 11)]
)
def test_P11_the_first_known_architecture_counts(arches: str, code: int) -> None:
    assert asked(discover({93: bytes.fromhex(arches)})).arch is ARCHES[code]


@pytest.mark.parametrize("broken", ["00", "000700"])
def test_P11_a_broken_list_leaves_option_60(broken: str) -> None:
    assert (
        asked(discover({93: bytes.fromhex(broken), 60: b"PXEClient:Arch:00011:UNDI:003000"})).arch is ARCHES[11]
    )


def test_P11_an_unknown_architecture_is_none() -> None:
    assert asked(discover({93: b"\x00\xfe"})).arch is None


@pytest.mark.parametrize(
    ("vendor_class", "code"),
    [
        (b"PXEClient:Arch:00007:UNDI:003000", 7),
        (b"HTTPClient:Arch:00016:UNDI:003000", 16),
        (b"PXEClient", 0),
        (b"PXEClient:FOO", 0),
        (b"HTTPClient", None),
        (b"PXEClient:Arch:00250:UNDI:003000", None),
    ],
)
def test_P12_option_60_names_the_architecture_where_93_is_absent(vendor_class: bytes, code: int | None) -> None:
    assert asked(discover({93: b"", 60: vendor_class})).arch is ARCHES.get(-1 if code is None else code)


def test_P12_option_93_outranks_the_class_that_ipxe_repeats() -> None:
    """iPXE of 2025 sends the option 60 of our own answer back (FIRMWARE 3)."""
    assert asked(discover({93: b"\x00\x0b", 60: b"PXEClient"})).arch is ARCHES[11]


@pytest.mark.parametrize("code", [7, 9])
def test_P13_both_numbers_mean_x64(code: int) -> None:
    arch = asked(discover({93: struct.pack("!H", code)})).arch
    assert arch is not None
    assert (arch.cpu, arch.is_uefi) == ("x86_64", True)


def test_P14_a_machine_identifier_is_repeated() -> None:
    assert (97, UUID_OPTION) in raw_options(answer(discover({97: UUID_OPTION})))


@pytest.mark.parametrize("value", [b"", b"\x00", b"\x00" * 16, b"\x00" * 18, b"\x01" + b"7" * 16])
def test_P14_another_length_or_type_is_accepted_not_repeated_and_no_identity(value: bytes) -> None:
    data = discover({97: value})
    assert asked(data).uuid == ""
    assert 97 not in dict(raw_options(answer(data)))


@pytest.mark.parametrize("junk", [b"\x00" * 17, b"\x00" + b"\xff" * 16])
def test_P14_junk_is_repeated_but_no_identity(junk: bytes) -> None:
    data = discover({97: junk})
    assert asked(data).uuid == ""
    assert (97, junk) in raw_options(answer(data))


def test_P15_the_first_three_fields_are_little_endian() -> None:
    assert asked(discover({97: UUID_OPTION})).uuid == UUID
    capture = recorded(GOLDEN / "dhcp" / "uuid-uefi.pcap")
    assert asked(next(capture).datagram.payload).uuid == UUID


def test_P16_option_94_may_be_missing() -> None:
    assert 94 not in dhcp.parse(discover()).options
    assert asked(discover()).arch == ARCHES[7]


def test_P17_what_pxe_clients_ask_for_and_nobody_sends_is_not_sent() -> None:
    """edk2 and iPXE ask for the vendor options 128 to 135."""
    question = next(recorded(GOLDEN / "dhcp" / "edk2-pxe-x64.pcap")).datagram.payload
    assert set(range(128, 136)) <= set(dhcp.parse(question).options[55])
    assert not set(range(128, 136)) & set(dict(raw_options(answer(question))))


@pytest.mark.parametrize("user_class", [b"iPXE", b"\x04iPXE", b"\x03foo\x04iPXE"])
def test_I1_ipxe_is_known_by_its_user_class(user_class: bytes) -> None:
    assert asked(discover({77: user_class})).stage is Stage.IPXE


@pytest.mark.parametrize("user_class", [b"", b"PXE", b"\x03foo", b"\x09iPXE", b"\x00iPXE"])
def test_I1_other_user_classes_are_firmware(user_class: bytes) -> None:
    assert asked(discover({77: user_class})).stage is Stage.FIRMWARE


def test_I2_option_175_says_what_ipxe_can_do() -> None:
    found = asked(discover({175: IPXE_FEATURES}))
    assert found.stage is Stage.IPXE
    assert found.features == Feature.HTTP | Feature.BZIMAGE | Feature.DNS


@pytest.mark.parametrize("value", [b"\x13", b"\x13\x05\x01", b"\x13\x01\x00", b"\xff\x13\x01\x01"])
def test_I2_broken_or_zero_features_are_none(value: bytes) -> None:
    found = asked(discover({175: value}))
    assert (found.stage, found.features) == (Stage.IPXE, Feature.NONE)


@pytest.mark.parametrize(
    ("capture", "features"),
    [
        (
            "ipxe-rom-bios",
            Feature.HTTP | Feature.DNS | Feature.TFTP | Feature.BZIMAGE | Feature.PXE | Feature.MENU,
        ),
        ("edk2-pxe-x64", Feature.HTTP | Feature.DNS | Feature.TFTP | Feature.EFI | Feature.MENU),
    ],
)
def test_I2_I3_real_builds_say_enough_to_judge_them(capture: str, features: Feature) -> None:
    asks = (ask(one.datagram.payload) for one in recorded(GOLDEN / "dhcp" / f"{capture}.pcap"))
    assert next(found for found in asks if found and found.stage is Stage.IPXE).features == features


def test_I6_a_proxy_answer_to_ipxe_needs_no_4011() -> None:
    """60=PXEClient, siaddr and a file name in one offer, and the priority that policy adds."""
    built = answer(discover({77: b"iPXE"}), reply(f"http://{SERVER}/boot.ipxe", (175, b"\x01\x01\x01")))
    offer = dhcp.parse(built)
    assert offer.siaddr != bytes(4)
    assert (offer.vendor_class, offer.boot_file) == ("PXEClient", "http://10.77.0.2/boot.ipxe")
    assert offer.options[175] == b"\x01\x01\x01"


HTTP_X64 = {60: b"HTTPClient:Arch:00016:UNDI:003000", 93: b"\x00\x10"}


@pytest.mark.parametrize("code", [15, 16, 18, 19, 20])
def test_H1_http_clients_ask_by_class_and_architecture(code: int) -> None:
    arch = asked(discover({60: b"HTTPClient:Arch:%05d:UNDI:003000" % code, 93: struct.pack("!H", code)})).arch
    assert arch is ARCHES[code]
    assert arch.is_http


def test_H1_H2_H3_an_http_offer_carries_class_and_url_and_no_address() -> None:
    says = DhcpReply(
        message_type=2, next_server=SERVER, file=f"http://{SERVER}/a.efi", options=((60, b"HTTPClient"),)
    )
    offer = dhcp.parse(answer(discover(HTTP_X64), says))
    assert offer.vendor_class == "HTTPClient"
    assert offer.boot_file == "http://10.77.0.2/a.efi"
    assert offer.yiaddr == bytes(4)


def test_H5_http_clients_have_no_4011() -> None:
    assert refused(request(HTTP_X64), Door.PXE) == "http_on_4011"


def test_H11_a_url_of_254_bytes_is_one_option() -> None:
    url = f"http://{SERVER}/".ljust(254, "x")
    assert (67, url.encode() + b"\0") in raw_options(answer(discover(HTTP_X64), reply(url)))


@pytest.mark.parametrize("flags", [0, 0x8000])
def test_R1_relayed_questions_are_answered_to_the_relay(flags: int) -> None:
    relayed = packet(giaddr=b"\x0a\x01\x02\x03", flags=flags, ciaddr=b"\x0a\x01\x02\x09")
    assert dhcp.reply_address(relayed, Door.DHCP, ("10.1.2.3", 67)) == ("10.1.2.3", 67)


@pytest.mark.parametrize("agent", [b"\x01\x04eth1\x02\x06\x00\x11\x22\x33\x44\x55", b"", b"\x01", bytes(100)])
def test_R2_the_relays_own_option_comes_back_unchanged_and_last(agent: bytes) -> None:
    data = discover()[:240] + b"\x35\x01\x01" + bytes((82, len(agent))) + agent + b"\x3c\x09PXEClient\xff"
    assert raw_options(answer(data))[-2:] == [(82, agent), (255, b"")]


def test_R2_a_relay_option_too_large_to_repeat_is_refused() -> None:
    with pytest.raises(RefusedError):
        answer(discover({82: bytes(400)}))


def test_an_ask_says_who_where_and_since_when() -> None:
    found = asked(discover({97: UUID_OPTION}, xid=0x01020304, secs=28))
    assert found == Ask(
        door=Door.DHCP,
        mac=Mac.parse("52:54:00:77:00:10"),
        stage=Stage.FIRMWARE,
        server=SERVER,
        arch=ARCHES[7],
        uuid=UUID,
        xid=0x01020304,
        secs=28,
        interface="eth0",
    )


def test_a_template_serves_many_machines() -> None:
    template = dhcp.Template(reply("a.efi"), SERVER)
    for number in range(3):
        question = packet({97: UUID_OPTION if number else b""}, xid=number, mac=MAC[:5] + bytes((number,)))
        assert template.fill(question) == dhcp.build_reply(question, reply("a.efi"), SERVER)
        assert dhcp.parse(template.fill(question)).mac == question.mac
