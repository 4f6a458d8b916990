"""The appliance's own share of a boot: how long machines waited for it, from a capture.

Every ask of a machine is paired with the appliance's first answer to it, and answer minus ask is added up: DHCP
and 4011 by transaction, a TFTP read request or acknowledgement with the next packet of that transfer, an HTTP
request with the first byte of its response. The time that the network takes for the rest of a body is not ours.

While a story has the appliance away, nobody hears an ask: the absence is no part of a wait, and what was asked
before its end and is asked again counts from the repeat, whose moment is the machine's to choose.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from rack import pcap
from rack.network import APPLIANCE
from rack.pcap import Datagram, Endpoint

_HTTP_ASK: Final = re.compile(rb"(?:GET|HEAD|POST) \S+ HTTP/1\.[01]\r\n")
_BOOTS: Final = re.compile(rb"PXEClient|HTTPClient|iPXE")
_DISCOVER: Final = b"\x35\x01\x01"
_ACK: Final = 4


class Absence(NamedTuple):
    """When the appliance was gone, in Unix seconds: from its crash until it said that it serves."""

    gone: float
    back: float


class Share(NamedTuple):
    seconds: float  # in all
    by_door: dict[str, tuple[int, float, float]]  # door: answers, seconds in all, the slowest

    def __str__(self) -> str:
        doors = ", ".join(
            f"{door} {count} in {total * 1000:.0f} ms (slowest {worst * 1000:.1f})"
            for door, (count, total, worst) in sorted(self.by_door.items())
        )
        return f"{self.seconds * 1000:.0f} ms: {doors}"


class _Pairing:
    """Asks that wait for their answer, and what the answered ones took."""

    def __init__(self, absences: Sequence[Absence]) -> None:
        self._absences = absences
        self._open: dict[tuple[object, ...], float] = {}
        self.waits: dict[str, list[float]] = defaultdict(list)

    def ask(self, at: float, *key: object) -> None:
        since = self._open.setdefault(key, at)  # a repeat does not make us look faster
        if self._away(since, at):
            self._open[key] = at

    def answer(self, at: float, *key: object) -> None:
        asked = self._open.pop(key, None)
        if asked is not None:
            self.waits[str(key[0])].append(at - asked - self._away(asked, at))

    def _away(self, since: float, until: float) -> float:
        """How many seconds between the two the appliance was away."""
        return sum(max(0.0, min(until, back) - max(since, gone)) for gone, back in self._absences)


def measure(capture: Path, server: str = APPLIANCE, absences: Sequence[Absence] = ()) -> Share:
    """The share of the server at this address over the whole capture."""
    pairing = _Pairing(absences)
    with capture.open("rb") as stream:
        for _, at, frame in pcap.records(stream):
            datagram = pcap.decode(at, frame)
            if datagram is None:
                continue
            if datagram.protocol == pcap.TCP:
                _pair_http(pairing, datagram, server)
            elif {datagram.source[1], datagram.target[1]} & {67, 4011}:
                _pair_dhcp(pairing, datagram, server)
            else:
                _pair_tftp(pairing, datagram, server)
    by_door = {door: (len(waits), sum(waits), max(waits)) for door, waits in pairing.waits.items()}
    return Share(sum(total for _, total, _ in by_door.values()), by_door)


def _pair_dhcp(pairing: _Pairing, datagram: Datagram, server: str) -> None:
    packet = datagram.payload
    if len(packet) < 240:
        return
    door = "4011" if 4011 in (datagram.source[1], datagram.target[1]) else "DHCP"
    machine, xid = packet[28:34], packet[4:8]
    if packet[0] == 1:
        # Who asks for an address only does not ask us, nor does a REQUEST on port 67.
        if _BOOTS.search(packet, 240) and (door == "4011" or _DISCOVER in packet[240:]):
            pairing.ask(datagram.at, door, machine, xid)
    elif datagram.source[0] == server:
        pairing.answer(datagram.at, door, machine, xid)


def _pair_tftp(pairing: _Pairing, datagram: Datagram, server: str) -> None:
    """A transfer is known by the client's port; the server's is the same for the read request and after it."""
    opcode = int.from_bytes(datagram.payload[:2], "big")
    if datagram.source[0] == server:
        pairing.answer(datagram.at, "TFTP", datagram.target)
    elif datagram.target[0] == server and (datagram.target[1] == 69 or opcode == _ACK):
        pairing.ask(datagram.at, "TFTP", datagram.source)


def _pair_http(pairing: _Pairing, datagram: Datagram, server: str) -> None:
    client: Endpoint
    if datagram.source[0] == server and datagram.payload:
        client = datagram.target
        pairing.answer(datagram.at, "HTTP", client)
    elif datagram.target[0] == server and _HTTP_ASK.match(datagram.payload):
        client = datagram.source
        pairing.ask(datagram.at, "HTTP", client)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(f"{name}: {measure(Path(name))}")
