"""Recorded conversations as answers: what a firmware asked, what came back, what it fetched then."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct
from scapy.layers.inet import TCP, UDP
from scapy.utils import PcapReader

from bootstrapd.client import answers
from bootstrapd.client.answers import Answer

GOLDEN = Path(__file__).parent.parent / "golden" / "answers"
LINKTYPE_ETHERNET = 1


class Recording(Struct):
    """`questions` and `requests` are BOOTP payloads, `answers` count from the first question of their port."""

    questions: list[tuple[float, bytes]]
    requests: list[tuple[float, bytes]]
    offers: list[Answer]
    replies: list[Answer]
    fetched: tuple[str, str, float] | None  # server, file or path, seconds after the first question


def load(name: str) -> Recording:
    return read(GOLDEN / f"{name}.pcap")


def read(path: Path) -> Recording:
    recording = Recording([], [], [], [], None)
    with PcapReader(str(path)) as packets:
        for packet in packets:
            if UDP in packet or TCP in packet:
                _add(recording, packet)
    return recording


def _add(recording: Recording, packet) -> None:  # type: ignore[no-untyped-def]
    at = float(packet.time)
    payload = bytes(packet[UDP].payload if UDP in packet else packet[TCP].payload)
    port = packet[UDP].dport if UDP in packet else packet[TCP].dport
    start = recording.questions[0][0] if recording.questions else at
    match port:
        case 67:
            recording.questions.append((at, payload))
        case 4011 if payload[0] == 1:
            recording.requests.append((at, payload))
        case 68 | 4011:
            _add_answer(recording, bytes(packet), at, start)
        case 69 if recording.fetched is None:
            name = payload[2:].split(b"\0")[0].decode()
            recording.fetched = (packet["IP"].dst, name, at - start)
        case 80 if recording.fetched is None:
            recording.fetched = (packet["IP"].dst, payload.split(b" ")[1].decode(), at - start)


def _add_answer(recording: Recording, frame: bytes, at: float, start: float) -> None:
    is_offer = not recording.requests
    answer = answers.read(frame, at - (start if is_offer else recording.requests[0][0]))
    if answer is not None:
        (recording.offers if is_offer else recording.replies).append(answer)
