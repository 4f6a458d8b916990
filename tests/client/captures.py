"""Recorded conversations as answers: what a firmware asked, what came back, what it fetched then.

The files in tests/golden/answers are recordings of QEMU boots (docs: FIRMWARE.md 4), cut down to DHCP, 4011
and the first request for a file.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw
from scapy.utils import PcapReader

from bootstrapd.client import answers, decide, packets, personas, steps
from bootstrapd.client.answers import Answer
from bootstrapd.client.personas import Persona
from bootstrapd.client.rules import Talk
from bootstrapd.model import Mac

GOLDEN = Path(__file__).parent.parent / "golden" / "answers"
MAC = Mac.parse("52:54:00:77:00:10")
FIRMWARES = {"edk2": personas.edk2_pxe(7), "ipxe": personas.ipxe_rom(), "http": personas.edk2_http(16)}
PXE_CLIENT = (60, b"PXEClient")
HTTP_CLIENT = (60, b"HTTPClient")
TAKE_THIS = (43, b"\x06\x01\x08\xff")


class Recording(Struct):
    """`questions` and `requests` are BOOTP payloads; answers count from the first question of their port."""

    name: str
    questions: list[tuple[float, bytes]]
    requests: list[tuple[float, bytes]]
    offers: list[Answer]
    replies: list[Answer]
    fetched: tuple[str, str, float] | None = None  # server, file or path, seconds after the first question

    @property
    def persona(self) -> Persona:
        return FIRMWARES[self.name.split("_")[0]]

    def talk(self) -> Talk:
        """The conversation as `decide` has it: what was asked on 4011, and how it ended."""
        step = decide.after_offers(self.persona, self.offers)
        asked = []
        while isinstance(step, steps.AskBootServer):
            asked.append(step)
            step = decide.after_boot_server(self.persona, step, self.replies)
        return Talk(
            persona=self.persona,
            mac=MAC,
            offers=tuple(self.offers),
            asked=tuple(asked),
            replies=tuple(self.replies) if asked else (),
            step=step,
        )


def load(name: str) -> Recording:
    return read(GOLDEN / f"{name}.pcap")


def read(path: Path) -> Recording:
    recording = Recording(path.stem, [], [], [], [])
    with PcapReader(str(path)) as frames:
        for frame in frames:
            if UDP in frame or TCP in frame:
                _add(recording, frame)
    return recording


def _add(recording: Recording, frame: Packet) -> None:
    at = float(frame.time)
    payload = bytes(frame[UDP].payload if UDP in frame else frame[TCP].payload)
    port = frame[UDP].dport if UDP in frame else frame[TCP].dport
    start = recording.questions[0][0] if recording.questions else at
    match port:
        case 67:
            recording.questions.append((at, payload))
        case 4011 if payload[0] == 1:
            recording.requests.append((at, payload))
        case 68 | 4011:
            _add_answer(recording, bytes(frame), at, start)
        case 69 if recording.fetched is None:
            recording.fetched = (frame[IP].dst, payload[2:].split(b"\0")[0].decode(), at - start)
        case 80 if recording.fetched is None:
            recording.fetched = (frame[IP].dst, payload.split(b" ")[1].decode(), at - start)


def _add_answer(recording: Recording, frame: bytes, at: float, start: float) -> None:
    is_offer = not recording.requests
    answer = answers.read(frame, at - (start if is_offer else recording.requests[0][0]))
    if answer is not None:
        (recording.offers if is_offer else recording.replies).append(answer)


def frame(
    *options: tuple[int, bytes],
    kind: int = 2,
    source: str = "10.77.0.2",
    source_port: int = 67,
    target: str = "255.255.255.255",
    target_port: int = 68,
    xid: int = 7,
    flags: int = 0x8000,
    yiaddr: str = "0.0.0.0",
    siaddr: str = "10.77.0.2",
    file: bytes = b"",
    server_id: str | None = "",
    pad_to: int = 300,
) -> bytes:
    """An answer as a server sends it, as an Ethernet frame; `server_id` "" means `source`, None means none."""
    identity = [] if server_id is None else [(54, bytes(map(int, (server_id or source).split("."))))]
    everything: Sequence[tuple[int, bytes]] = [(53, bytes([kind])), *identity, *options]
    payload = bytearray(packets.bootp((), MAC, xid, packets.NO_UUID, flags=flags, secs=0))[:236]
    payload[0] = 2
    payload[16:20] = bytes(map(int, yiaddr.split(".")))
    payload[20:24] = bytes(map(int, siaddr.split(".")))
    payload[108 : 108 + len(file)] = file
    payload += (
        packets.COOKIE + b"".join(bytes((code, len(value))) + value for code, value in everything) + b"\xff"
    )
    payload += bytes(max(pad_to - len(payload), 0))
    ether = Ether(src="02:77:00:00:00:02", dst="ff:ff:ff:ff:ff:ff")
    ip = IP(src=source, dst=target) / UDP(sport=source_port, dport=target_port)
    return bytes(ether / ip / Raw(bytes(payload)))


def answer(*options: tuple[int, bytes], at_s: float = 0.01, **fields: object) -> Answer:
    found = answers.read(frame(*options, **fields), at_s)  # type: ignore[arg-type]
    assert found is not None
    return found


def site(
    yiaddr: str = "10.77.0.150", source: str = "10.77.0.1", at_s: float = 0.005, **fields: object
) -> Answer:
    """The site's ordinary DHCP server: an address, nothing about booting."""
    lease = ((51, b"\0\0\x0e\x10"), (1, b"\xff\xff\xff\0"))
    return answer(*lease, at_s=at_s, source=source, yiaddr=yiaddr, siaddr="0.0.0.0", **fields)
