"""One file on its way to one client: RFC 1350's sender with options (2347-2349) and windows (7440).

No sockets, no clock: a `Transfer` is told what arrived and what time it is, and says what to send and when it
wants to be woken. Its content is a `Packets`; what it sends are runs of those (`tftp_blocks`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from bootstrapd.errors import WireError
from bootstrapd.wire import tftp
from bootstrapd.wire.tftp import HEADER_BYTES, Ack, Agreed, Error, Oack
from bootstrapd.wire.tftp_blocks import WRAP, Lane, Packets, Run, ack

# Seconds of silence before each repetition; past the last one the client is given up.
_UNANSWERED_S: Final = (1.0, 2.0, 4.0)  # short: the address of a first packet may be forged
_SILENT_S: Final = (1.0, 2.0, 4.0, 8.0, 8.0)
_DOUBT_S: Final = 0.25  # after an ACK came twice: more than any round trip of a network that machines boot from
_LONGEST_S: Final = 3600.0


class Outcome(StrEnum):
    """How a transfer ended."""

    DONE = "done"
    PROBE = "probe"  # the size was all it wanted (T1)
    ABORTED = "aborted"  # the client sent an ERROR
    TIMEOUT = "timeout"  # the client fell silent
    UNCONFIRMED = "unconfirmed"  # everything was sent, only the last ACK is missing (RFC 1350, 6)
    GONE = "gone"  # its port is closed
    FAILED = "failed"  # our side: the file changed or could not be read


class Transfer:
    """The sender of one file, over when `outcome` is set; `stopped_by` is then the client's ERROR, if any.

    `start`, `next_run`, `receive`, `repeat` and `deadline_reached` give the run to send now, empty for nothing.
    What `Packets.run` raises passes through.

    `lane` is for a server's inner loop, to do without a call: while it is set, `lane.acks[sent]` is answered by
    sending `lane.packets[sent]`, counting `sent` on, and noting the time in `sent_at`.
    """

    __slots__ = (
        "_agreed",
        "_begun",
        "_count",
        "_doubt",
        "_packets",
        "_run",
        "_stuck",
        "_tries",
        "_under_way",
        "_window",
        "lane",
        "outcome",
        "retransmits",
        "sent",
        "sent_at",
        "stopped_by",
        "stride",
    )

    def __init__(self, packets: Packets, agreed: Agreed, now: float) -> None:
        self._packets = packets
        self._run = packets.run
        self._count = packets.count
        self._agreed = agreed
        self._window = agreed.windowsize
        self.lane: Lane | None = None
        self.sent = 0  # blocks
        self._under_way = 0  # of these, not acknowledged
        self._begun = self.sent_at = now
        # Marks of `_progress`, so that the fast paths need not reset them: at the last repetition, and when an
        # ACK came twice.
        self._stuck = self._doubt = -1
        self._tries = 0
        self.stride = packets.blksize + HEADER_BYTES
        self.outcome: Outcome | None = None
        self.stopped_by: Error | None = None
        self.retransmits = 0

    @property
    def _acknowledged(self) -> int:
        return self.sent - self._under_way

    @property
    def acked_bytes(self) -> int:
        return min(self._acknowledged * self._packets.blksize, self._packets.size)

    @property
    def was_answered(self) -> bool:
        """The client acknowledged something: its address is its own."""
        return self.sent > 0 if self._agreed.oack else self._acknowledged > 0

    @property
    def is_stuck(self) -> bool:
        """Something had to be repeated, and nothing came of it yet."""
        return self._stuck == self._progress

    @property
    def _progress(self) -> int:
        """Grows with every ACK that gets us further, and with nothing else."""
        return self._acknowledged + self.sent

    def start(self) -> Run:
        """The OACK, or DATA 1 where nothing was agreed (T5)."""
        if self._agreed.oack:
            return tftp.build(Oack(self._agreed.oack))
        self.sent = self._under_way = 1
        return self._run(0, 1)

    def next_run(self, datagram: bytes, now: float) -> Run | None:
        """The next run if `datagram` acknowledges all that was sent and there is more; None: ask `receive`.

        Does nothing that `receive` would not do, for nearly every packet there is.
        """
        sent = self.sent
        if datagram != ack(sent) or sent == self._count:
            return None
        return self._go_on(sent, now)

    def receive(self, datagram: bytes, now: float) -> Run:
        """Anything from the client. WireError for what has no place here; it changed nothing then."""
        match tftp.parse(datagram):
            case Ack(block):
                return self._take_ack(block, now)
            case Error() as error:
                self.stopped_by = error
                is_probe = self._agreed.knows_size and not self.was_answered
                self.outcome = Outcome.PROBE if is_probe else Outcome.ABORTED
                return b""
            case other:
                raise WireError(f"{type(other).__name__} from a client that reads")

    def _take_ack(self, block: int, now: float) -> Run:
        ahead = (block - self._acknowledged) & WRAP
        if ahead > self._under_way:
            return b""  # of a block long acknowledged, or never sent
        if ahead == 0 and self.sent:
            # Never answered by a repetition (Sorcerer's Apprentice, RFC 1123 4.2.3.1): that would double every
            # packet from here on. Where it means a loss, the wait for the next repetition gets short.
            self._doubt = self._progress
            return b""
        self._under_way -= ahead
        if self._acknowledged == self._count:
            self.outcome = Outcome.DONE
            return b""
        return self._go_on(self._acknowledged, now)

    def _go_on(self, first: int, now: float) -> Run:
        """The window from block `first` on, whatever of it was sent before: go-back-N (RFC 7440)."""
        end = min(first + self._window, self._count)
        self.retransmits += self.sent - first
        self.sent = end
        self._under_way = end - first
        self.sent_at = now
        if self._window == 1:
            self.lane = self._packets.lane
        return self._run(first, end)

    def repeat(self) -> Run:
        """The first packet once more: the client's request came again, so it has not seen it."""
        if self.was_answered:
            return b""
        self.retransmits += 1
        return self.start()

    def next_deadline(self) -> float:
        """When `deadline_reached` must be called, unless something arrives before."""
        progress = self._progress
        if self._is_doubted(progress):
            return self.sent_at + _DOUBT_S
        tries = self._tries if self._stuck == progress else 0
        return min(self.sent_at + self._waits[tries], self._begun + _LONGEST_S)

    def _is_doubted(self, progress: int) -> bool:
        """An ACK came twice, and nothing was repeated since: this shortens one wait, not every one."""
        return self._doubt == progress and self._stuck != progress

    @property
    def _waits(self) -> tuple[float, ...]:
        if not self.was_answered:
            return _UNANSWERED_S
        return (float(self._agreed.timeout_s),) * len(_SILENT_S) if self._agreed.timeout_s else _SILENT_S

    def deadline_reached(self, now: float) -> Run:
        """What was sent last, once more; or the end, when the client has been silent for too long."""
        if self.outcome or now < self.next_deadline():
            return b""
        progress = self._progress
        if self._stuck != progress:
            self._tries = 0
        if not self._is_doubted(progress):
            self._tries += 1
        self._stuck = progress
        if self._tries == len(self._waits) or now - self._begun >= _LONGEST_S:
            self.give_up(Outcome.TIMEOUT)
            return b""
        self.sent_at = now
        if not self.was_answered:
            return self.repeat()
        return self._go_on(self._acknowledged, now)

    def give_up(self, outcome: Outcome) -> None:
        """The client is silent or gone. With everything sent, it may well have all of it."""
        has_all = self.sent == self._count and self.was_answered
        self.outcome = Outcome.UNCONFIRMED if has_all else outcome
