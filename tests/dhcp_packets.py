"""DHCP packets for tests: recorded ones from `golden/`, and small ones made of exactly what a test says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace
from scapy.utils import RawPcapReader

from bootstrapd.errors import WireError
from bootstrapd.model import DhcpReply
from bootstrapd.wire import frame
from bootstrapd.wire.dhcp import REQUEST, Packet, build
from bootstrapd.wire.pxe import Options

GOLDEN = Path(__file__).parent / "golden"
DHCP_PORTS = {67, 68, 4011}

MAC = bytes.fromhex("525400770010")
SERVER = "10.77.0.2"
DISCOVER = b"\x01"
REQUESTED = b"\x03"
UEFI_X64 = b"PXEClient:Arch:00007:UNDI:003000"
# As QEMU sends -uuid 00112233-4455-6677-8899-aabbccddeeff (FIRMWARE 3).
UUID = "00112233-4455-6677-8899-aabbccddeeff"
UUID_OPTION = bytes.fromhex("00" + "33221100" + "5544" + "7766" + "8899aabbccddeeff")


class Recorded(NamedTuple):
    """One recorded datagram, and its number in the capture."""

    number: int
    datagram: frame.Datagram


def recorded(pcap: Path) -> Iterator[Recorded]:
    """The DHCP packets of a capture."""
    with RawPcapReader(str(pcap)) as reader:
        frames = [data for data, _ in reader]
    for number, data in enumerate(frames, 1):
        try:
            datagram = frame.parse(data)
        except WireError:
            continue
        if datagram.target_port in DHCP_PORTS:
            yield Recorded(number, datagram)


def pcaps() -> list[Path]:
    """Every capture there is: whole boots, answers, and the DHCP goldens."""
    return sorted(GOLDEN.rglob("*.pcap"))


def packet(
    options: dict[int, bytes] | None = None, *, xid: int = 1, mac: bytes = MAC, **header: int | bytes
) -> Packet:
    """A UEFI PXE DISCOVER; `options` are added to it, and one that is b"" is left out."""
    given = {53: DISCOVER, 60: UEFI_X64, 93: b"\x00\x07", **(options or {})}
    present = {code: value for code, value in given.items() if value}
    usual = Packet(op=REQUEST, xid=xid, chaddr=mac.ljust(16, b"\0"), options=Options(present))
    return replace(usual, **header)


def discover(
    options: dict[int, bytes] | None = None, *, xid: int = 1, mac: bytes = MAC, **header: int | bytes
) -> bytes:
    return build(packet(options, xid=xid, mac=mac, **header))


def request(
    options: dict[int, bytes] | None = None, *, xid: int = 1, mac: bytes = MAC, **header: int | bytes
) -> bytes:
    """A boot server request, as it goes to port 4011."""
    return discover({53: REQUESTED, **(options or {})}, xid=xid, mac=mac, **header)


def reply(
    file: str = "nbp/52-54-00-77-00-10/snponly.efi", *options: tuple[int, bytes], message_type: int = 2
) -> DhcpReply:
    return DhcpReply(
        message_type=message_type, next_server=SERVER, file=file, options=((60, b"PXEClient"), *options)
    )


def raw_options(data: bytes) -> list[tuple[int, bytes]]:
    """The options field as it lies there, read by nothing of ours: pads as (0, b""), END last."""
    found, at = [], 240
    while data[at] != 255:
        if not data[at]:
            found.append((0, b""))
            at += 1
            continue
        found.append((data[at], data[at + 2 : at + 2 + data[at + 1]]))
        at += 2 + data[at + 1]
    return [*found, (255, b"")]
