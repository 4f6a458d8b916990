"""The rack's own instruments, without root: what they measure must be what happened."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import disk
import pytest
from rack import pcap, share, wire
from rack.lines import Lines, NotSeenError

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "tests" / "golden" / "boots"
CLIENT = ("10.77.0.100", 40001)
SERVER = "10.77.0.2"


def frame(protocol: int, source: tuple[str, int], target: tuple[str, int], payload: bytes) -> bytes:
    ports = struct.pack(">HH", source[1], target[1])
    header = ports + bytes(4) if protocol == pcap.UDP else ports + bytes(8) + b"\x50" + bytes(7)
    size = 20 + len(header) + len(payload)
    addresses = b"".join(bytes(map(int, end[0].split("."))) for end in (source, target))
    ip = struct.pack(">BBHHHBBH", 0x45, 0, size, 0, 0, 64, protocol, 0) + addresses
    return b"\xff" * 6 + b"\x52\x54\x00\xaa\xbb\x01" + b"\x08\x00" + ip + header + payload


def capture(path: Path, *frames: tuple[float, bytes]) -> Path:
    records = [
        struct.pack("<IIII", int(at), round(at % 1 * 1e6), len(raw), len(raw)) + raw for at, raw in frames
    ]
    path.write_bytes(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1) + b"".join(records))
    return path


def test_share_adds_up_answer_minus_ask(tmp_path: Path) -> None:
    read = frame(pcap.UDP, CLIENT, (SERVER, 69), b"\0\1snponly.efi\0octet\0")
    block = frame(pcap.UDP, (SERVER, 50000), CLIENT, b"\0\3\0\1data")
    ack = frame(pcap.UDP, CLIENT, (SERVER, 50000), b"\0\4\0\1")
    get = frame(pcap.TCP, CLIENT, (SERVER, 80), b"GET /boot.ipxe HTTP/1.1\r\nHost: x\r\n\r\n")
    bare_ack = frame(pcap.TCP, (SERVER, 80), CLIENT, b"")
    answer = frame(pcap.TCP, (SERVER, 80), CLIENT, b"HTTP/1.1 200 OK\r\n")
    file = capture(
        tmp_path / "x.pcap",
        *((1.0, read), (1.25, block), (2.0, ack), (2.5, block)),
        *((3.0, ack), (3.5, ack), (4.0, block)),  # a repeated ask counts from the first time
        *((5.0, get), (5.25, bare_ack), (5.5, answer), (6.0, answer)),
        (7.0, ack),  # the last one has no answer
    )
    measured = share.measure(file)
    assert measured.by_door == {"TFTP": (3, 1.75, 1.0), "HTTP": (1, 0.5, 0.5)}
    assert measured.seconds == 2.25
    assert share.measure(file, "10.77.0.9").seconds == 0


def test_an_absence_is_no_part_of_the_share(tmp_path: Path) -> None:
    read = frame(pcap.UDP, CLIENT, (SERVER, 69), b"\0\1snponly.efi\0octet\0")
    block = frame(pcap.UDP, (SERVER, 50000), CLIENT, b"\0\3\0\1data")
    ack = frame(pcap.UDP, CLIENT, (SERVER, 50000), b"\0\4\0\1")
    file = capture(
        tmp_path / "x.pcap",
        *((1.0, read), (1.25, block)),  # before the absence
        *(
            (1.75, read),
            (3.0, read),
            (4.5, read),
            (4.75, block),
        ),  # lost with it: counts from the repeat after it
        *((5.0, ack), (5.5, ack), (6.0, block)),  # another repeat counts from the first time
        *((7.75, ack), (8.5, block)),  # heard by one that was just coming back
    )
    measured = share.measure(file, absences=[share.Absence(2.0, 4.0), share.Absence(7.5, 8.25)])
    assert measured.by_door == {"TFTP": (4, 1.75, 1.0)}
    assert share.measure(file).by_door == {"TFTP": (4, 5.0, 3.0)}


def test_share_of_a_recorded_boot() -> None:
    """FIRMWARE 2: a UEFI PXE boot asks DHCP twice, 4011 once, then TFTP and HTTP."""
    measured = share.measure(HERE / "golden" / "uefi-pxe4.pcap")
    counts = {door: count for door, (count, _, _) in measured.by_door.items()}
    assert counts == {"DHCP": 2, "4011": 1, "TFTP": 6, "HTTP": 4}
    assert 0 < measured.seconds < 0.1


def test_sightings_of_a_recorded_boot() -> None:
    with (GOLDEN / "bios-ipxe-rom.pcap").open("rb") as stream:
        decoded = [pcap.decode(at, raw) for _, at, raw in pcap.records(stream)]
    seen = [sighting for datagram in decoded if datagram and (sighting := wire.sight(datagram))]
    assert {sighting.mac for sighting in seen} == {"52:54:00:77:00:10"}
    told = [sighting.what for sighting in seen]
    assert told[0] == "DHCP DISCOVER iPXE"
    assert "DHCP OFFER from 10.77.0.2" in told
    assert [what for what in told if what.startswith("HTTP GET")] == [
        "HTTP GET /boot.ipxe",
        "HTTP GET /vmlinuz",
        "HTTP GET /initrd.img",
    ]


def test_a_capture_cut_short_ends_where_it_is_cut(tmp_path: Path) -> None:
    file = capture(tmp_path / "x.pcap", (1.0, frame(pcap.UDP, CLIENT, (SERVER, 69), b"\0\1a\0octet\0")))
    file.write_bytes(file.read_bytes()[:-3])
    with file.open("rb") as stream:
        assert [raw for _, _, raw in pcap.records(stream) if raw] == []


def test_what_is_no_capture_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"not a capture, but long enough to be one")
    with (tmp_path / "x").open("rb") as stream, pytest.raises(pcap.NotACaptureError):
        list(pcap.records(stream))


def test_lines_are_told_as_they_come_and_paint_is_not(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    lines = Lines(os.fdopen(reader, "rb"), tmp_path / "copy", "a console")
    with os.fdopen(writer, "wb", 0) as said:
        said.write(b"\x1b[2J\x1b[01;01HBdsDxe: loading\x1b[0m\r\nlo")
        assert lines.wait_for("BdsDxe", 10).text == "BdsDxe: loading"
        said.write(b"gin: ")
        assert lines.wait_for("^login:$", 10).text == "login:"
        with pytest.raises(NotSeenError, match="not seen, in 0 s"):
            lines.wait_for("never", 0)
        with pytest.raises(NotSeenError, match="but 'BdsDxe: loading'"):
            lines.wait_for("never", 10, unless="BdsDxe")
    with pytest.raises(NotSeenError, match="it has ended"):
        lines.wait_for("never", 10)


def test_the_disks_programs_fit_where_they_stand() -> None:
    sector = disk.boot_sector()
    assert (len(sector), sector[-2:]) == (512, b"\x55\xaa")
    assert sector[0x21:].startswith(b"\r\nLOCAL DISK BOOTED (BIOS)")
    program = disk.efi_program()
    assert (program[:2], program[0x40:0x46]) == (b"MZ", b"PE\0\0\x64\x86")
    assert program[0x200 + 0x22 :].startswith(b"\r\nLOCAL DISK BOOTED (UEFI)")
