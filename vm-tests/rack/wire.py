"""What is said on the rack's network, live: tcpdump's packets, each kept in a file and told as a sighting."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from rack import pcap
from rack.lines import NotSeenError
from rack.network import BRIDGE, Network
from rack.process import Process

SNAP_BYTES: Final = 700  # whole DHCP packets and HTTP heads, not the bulk
_DHCP_TYPES: Final = ("?", "DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE", "INFORM")
_HTTP_ASK: Final = re.compile(rb"(GET|HEAD|POST) (\S+) HTTP/1\.[01]")


class Sighting(NamedTuple):
    at: float
    mac: str  # the machine's, whoever speaks
    what: (
        str  # "DHCP DISCOVER PXEClient", "TFTP RRQ nbp/…", "HTTP GET /boot.ipxe", "DHCP OFFER from 10.77.0.2" …
    )


class Wire:
    """A running capture."""

    def __init__(
        self, network: Network, folder: Path, on_sighting: Callable[[Sighting], None] | None = None
    ) -> None:
        self.file = folder / "wire.pcap"
        self._sightings: list[Sighting] = []
        self._news = threading.Condition()
        self._on_sighting = on_sighting
        argv = [
            "tcpdump",
            "-i",
            BRIDGE,
            "-w",
            "-",
            "-U",
            "--immediate-mode",
            "-s",
            str(SNAP_BYTES),
            "-B",
            "32768",
            "-Z",
            "root",
        ]
        self._tcpdump = Process(
            "tcpdump", argv, folder / "tcpdump.log", namespace=network.lan, separate_errors=True
        )
        self._tcpdump.lines.wait_for("listening on", 10)
        self._thread = threading.Thread(target=self._read, name="reads the wire", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._tcpdump.stop()
        self._thread.join(10)

    def seen(self, pattern: str, mac: str = "", since: float = 0.0) -> list[Sighting]:
        """The sightings so far that match, of this machine or of any."""
        with self._news:
            return [
                s
                for s in self._sightings
                if s.at >= since and mac in ("", s.mac) and re.search(pattern, s.what)
            ]

    def wait_for(
        self, pattern: str, timeout_s: float, mac: str = "", since: float = 0.0, count: int = 1
    ) -> Sighting:
        """The sighting that makes it `count`; NotSeenError after the deadline."""
        deadline = time.monotonic() + timeout_s
        with self._news:
            while len(found := self.seen(pattern, mac, since)) < count:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise NotSeenError(
                        f"{pattern!r} of {mac or 'any machine'} not seen on the wire in {timeout_s:.0f} s"
                    )
                self._news.wait(left)
        return found[count - 1]

    def _read(self) -> None:
        assert self._tcpdump.stdout is not None
        with self._tcpdump.stdout as stream, self.file.open("wb") as file:
            for raw, at, frame in pcap.records(stream):
                file.write(raw)
                datagram = pcap.decode(at, frame)
                sighting = sight(datagram) if datagram else None
                if sighting:
                    file.flush()
                    self._tell(sighting)

    def _tell(self, sighting: Sighting) -> None:
        with self._news:
            self._sightings.append(sighting)
            self._news.notify_all()
        if self._on_sighting:
            self._on_sighting(sighting)


def sight(datagram: pcap.Datagram) -> Sighting | None:
    """What this datagram says of a machine's boot; None for bulk and for other talk."""
    if datagram.protocol == pcap.TCP:
        return _sight_http(datagram)
    if datagram.target[1] in (67, 4011) or datagram.source[1] in (67, 4011):
        return _sight_dhcp(datagram)
    if datagram.target[1] == 69 and datagram.payload[:2] == b"\0\1":
        name = datagram.payload[2:].split(b"\0")[0].decode("latin-1")
        return Sighting(datagram.at, datagram.mac, f"TFTP RRQ {name}{_tsize(datagram.payload)}")
    return None


def _sight_http(datagram: pcap.Datagram) -> Sighting | None:
    ask = _HTTP_ASK.match(datagram.payload)
    if ask is None:
        return None
    return Sighting(datagram.at, datagram.mac, f"HTTP {ask[1].decode()} {ask[2].decode('latin-1')}")


def _tsize(payload: bytes) -> str:
    return " (size only)" if b"tsize\x000\0" in payload and b"windowsize" in payload else ""


def _sight_dhcp(datagram: pcap.Datagram) -> Sighting | None:
    packet = datagram.payload
    if len(packet) < 240 or packet[236:240] != b"\x63\x82\x53\x63":
        return None
    options = dhcp_options(packet)
    door = "4011" if 4011 in (datagram.target[1], datagram.source[1]) else "DHCP"
    number = int.from_bytes(options.get(53, b""), "big")
    kind = _DHCP_TYPES[number] if number < len(_DHCP_TYPES) else "?"
    if packet[0] == 2:
        what = f"{door} {kind} from {datagram.source[0]}"
    else:
        what = f"{door} {kind} {_asker(options)}".rstrip()
    return Sighting(datagram.at, packet[28:34].hex(":"), what)


def _asker(options: dict[int, bytes]) -> str:
    if b"iPXE" in options.get(77, b""):
        return "iPXE"
    return options.get(60, b"").split(b":")[0].decode("latin-1")


def dhcp_options(packet: bytes) -> dict[int, bytes]:
    """The options by number, as far as the packet was captured; the first of each."""
    options: dict[int, bytes] = {}
    at = 240
    while at + 1 < len(packet) and packet[at] != 255:
        if packet[at] == 0:
            at += 1
            continue
        size = packet[at + 1]
        options.setdefault(packet[at], packet[at + 2 : at + 2 + size])
        at += 2 + size
    return options
