"""Events as server-sent events: one bounded queue a subscriber, so that a slow reader costs nobody.

A subscriber that falls `MAX_WAITING` behind is told so (`event: lost`) and let go; it asks for the state again
and subscribes anew. Tokens never pass: `TokenIssued` is not for anybody's eyes.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from bootstrapd.errors import EdgeError
from bootstrapd.model import TokenIssued, encode
from bootstrapd.model.view import EventView

MAX_WAITING: Final = 1024
_HELLO: Final = b": listening\n\n"
_HEARTBEAT: Final = b":\n\n"
_LOST: Final = b"event: lost\ndata: {}\n\n"


class Subscriber:
    """One listener's queue: of one host's events, or with "" of all."""

    def __init__(self, host: str = "") -> None:
        self.host = host
        self._told: frozenset[str] = frozenset()
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._wake = asyncio.Event()
        self._is_over = False

    def push(self, event_id: str, chunk: bytes) -> bool:
        """False = it was full; the listener has lost events and is let go."""
        if self._is_over:
            return True
        is_full = len(self._waiting) >= MAX_WAITING
        if is_full:
            self._waiting.clear()
            self._is_over = True
        self._waiting.append(("", _LOST) if is_full else (event_id, chunk))
        self._wake.set()
        return not is_full

    def skip(self, told: Iterable[str]) -> None:
        """The listener has the events with these ids already."""
        self._told = frozenset(told)

    def end(self) -> None:
        self._is_over = True
        self._wake.set()

    async def chunks(self, heartbeat_s: float) -> AsyncIterator[bytes]:
        """What to send, until `end`; a comment every `heartbeat_s` of quiet finds out who has gone."""
        yield _HELLO
        while True:
            try:
                async with asyncio.timeout(heartbeat_s):
                    await self._wake.wait()
            except TimeoutError:
                yield _HEARTBEAT
                continue
            self._wake.clear()
            while self._waiting:
                event_id, chunk = self._waiting.popleft()
                if event_id not in self._told:
                    yield chunk
            if self._is_over:
                return


class Feed:
    """All subscribers. `publish` never waits and never fails."""

    def __init__(self, counters: Counter[str], *, max_subscribers: int) -> None:
        self._counters = counters
        self._max = max_subscribers
        self._subscribers: set[Subscriber] = set()

    @contextmanager
    def subscribe(self, host: str = "") -> Iterator[Subscriber]:
        """EdgeError when too many listen already."""
        if len(self._subscribers) >= self._max:
            raise EdgeError(f"{self._max} programs listen to the events already; close one of them first")
        subscriber = Subscriber(host)
        self._subscribers.add(subscriber)
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)

    @property
    def is_heard(self) -> bool:
        return bool(self._subscribers)

    def publish(self, view: EventView) -> None:
        if isinstance(view.event, TokenIssued):
            return
        piece = chunk(view)
        for subscriber in self._subscribers:
            if subscriber.host in ("", view.host) and not subscriber.push(view.event.id, piece):
                self._counters["api.events.lost"] += 1

    def close(self) -> None:
        for subscriber in self._subscribers:
            subscriber.end()


def chunk(view: EventView) -> bytes:
    """One event as it goes over the wire."""
    event_id, kind = view.event.id.encode(), type(view.event).__name__.encode()
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (event_id, kind, encode(view))
