"""What we say as a firmware, byte for byte what that firmware said."""

from __future__ import annotations

import pytest

from bootstrapd.client import decide, packets, personas
from bootstrapd.client.personas import Family, Persona
from bootstrapd.errors import ConfigError

from .captures import GOLDEN, MAC, load, read

BOOTP_XID = slice(4, 8)


def asked_by(persona: Persona, question: bytes) -> bytes:
    xid = int.from_bytes(question[BOOTP_XID], "big")
    return packets.discover(persona, MAC, xid)


UDP_PAYLOAD = 14 + 20 + 8


@pytest.mark.parametrize(
    ("persona", "recording"),
    [
        (personas.edk2_pxe(7), "edk2_01_offer_file_si_o60_o43d8_no4011"),
        (personas.edk2_http(16), "http_h01_proxy_o60_file"),
        (personas.ipxe_rom(), "ipxe_01_offer_file_si_o60_o43d8_no4011"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_discover_of_the_first_firmware(persona: Persona, recording: str) -> None:
    """I1 D11: options, their order and values, flags, secs, size, as recorded."""
    question = load(recording).questions[0][1]
    assert asked_by(persona, question)[UDP_PAYLOAD:] == question


@pytest.mark.parametrize(
    ("persona", "recording", "at"),
    [
        (personas.edk2_pxe(11), "aarch64-pxe4", 0),
        (personas.ipxe_chained(11), "aarch64-pxe4", 2),
        (personas.after(personas.edk2_http(16), "HTTPClient"), "httpboot-then-ipxe", 2),
    ],
    ids=lambda value: value if isinstance(value, (str, int)) else value.name,
)
def test_discover_of_boots(persona: Persona, recording: str, at: int) -> None:
    question = read(GOLDEN.parent / "boots" / f"{recording}.pcap").questions[at][1]
    assert asked_by(persona, question)[UDP_PAYLOAD:] == question


@pytest.mark.parametrize(
    "recording",
    [
        "edk2_03_offer_file_si_o60_no43_4011ack",
        "edk2_34_offer_menu_dnsmasq_style_type0",
        "ipxe_04_offer_nofile_o60_no43_4011ack_file",
    ],
)
def test_P3_request_to_port_4011(recording: str) -> None:
    """The REQUEST to 4011, with the menu's item in 43 and iPXE's option 54, as recorded."""
    recorded = load(recording)
    request = recorded.requests[0][1]
    asked = recorded.talk().asked[0]
    extra = decide.boot_server_extra(recorded.persona, asked)
    xid = int.from_bytes(request[BOOTP_XID], "big")
    ours = packets.boot_server_request(recorded.persona, MAC, xid, "10.77.0.150", extra=extra)
    assert ours == request


def test_frames_are_broadcasts_from_68_to_67() -> None:
    frame = packets.discover(personas.edk2_pxe(7), MAC, 1)
    assert frame[:12] == b"\xff" * 6 + MAC.octets
    assert frame[26:34] == bytes(4) + b"\xff" * 4
    assert frame[34:38] == bytes((0, 68, 0, 67))


def test_P15_a_uuid_goes_out_as_given() -> None:
    payload = packets.discover(personas.edk2_pxe(7), MAC, 1, bytes(range(16)))
    assert bytes((97, 17, 0)) + bytes(range(16)) in payload


@pytest.mark.parametrize(
    ("arch", "flags", "family", "code"),
    [
        ("uefi", {}, Family.EDK2_PXE, 7),
        ("UEFI", {}, Family.EDK2_PXE, 7),
        ("bios", {}, Family.PXE_ROM, 0),
        ("bios", {"ipxe": True}, Family.IPXE, 0),
        ("arm64", {}, Family.EDK2_PXE, 11),
        ("arm64", {"http": True}, Family.EDK2_HTTP, 19),
        ("uefi", {"http": True}, Family.EDK2_HTTP, 16),
        ("uefi", {"ipxe": True}, Family.IPXE, 7),
        ("9", {}, Family.EDK2_PXE, 9),
        ("9", {"ipxe": True}, Family.IPXE, 7),
        ("16", {}, Family.EDK2_HTTP, 16),
        ("16", {"ipxe": True}, Family.IPXE, 7),
    ],
)
def test_pick(arch: str, flags: dict[str, bool], family: Family, code: int) -> None:
    persona = personas.pick(arch, **flags)
    assert (persona.family, persona.arch) == (family, code)


@pytest.mark.parametrize(
    ("arch", "flags", "says"),
    [
        ("vax", {}, "not an architecture"),
        ("bios", {"http": True}, "only UEFI firmware boots by HTTP"),
        ("20", {}, "only UEFI firmware boots by HTTP"),
        ("uefi", {"http": True, "ipxe": True}, "one of them"),
    ],
)
def test_pick_refuses_in_a_sentence(arch: str, flags: dict[str, bool], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        personas.pick(arch, **flags)


def test_P12_ipxe_after_pxe_repeats_the_answers_class() -> None:
    loaded = personas.after(personas.edk2_pxe(7), "PXEClient:FOO")
    assert (60, b"PXEClient:FOO") in loaded.discover
    assert loaded.arch == 7
