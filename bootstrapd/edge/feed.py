"""Transitions as server-sent events: one bounded queue a subscriber, so that a slow reader costs nobody.

A subscriber that falls `MAX_WAITING` behind is told so (`event: lost`) and let go; it asks for the state again
and subscribes anew. Tokens never pass: `TokenIssued` is not for anybody's eyes.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

from bootstrapd.errors import EdgeError
from bootstrapd.model import TokenIssued, Transition, encode

MAX_WAITING: Final = 1024
_HELLO: Final = b": listening\n\n"
_HEARTBEAT: Final = b":\n\n"
_LOST: Final = b"event: lost\ndata: {}\n\n"


class Subscriber:
    """One listener's queue."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._is_over = False

    def push(self, chunk: bytes) -> bool:
        """False = it was full; the listener has lost events and is let go."""
        if self._is_over:
            return True
        is_full = len(self._waiting) >= MAX_WAITING
        if is_full:
            self._waiting.clear()
            self._is_over = True
        self._waiting.append(_LOST if is_full else chunk)
        self._wake.set()
        return not is_full

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
                yield self._waiting.popleft()
            if self._is_over:
                return


class Feed:
    """All subscribers. `publish` never waits and never fails."""

    def __init__(self, counters: Counter[str], *, max_subscribers: int) -> None:
        self._counters = counters
        self._max = max_subscribers
        self._subscribers: set[Subscriber] = set()

    @contextmanager
    def subscribe(self) -> Iterator[Subscriber]:
        """EdgeError when too many listen already."""
        if len(self._subscribers) >= self._max:
            raise EdgeError(f"{self._max} programs listen to the events already; close one of them first")
        subscriber = Subscriber()
        self._subscribers.add(subscriber)
        try:
            yield subscriber
        finally:
            self._subscribers.discard(subscriber)

    def publish(self, transition: Transition) -> None:
        if not self._subscribers or isinstance(transition.event, TokenIssued):
            return
        chunk = _chunk(transition)
        for subscriber in self._subscribers:
            if not subscriber.push(chunk):
                self._counters["api.events.lost"] += 1

    def close(self) -> None:
        for subscriber in self._subscribers:
            subscriber.end()


def _chunk(transition: Transition) -> bytes:
    event = transition.event
    kind = type(event).__name__
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (event.id.encode(), kind.encode(), encode(transition))
