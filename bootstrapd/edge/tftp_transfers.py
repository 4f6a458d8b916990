"""The TFTP transfers under way: their limits, their clock, and the loop that is the server's speed.

Transfers' sockets are watched by an epoll of their own, which asyncio sees as one more descriptor: a handle of
asyncio's per packet would cost as much as all else that Python does for it. For the usual ACK nothing happens
but a read, a comparison and a write.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
from collections import Counter
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from bootstrapd.edge.tftp_files import Content
from bootstrapd.edge.tftp_log import Voice, log
from bootstrapd.edge.tftp_ports import OwnPort, Peer, SharedPort
from bootstrapd.errors import EdgeError, WireError
from bootstrapd.model import FileAsk
from bootstrapd.wire import tftp
from bootstrapd.wire.tftp import Error
from bootstrapd.wire.tftp_blocks import Run
from bootstrapd.wire.tftp_transfer import Outcome, Transfer

Finished = Callable[[FileAsk, str], None]

_BATCH: Final = 64
_TURN_S: Final = 0.004  # then it is the turn of the loop's other work
_SWEEP_S: Final = 0.1
_READ_BYTES: Final = 128  # an ACK, or an ERROR with the beginning of its text

_EXPECTED: Final = frozenset((Outcome.DONE, Outcome.PROBE))


class Limits(Struct, frozen=True, kw_only=True):
    """What clients may cost. `max_windowsize` 1 turns windows off."""

    max_blksize: int = 1468
    max_windowsize: int = 64
    max_transfers: int = 512
    max_transfers_per_client: int = 16


class Channel:
    """A transfer with its port and its content."""

    __slots__ = ("ask", "content", "port", "request", "transfer")

    def __init__(
        self,
        ask: FileAsk,
        request: bytes,
        content: Content,
        port: OwnPort | SharedPort,
        transfer: Transfer,
    ) -> None:
        self.ask = ask
        self.request = request
        self.content = content
        self.port = port
        self.transfer = transfer


class Transfers:
    """All transfers under way, by the client's address and port."""

    def __init__(
        self,
        counters: Counter[str],
        finished: Finished,
        limits: Limits,
        clock: Callable[[], float],
        voice: Voice,
    ) -> None:
        self._clock = clock
        self._voice = voice
        self._counters = counters
        self._finished = finished
        self._limits = limits
        self._channels: dict[Peer, Channel] = {}
        self._by_fd: list[Channel | None] = []
        self._unanswered: dict[Peer, Channel] = {}  # the oldest first; some have been answered since
        self._per_client: Counter[str] = Counter()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._epoll = select.epoll()
        self._loop.add_reader(self._epoll.fileno(), self._drain)

    def close(self) -> None:
        """Ends every transfer where it is."""
        if self._timer:
            self._timer.cancel()
        self._loop.remove_reader(self._epoll.fileno())
        for channel in list(self._channels.values()):
            self.end(channel, Outcome.FAILED)
        self._epoll.close()

    def __len__(self) -> int:
        return len(self._channels)

    def find(self, peer: Peer) -> Channel | None:
        return self._channels.get(peer)

    def make_room(self, client: str) -> bool:
        """Whether one more may begin; the oldest one whose client may not exist goes, when that helps."""
        if self._per_client[client] >= self._limits.max_transfers_per_client:
            return False
        return len(self._channels) < self._limits.max_transfers or self._crowd_out()

    def _crowd_out(self) -> bool:
        while self._unanswered:
            channel = self._unanswered.pop(next(iter(self._unanswered)))
            if not channel.transfer.was_answered:
                self._counters["tftp.crowded_out"] += 1
                self.end(channel, Outcome.TIMEOUT)
                return True
        return False

    def begin(self, channel: Channel) -> None:
        """Sends the first packet, and answers what comes of it."""
        port = channel.port
        if port.fd >= 0:
            self._epoll.register(port.fd, select.EPOLLIN)
            self._by_fd.extend([None] * (port.fd + 1 - len(self._by_fd)))
            self._by_fd[port.fd] = channel
        self._channels[port.peer] = self._unanswered[port.peer] = channel
        self._per_client[port.peer[0]] += 1
        if self._timer is None:
            self._timer = self._loop.call_later(_SWEEP_S, self._sweep)
        self._act(channel, channel.transfer.start)

    def repeat(self, channel: Channel) -> None:
        """The client asked again."""
        self._act(channel, channel.transfer.repeat)

    def received(self, channel: Channel, datagram: bytes) -> None:
        """A datagram of a client that shares the listener's port."""
        self._act(channel, channel.transfer.receive, datagram, self._clock())

    def _drain(self) -> None:
        """Answers what has arrived, batch by batch, for one turn at most."""
        read, write = os.read, os.write
        channels, poll, clock = self._by_fd, self._epoll.poll, self._clock
        until = clock() + _TURN_S
        now = 0.0
        while now < until and (events := poll(0, _BATCH)):
            now = clock()
            for fd, _ in events:
                channel = channels[fd]
                if channel is None:
                    continue  # ended by an event before this one
                transfer = channel.transfer
                try:
                    datagram = read(fd, _READ_BYTES)
                    lane, sent = transfer.lane, transfer.sent
                    if lane is not None and datagram == lane.acks[sent]:
                        # `next_run` in place: its call would be a tenth of what Python does here
                        transfer.sent = sent + 1
                        transfer.sent_at = now
                        write(fd, lane.packets[sent])
                        continue
                    run = transfer.next_run(datagram, now)
                    if run is not None and channel.port.takes_runs:
                        write(fd, run)
                        continue
                    channel.port.send(transfer.receive(datagram, now) if run is None else run)
                except Exception as error:  # noqa: BLE001 - told apart, counted and logged there
                    self._trouble(channel, error)
                if transfer.outcome:
                    self.end(channel, transfer.outcome)

    def _act(self, channel: Channel, act: Callable[..., Run], *given: object) -> None:
        try:
            channel.port.send(act(*given))
        except Exception as error:  # noqa: BLE001 - told apart, counted and logged there
            self._trouble(channel, error)
        if channel.transfer.outcome:
            self.end(channel, channel.transfer.outcome)

    def _trouble(self, channel: Channel, error: Exception) -> None:
        """What one datagram can do wrong ends its own transfer at most. What was not sent counts as lost."""
        match error:
            case BlockingIOError():
                self._counters["tftp.blocked"] += 1
            case WireError():
                self._counters["tftp.refused.malformed"] += 1
            case ConnectionRefusedError():
                channel.transfer.give_up(Outcome.GONE)
            case OSError():
                self._counters["tftp.socket_errors"] += 1
                log.debug("tftp.socket", client=channel.ask.client, reason=os.strerror(error.errno or 0))
            case EdgeError():
                self._voice.warning("tftp.failed", path=channel.ask.path, reason=str(error))
                self._fail(channel, "the file changed or cannot be read")
            case _:
                self._voice.bug(error, client=channel.ask.client, path=channel.ask.path)
                self._fail(channel, "internal error")

    def _fail(self, channel: Channel, text: str) -> None:
        channel.transfer.outcome = Outcome.FAILED
        with contextlib.suppress(OSError):
            channel.port.send(tftp.build(Error(tftp.UNDEFINED, text)))

    def _sweep(self) -> None:
        """Wakes the transfers whose client has been silent."""
        now = self._clock()
        for channel in list(self._channels.values()):
            if channel.transfer.next_deadline() <= now:
                self._act(channel, channel.transfer.deadline_reached, now)
        self._timer = self._loop.call_later(_SWEEP_S, self._sweep) if self._channels else None

    def end(self, channel: Channel, outcome: Outcome) -> None:
        """The transfer is over: gives everything back and says so."""
        port, ask, transfer = channel.port, channel.ask, channel.transfer
        del self._channels[port.peer]
        self._unanswered.pop(port.peer, None)
        self._per_client[port.peer[0]] -= 1
        if not self._per_client[port.peer[0]]:
            del self._per_client[port.peer[0]]
        if port.fd >= 0:
            self._by_fd[port.fd] = None
            self._epoll.unregister(port.fd)
        port.close()
        channel.content.close()
        self._counters[f"tftp.{outcome}"] += 1
        self._counters["tftp.bytes"] += transfer.acked_bytes
        self._counters["tftp.retransmit"] += transfer.retransmits
        if outcome not in _EXPECTED:
            said = transfer.stopped_by.text if transfer.stopped_by else ""
            log.debug("tftp.ended", client=ask.client, path=ask.path, outcome=str(outcome), said=said)
        try:
            self._finished(ask, str(outcome))
        except Exception as error:  # noqa: BLE001 - whoever listens must not stop the server
            self._voice.bug(error, client=ask.client, path=ask.path)
