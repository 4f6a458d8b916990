"""From the journal into the stream: in order for each aggregate, many of them at once, nothing twice.

One connection long. Before the first event of an aggregate its last message in the stream is read: what the
journal has up to there is in the stream already, whatever was heard of it, and however long ago that was.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import Final, NamedTuple, Protocol

import structlog

from bootstrapd.edge.journal_keep import Position
from bootstrapd.edge.outbox import Outbox
from bootstrapd.model import AnyEvent
from bootstrapd.wire import envelope, infrastructure
from bootstrapd.wire.envelope import Message

log = structlog.get_logger(__name__)

TAILS: Final = 10_000
AT_ONCE: Final = 32  # publishes in flight: the loop has machines to answer in between

Rows = list[tuple[int, AnyEvent]]
Aggregate = tuple[str, str]


class Last(NamedTuple):
    """The last message of an aggregate in the stream: its number in the journal that sent it, and its event."""

    sequence: int
    event_id: str


class StreamLike(Protocol):
    """The stream that takes our events, and what it held when it was opened."""

    made: str  # when: another one is another stream
    last: int  # the number of its last message, kept up to date
    inventory: frozenset[str]  # subjects of the CIM's inventory that somebody's stream takes

    async def publish(self, message: Message) -> None: ...

    async def last_of(self, subjects: str) -> Last | None: ...

    def takes(self, message: Message) -> bool:
        """Is it small enough for the server?"""
        ...


class Drain:
    """`run` publishes until it is cancelled, or something fails."""

    def __init__(
        self, outbox: Outbox, stream: StreamLike, counters: Counter[str], *, prefix: str, site: str
    ) -> None:
        self._outbox = outbox
        self._stream = stream
        self._counters = counters
        self._prefix = prefix
        self._site = site
        self._tails: dict[Aggregate, Last] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        at = self._begin()
        while True:
            await self._outbox.more(at)
            await self._outbox.calm()
            rows = await self._outbox.page(at)
            at = await self._publish(rows)

    def _begin(self) -> int:
        """Where the last connection ended; the journal's start, when this stream does not go up to there."""
        position = self._outbox.position
        if self._stream.made == position.stream and self._stream.last >= position.last:
            return position.sequence
        if position.sequence:
            log.warning("the stream is another one or lost its end: what it lacks is published again")
        self._outbox.move(Position(0, self._stream.made, self._stream.last))
        return 0

    async def _publish(self, rows: Rows) -> int:
        """One page. Returns its last number; what failed is raised once the position says how far it came."""
        groups: defaultdict[Aggregate, Rows] = defaultdict(list)
        for sequence, event in rows:
            if not isinstance(event, envelope.PRIVATE):
                groups[envelope.aggregate(event)].append((sequence, event))
        missing: set[int] = {sequence for group in groups.values() for sequence, _ in group}
        tasks = [self._aggregate(key, group, missing) for key, group in groups.items()]
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        reached = min(missing) - 1 if missing else rows[-1][0]
        self._outbox.move(Position(reached, self._stream.made, self._stream.last))
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return reached

    async def _aggregate(self, key: Aggregate, rows: Rows, missing: set[int]) -> None:
        async with self._slots:
            await self._in_order(key, rows, missing)

    async def _in_order(self, key: Aggregate, rows: Rows, missing: set[int]) -> None:
        last = self._tails.get(key) or await self._tail(key, rows[0][0])
        for sequence, event in rows:
            if sequence > last.sequence:
                await self._tell(sequence, event, last.event_id)
                last = Last(sequence, event.id)
            missing.discard(sequence)
        if len(self._tails) >= TAILS:
            self._tails.clear()
        self._tails[key] = last

    async def _tail(self, key: Aggregate, first: int) -> Last:
        """What the stream has of it, in the numbers of this journal."""
        found = await self._stream.last_of(envelope.subjects_of(*key, self._prefix))
        if found is None or found.sequence < first:
            return found or Last(0, "")
        number = await self._outbox.number_of(found.event_id)
        if not number:
            log.warning("the stream has events that this journal does not", aggregate=key[1])
        return Last(number, found.event_id)

    async def _tell(self, sequence: int, event: AnyEvent, before: str) -> None:
        for message in infrastructure.messages(event, sequence, site=self._site):
            if message.subject in self._stream.inventory and self._stream.takes(message):
                await self._stream.publish(message)
        await self._stream.publish(self._message(sequence, event, before))
        self._counters["nats.published"] += 1

    def _message(self, sequence: int, event: AnyEvent, before: str) -> Message:
        message = envelope.build(event, sequence, prefix=self._prefix, site=self._site, before=before)
        if message is not None and not self._stream.takes(message):
            self._counters["nats.left_out"] += 1
            message = envelope.build(
                event, sequence, prefix=self._prefix, site=self._site, before=before, is_bare=True
            )
        assert message is not None  # private ones are not in any group
        return message
