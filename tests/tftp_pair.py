"""Our TFTP sender and a reader wired together in memory, over a network that loses, doubles and reorders."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from bootstrapd.wire import tftp
from bootstrapd.wire.tftp import Ack, Agreed, Data, Error, Oack
from bootstrapd.wire.tftp_blocks import Framed, Run, datagrams
from bootstrapd.wire.tftp_transfer import Transfer

DELAY_S = 0.001
PATIENCE_S = 1.5  # the reader repeats its last packet after this
TRIES = 12


def sender(content: bytes, agreed: Agreed, now: float = 0.0) -> Transfer:
    return Transfer(
        Framed(lambda at, length: content[at : at + length], len(content), agreed.blksize), agreed, now
    )


def options(blksize: int = 512, windowsize: int = 1, timeout_s: int = 0) -> Agreed:
    """As agreed with a client that asked for just these."""
    asked = {"blksize": blksize, "windowsize": windowsize}
    return Agreed(blksize, windowsize, timeout_s, tuple((name, str(value)) for name, value in asked.items()))


def blocks(run: Run, stride: int) -> list[int]:
    """The block numbers in a run."""
    packets = [tftp.parse(bytes(datagram)) for datagram in datagrams(run, stride)]
    return [packet.block for packet in packets if isinstance(packet, Data)]


def fast_run(transfer: Transfer, datagram: bytes, now: float) -> Run | None:
    """As the server's inner loop: by the lane where there is one, else by `next_run`."""
    lane, sent = transfer.lane, transfer.sent
    if lane is None or datagram != lane.acks[sent]:
        return transfer.next_run(datagram, now)
    transfer.sent = sent + 1
    transfer.sent_at = now
    return lane.packets[sent]


@dataclass
class Reader:
    """A client by the book (RFC 1350, 7440): in order only, an ACK for a window or when a block is missing."""

    agreed: Agreed
    content: bytearray = field(default_factory=bytearray)
    block: int = 0
    in_window: int = 0
    is_done: bool = False
    is_negotiated: bool = False

    def receive(self, datagram: bytes) -> bytes:
        """What to answer, b"" for nothing."""
        match tftp.parse(datagram):
            case Oack():
                self.is_negotiated = True
                return self._ack() if self.block == 0 else b""
            case Data(block, payload):
                return self._data(block, payload)
            case Error(_, text):
                raise AssertionError(text)
            case other:
                raise AssertionError(other)

    def _data(self, block: int, payload: bytes) -> bytes:
        if block != (self.block + 1) & 0xFFFF or self.is_done:
            return self._ack()  # a gap, or one that came already: say again how far we are
        self.content += payload
        self.block += 1
        self.in_window += 1
        self.is_done = len(payload) < self.agreed.blksize
        return self._ack() if self.is_done or self.in_window == self.agreed.windowsize else b""

    def _ack(self) -> bytes:
        self.in_window = 0
        return tftp.build(Ack(self.block & 0xFFFF))

    def silence(self) -> bytes:
        """What to say when nothing has come for a while."""
        return self._ack() if self.is_negotiated or self.block else b""


Fate = Callable[[], list[float]]


def sure() -> list[float]:
    """The delays of one datagram's copies: one, at once."""
    return [DELAY_S]


@dataclass
class Pair:
    """`run` until both are done. `fate` decides for each datagram, in either direction."""

    transfer: Transfer
    reader: Reader
    fate: Fate = sure
    now: float = 0.0
    sent: list[bytes] = field(default_factory=list)
    answered: list[bytes] = field(default_factory=list)
    fast: int = 0  # datagrams that `next_run` was enough for

    def run(self, until_s: float = 600.0) -> None:
        self._under_way: list[tuple[float, int, bool, bytes]] = []
        self._serial = 0
        self._heard = 0.0
        self._silences = 0
        self._send(self.transfer.start())
        while self.transfer.outcome is None and self.now < until_s:
            self._step()

    def _step(self) -> None:
        waits = [self.transfer.next_deadline()]
        if self._silences < TRIES and not self.reader.is_done:
            waits.append(self._heard + PATIENCE_S)
        if self._under_way and self._under_way[0][0] <= min(waits):
            self.now, _, is_ours, datagram = heapq.heappop(self._under_way)
            self._deliver(datagram, is_ours=is_ours)
            return
        self.now = min(waits)
        if self.now == waits[0]:
            self._send(self.transfer.deadline_reached(self.now))
        else:
            self._silences += 1
            self._heard = self.now
            self._answer(self.reader.silence())

    def _deliver(self, datagram: bytes, *, is_ours: bool) -> None:
        if is_ours:
            self._heard = self.now
            self._silences = 0
            self._answer(self.reader.receive(datagram))
            return
        run = fast_run(self.transfer, datagram, self.now)
        self.fast += run is not None
        self._send(self.transfer.receive(datagram, self.now) if run is None else run)

    def _send(self, run: Run) -> None:
        for datagram in datagrams(run, self.transfer.stride):
            self.sent.append(bytes(datagram))
            self._travel(bytes(datagram), is_ours=True)

    def _answer(self, datagram: bytes) -> None:
        if datagram:
            self.answered.append(datagram)
            self._travel(datagram, is_ours=False)

    def _travel(self, datagram: bytes, *, is_ours: bool) -> None:
        for delay in self.fate():
            self._serial += 1
            heapq.heappush(self._under_way, (self.now + delay, self._serial, is_ours, datagram))


def dropping(numbers: set[int]) -> Fate:
    """Loses the datagrams of these numbers, counted from 0 in both directions."""
    serial = itertools.count()
    return lambda: [] if next(serial) in numbers else [DELAY_S]


def doubling(numbers: set[int]) -> Fate:
    serial = itertools.count()
    return lambda: [DELAY_S, DELAY_S * 1.5] if next(serial) in numbers else [DELAY_S]
