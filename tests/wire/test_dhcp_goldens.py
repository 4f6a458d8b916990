"""What real firmware sent and got, read field by field, and written again byte by byte.

`REWRITE_GOLDENS=1 pytest` writes the texts anew; read the diff before you keep it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from dhcp_packets import GOLDEN, SERVER, Recorded, pcaps, recorded, reply

from bootstrapd.model import Ask, DhcpReply, Door
from bootstrapd.wire import dhcp

TEXTS = GOLDEN / "dhcp"
DOORS = {67: Door.DHCP, 4011: Door.PXE}


def answer_to(ask: Ask) -> DhcpReply:
    is_http = ask.arch is not None and ask.arch.is_http
    kind = 5 if ask.door is Door.PXE else 2
    if is_http:
        return DhcpReply(
            message_type=kind, next_server=SERVER, file=f"http://{SERVER}/a.efi", options=((60, b"HTTPClient"),)
        )
    return reply("a.efi", (43, b"\x06\x01\x08\xff"), message_type=kind)


def transcript(packets: Iterator[Recorded]) -> Iterator[str]:
    """Each packet's fields; for one sent to a server, what it asks there and our answer."""
    for number, datagram in packets:
        source, target = (datagram.source, datagram.source_port), (datagram.target, datagram.target_port)
        yield f"{number}  {source[0]}:{source[1]} > {target[0]}:{target[1]}"
        packet = dhcp.parse(datagram.payload)
        yield from (f"    {name}: {value}".rstrip() for name, value in dhcp.describe(packet))
        if packet.op == dhcp.REQUEST:
            yield from asked_and_answered(packet, DOORS[target[1]], source)
        yield ""


def asked_and_answered(packet: dhcp.Packet, door: Door, source: tuple[str, int]) -> Iterator[str]:
    ask = dhcp.read_ask(packet, door, SERVER, "eth0", source)
    if ask is None:
        yield f"  asks nothing of us: {dhcp.refusal(packet, door, SERVER)}"
        return
    yield "  asks:"
    yield from (f"    {name}: {getattr(ask, name)!s}".rstrip() for name in ask.__struct_fields__)
    host, port = dhcp.reply_address(packet, door, source)
    answer = dhcp.build_reply(packet, answer_to(ask), SERVER)
    yield f"  we answer to {host}:{port} with {len(answer)} bytes:"
    yield from (f"    {name}: {value}".rstrip() for name, value in dhcp.describe(dhcp.parse(answer)))


@pytest.mark.parametrize("pcap", sorted(TEXTS.glob("*.pcap")), ids=lambda pcap: pcap.stem)
def test_firmware_is_understood(pcap: Path) -> None:
    """D2 D3 D4 D5 D6 D7 D11 D18 P3 P4 P5 P11 P12 P14 I1 I2 H1 H5 with the packets of edk2, iPXE and udhcpc."""
    text = "\n".join(transcript(recorded(pcap)))
    golden = pcap.with_suffix(".txt")
    if os.environ.get("REWRITE_GOLDENS"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("pcap", pcaps(), ids=lambda pcap: pcap.stem)
def test_recorded_packets_are_written_as_they_were_read(pcap: Path) -> None:
    for number, datagram in recorded(pcap):
        assert dhcp.build(dhcp.parse(datagram.payload)) == datagram.payload, f"packet {number}"


@pytest.mark.parametrize("junk", [b"\0", b"\0" * 64, b"\xff\xff", b"\x35\x01\x05", b"\x0c\xff"])
def test_what_follows_the_end_is_ignored(junk: bytes) -> None:
    for _, datagram in recorded(TEXTS / "edk2-pxe-x64.pcap"):
        assert dhcp.parse(datagram.payload + junk) == dhcp.parse(datagram.payload)
