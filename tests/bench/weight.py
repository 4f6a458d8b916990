"""What the appliance weighs after work: `rss_mb` after asks from its hosts and 100,000 MACs nobody knows."""

from __future__ import annotations

import socket
import struct
import time
from typing import Final

from tests.bench.appliance import Serving, mac_of, serving
from tests.bench.rows import Row
from tests.bench.start import peer_weight_mb

PORTS: Final = ("--dhcp-port", "16067", "--pxe-port", "14011", "--tftp-port", "16069", "--http-port", "18080")
STRANGERS: Final = 100_000
CHUNK: Final = 200


def measure() -> dict[str, Row]:
    """Resident memory, beside dnsmasq's with as many hosts at rest."""
    with serving("lo", PORTS) as appliance:
        flood(appliance)
        return {"rss_mb": Row(appliance.rss_mb(), peer_weight_mb(), "dnsmasq at rest", "MB")}


def discover(mac: bytes, xid: int) -> bytes:
    """A UEFI DISCOVER."""
    header = struct.pack(
        "!4BIHH16x16s192x4s", 1, 1, 6, 0, xid, 0, 0x8000, mac.ljust(16, b"\0"), b"\x63\x82\x53\x63"
    )
    options = b"\x35\x01\x01\x39\x02\x05\xc0\x5d\x02\x00\x07\x5e\x03\x01\x03\x00"
    options += b"\x3c\x20PXEClient:Arch:00007:UNDI:003000"
    return header + options + b"\xff"


def flood(appliance: Serving) -> None:
    """Each of the hosts once, then strangers, no faster than they are heard."""
    packets = [discover(bytes.fromhex(mac_of(number).replace(":", "")), number) for number in range(1000)]
    packets += [discover(b"\x02\xaa" + number.to_bytes(4, "big"), number) for number in range(STRANGERS)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", 16067))
        for at in range(0, len(packets), CHUNK):
            for packet in packets[at : at + CHUNK]:
                sender.send(packet)
            wait_until_heard(appliance, min(at + CHUNK, len(packets)))


def wait_until_heard(appliance: Serving, count: int, patience_s: float = 20.0) -> None:
    """The appliance has read so many questions."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        counters = appliance.status()["counters"]
        assert isinstance(counters, dict)
        if counters.get("dhcp.discover", 0) >= count:
            return
    raise RuntimeError(f"not all {count} questions were heard")
