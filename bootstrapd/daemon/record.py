"""What happens to a transition once it is applied: journalled, told to the log and to whoever listens.

Strangers are journalled at most ten a second (DESIGN.md, Safety 1); while more come than that, the log has one
line a minute with their number instead of a line each.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from bootstrapd.model import AnyEvent, BootAsked, Noticed, Refused, TimedOut, TokenIssued, Transition
from bootstrapd.policy.limit import Bucket

log = structlog.get_logger("bootstrapd")

STRANGERS_A_SECOND: Final = 10.0
FLOOD_WORD_S: Final = 60.0


class JournalLike(Protocol):
    def append(self, event: AnyEvent) -> asyncio.Future[None]: ...


class Recorder:
    """Callable with each transition; `durable` waits for the last one handed in."""

    def __init__(
        self,
        journal: JournalLike,
        publish: Callable[[Transition], None],
        counters: Counter[str],
        host_of: Callable[[str], str],
    ) -> None:
        self._journal = journal
        self._publish = publish
        self._counters = counters
        self._host_of = host_of
        self._strangers = Bucket(STRANGERS_A_SECOND, STRANGERS_A_SECOND)
        self._told = -FLOOD_WORD_S
        self._quiet_until = 0.0
        self._last: asyncio.Future[None] | None = None

    def __call__(self, transition: Transition) -> None:
        event = transition.event
        host = self._host_of(event.machine)
        self._counters[f"event.{type(event).__name__.lower()}"] += 1
        is_stranger = isinstance(event, BootAsked) and not event.host
        if is_stranger and not self._strangers.take(event.at):
            self._flood(event.at)
            return
        self._last = self._journal.append(event)
        self._last.add_done_callback(_retrieved)
        if isinstance(event, TokenIssued):
            return
        self._publish(transition)
        if not is_stranger or event.at >= self._quiet_until:
            _say(transition, host)

    async def durable(self) -> None:
        """Returns when everything recorded so far is on disk; EdgeError when it cannot be."""
        if self._last is not None:
            await asyncio.shield(self._last)

    def _flood(self, now: float) -> None:
        self._counters["strangers.not_journalled"] += 1
        self._quiet_until = now + FLOOD_WORD_S
        if now - self._told >= FLOOD_WORD_S:
            self._told = now
            count = self._counters["strangers.not_journalled"]
            log.warning("flood of unknown machines; hosts are answered as ever", not_journalled=count)


def _retrieved(future: asyncio.Future[None]) -> None:
    """A failed write is the journal's own word to say (its `problem`); nobody else needs to wait for it."""
    if not future.cancelled():
        future.exception()


def _say(transition: Transition, host: str) -> None:
    event = transition.event
    words: dict[str, object] = {"machine": host or event.machine, "event": type(event).__name__}
    if isinstance(event, BootAsked) and not event.host:
        words["code"] = "UNKNOWN"
    if transition.after is not transition.before:
        words["state"] = transition.after
    for name in ("stage", "door", "program", "template", "image", "address", "host", "other", "code", "reason"):
        value = getattr(event, name, None)
        if value:
            words[name] = str(value)
    tell = log.warning if isinstance(event, Noticed | Refused | TimedOut) else log.info
    tell(words.pop("event"), **words)
