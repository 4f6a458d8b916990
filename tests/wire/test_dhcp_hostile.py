"""Whatever bytes come: a packet or WireError, and nothing that is done with a packet fails on what is in it."""

from __future__ import annotations

from contextlib import suppress

from dhcp_packets import GOLDEN, SERVER, recorded, reply
from hypothesis import given
from hypothesis import strategies as st

from bootstrapd.errors import RefusedError, WireError
from bootstrapd.model import Door
from bootstrapd.wire import dhcp, frame
from bootstrapd.wire.dhcp_options import IPXE_OPTIONS, OPTIONS, PXE_OPTIONS, RELAY_OPTIONS
from bootstrapd.wire.dhcp_packet import parse_options
from bootstrapd.wire.dhcp_text import FORMATS, NESTED, describe_option
from bootstrapd.wire.pxe import Options

RECORDED = [one.datagram.payload for pcap in sorted((GOLDEN / "dhcp").glob("*.pcap")) for one in recorded(pcap)]
HEADER = RECORDED[0][:240]
ANSWERS = dhcp.Template(reply("a.efi", (43, b"\x06\x01\x08\xff")), SERVER)


def use(data: bytes) -> None:
    """All that the appliance does with a packet, at each door."""
    try:
        packet = dhcp.parse(data)
    except WireError:
        return
    assert all(isinstance(part, str) for field in dhcp.describe(packet) for part in field)
    assert dhcp.parse(dhcp.build(packet)).options == {c: v for c, v in packet.options.items() if c != 52}
    for door in (Door.DHCP, Door.PXE):
        ask = dhcp.read_ask(packet, door, SERVER, "eth0", ("10.0.0.9", 4011))
        assert bool(ask) is not bool(dhcp.refusal(packet, door, SERVER))
        dhcp.reply_address(packet, door, ("10.0.0.9", 4011))
    with suppress(RefusedError):
        answer = ANSWERS.fill(packet)
        assert 300 <= len(answer) <= 1472
        assert dhcp.parse(answer).xid == packet.xid


@given(st.binary(max_size=1500))
def test_any_bytes(data: bytes) -> None:
    use(data)


@given(st.binary(max_size=600))
def test_any_options(data: bytes) -> None:
    use(HEADER + data)


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A recorded packet with a few bytes changed, cut off, doubled or put in."""
    data = bytearray(draw(st.sampled_from(RECORDED)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data) - 1))
        match draw(st.sampled_from(("set", "cut", "double", "insert"))):
            case "set":
                data[at] = draw(st.integers(0, 255))
            case "cut":
                del data[max(at, 1) :]
            case "double":
                data[at:at] = data[at : at + draw(st.integers(1, 64))]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=16))
    return bytes(data)


@given(mutations())
def test_mutations_of_real_packets(data: bytes) -> None:
    use(data)


@given(
    st.dictionaries(
        st.integers(1, 254).filter(lambda code: code != 52),
        st.binary(max_size=300),
        max_size=20,
    )
)
def test_options_come_back_as_they_were_given(options: dict[int, bytes]) -> None:
    packet = dhcp.Packet(1, options=Options(options))
    assert dhcp.parse(dhcp.build(packet)).options == options


@given(st.sampled_from(sorted(OPTIONS)), st.binary(max_size=300))
def test_any_value_of_any_option_has_a_text(code: int, value: bytes) -> None:
    for name, text in describe_option(code, value):
        assert name.startswith(str(code))
        assert isinstance(text, str)


def test_every_row_has_a_format() -> None:
    for table in (OPTIONS, PXE_OPTIONS, RELAY_OPTIONS, IPXE_OPTIONS):
        for code, row in table.items():
            assert row.code == code
            assert row.format in FORMATS or row.format in NESTED
            assert row.source


@given(st.binary(max_size=200))
def test_any_frame(data: bytes) -> None:
    with suppress(WireError):
        datagram = frame.parse(data)
        assert len(datagram.payload) <= len(data)


def test_a_packet_of_the_largest_size_is_read_at_once() -> None:
    """2,000 empty options: no work that grows with the square of the packet."""
    assert len(parse_options(b"".join(bytes((code % 254 + 1, 0)) for code in range(2000)))) == 254
