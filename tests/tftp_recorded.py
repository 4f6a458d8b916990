"""TFTP as real firmware spoke it, from `golden/tftp/`: datagrams in order, and whole conversations."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from scapy.layers.inet import UDP
from scapy.utils import PcapReader

GOLDEN = Path(__file__).parent / "golden" / "tftp"
SERVER_PORT = 69


class Datagram(NamedTuple):
    """`client` is the client's port; DATA is cut off after some 450 bytes by the capture."""

    client: int
    is_from_client: bool
    payload: bytes


def names() -> list[str]:
    return sorted(path.stem for path in GOLDEN.glob("*.pcap"))


def recorded(name: str) -> Iterator[Datagram]:
    """What went over the wire, in order."""
    clients: set[int] = set()
    with PcapReader(str(GOLDEN / f"{name}.pcap")) as packets:
        for packet in packets:
            udp = packet[UDP]
            if udp.dport == SERVER_PORT:
                clients.add(udp.sport)
            is_from_client = udp.sport in clients
            yield Datagram(udp.sport if is_from_client else udp.dport, is_from_client, bytes(udp.payload))


def conversations(name: str) -> Iterator[list[Datagram]]:
    """One list for each read request, which comes first. Recorded clients transfer one file after the other."""
    for _, datagrams in groupby(recorded(name), key=lambda datagram: datagram.client):
        yield list(datagrams)
