"""Our codec beside scapy's, which knows nothing of it: what one writes, the other reads the same way."""

from __future__ import annotations

from pathlib import Path

import pytest
from dhcp_packets import GOLDEN, SERVER, UUID_OPTION, discover, packet, recorded, reply
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.packet import Packet as ScapyPacket

from bootstrapd.wire import dhcp
from bootstrapd.wire.pxe import Options

ADDRESSES = st.binary(min_size=4, max_size=4)
# Scapy leaves the values of these as they are; it has no RFC 3396, so none is longer than 255.
CODES = [12, 15, 43, 60, 61, 67, 77, 82, 93, 94, 97, 175, 200]


def scapy_options(layer: ScapyPacket) -> dict[int, bytes]:
    """What scapy decoded, encoded anew by it: its cached bytes are not asked."""
    written = bytes(DHCP(options=list(layer[DHCP].options)))
    found, at = {}, 0
    while at < len(written) and written[at] not in (0, 255):
        found[written[at]] = written[at + 2 : at + 2 + written[at + 1]]
        at += 2 + written[at + 1]
    return found


def by_scapy(data: bytes) -> ScapyPacket:
    return BOOTP(data)


@given(
    xid=st.integers(0, 2**32 - 1),
    secs=st.integers(0, 2**16 - 1),
    flags=st.sampled_from((0, 0x8000)),
    addresses=st.tuples(ADDRESSES, ADDRESSES, ADDRESSES, ADDRESSES),
    options=st.dictionaries(st.sampled_from(CODES), st.binary(min_size=1, max_size=100), max_size=6),
)
def test_scapy_reads_what_we_write(
    xid: int,
    secs: int,
    flags: int,
    addresses: tuple[bytes, bytes, bytes, bytes],
    options: dict[int, bytes],
) -> None:
    ours = dhcp.Packet(1, xid, secs, flags, *addresses, options=Options({53: b"\x01", **options}))
    theirs = by_scapy(dhcp.build(ours))
    assert (theirs.op, theirs.xid, theirs.secs, int(theirs.flags)) == (1, xid, secs, flags)
    said = (theirs.ciaddr, theirs.yiaddr, theirs.siaddr, theirs.giaddr)
    assert said == tuple(".".join(map(str, address)) for address in addresses)
    assert scapy_options(theirs) == ours.options


@given(
    xid=st.integers(0, 2**32 - 1),
    secs=st.integers(0, 2**16 - 1),
    file=st.binary(max_size=128),
    vendor=st.binary(min_size=1, max_size=200),
    unknown=st.binary(min_size=1, max_size=200),
)
def test_we_read_what_scapy_writes(xid: int, secs: int, file: bytes, vendor: bytes, unknown: bytes) -> None:
    theirs = BOOTP(
        op=2,
        xid=xid,
        secs=secs,
        yiaddr="10.0.0.7",
        siaddr="10.0.0.1",
        chaddr=b"\x52\x54\x00\x01\x02\x03",
        file=file,
    ) / DHCP(
        options=[
            ("message-type", "offer"),
            ("server_id", "10.0.0.1"),
            ("vendor_class_id", vendor),
            (200, unknown),
            "end",
        ]
    )
    ours = dhcp.parse(bytes(theirs))
    assert (ours.op, ours.xid, ours.secs) == (2, xid, secs)
    assert (ours.yiaddr, ours.siaddr) == (b"\x0a\0\0\x07", b"\x0a\0\0\x01")
    assert ours.mac == "52:54:00:01:02:03"
    assert ours.file == file.ljust(128, b"\0")
    assert (ours.message_type, ours.server_id) == (2, "10.0.0.1")
    assert (ours.options[60], ours.options[200]) == (vendor, unknown)


@pytest.mark.parametrize("pcap", sorted((GOLDEN / "dhcp").glob("*.pcap")), ids=lambda pcap: pcap.stem)
def test_both_read_the_same_in_what_firmware_sent(pcap: Path) -> None:
    for _, datagram in recorded(pcap):
        ours, theirs = dhcp.parse(datagram.payload), by_scapy(datagram.payload)
        assert (ours.op, ours.xid, ours.secs, ours.flags) == (
            theirs.op,
            theirs.xid,
            theirs.secs,
            int(theirs.flags),
        )
        assert ours.file == theirs.file
        assert ours.chaddr == theirs.chaddr
        assert scapy_options(theirs) == ours.options


def test_scapy_reads_our_answer() -> None:
    says = reply("snponly.efi", (43, b"\x06\x01\x08\xff"))
    theirs = by_scapy(dhcp.build_reply(packet({97: UUID_OPTION}), says, SERVER))
    assert (theirs.op, theirs.siaddr, theirs.yiaddr) == (2, SERVER, "0.0.0.0")
    assert theirs.file.rstrip(b"\0") == b"snponly.efi"
    named = dict(one for one in theirs[DHCP].options if isinstance(one, tuple) and len(one) == 2)
    assert named["message-type"] == 2
    assert named["server_id"] == SERVER
    assert named["vendor_class_id"] == b"PXEClient"


def test_scapy_and_we_agree_on_a_question() -> None:
    assert scapy_options(by_scapy(discover())) == dhcp.parse(discover()).options
