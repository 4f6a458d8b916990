"""What happens to a transition once it is applied: journalled, told to the log and to whoever listens.

What strangers cause is journalled at most ten times a second (DESIGN.md, Safety 1), what one machine causes by
its own measure; while more comes than that, the log has one line a minute with the number, and nobody waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from bootstrapd.model import (
    Accepted,
    AnyEvent,
    BootAsked,
    ChainSent,
    ImageSent,
    LocalBoot,
    NicSeen,
    Noticed,
    Progressed,
    Refused,
    Registered,
    ScriptSent,
    TimedOut,
    TokenIssued,
    Transition,
)
from bootstrapd.policy.limit import Bucket

log = structlog.get_logger("bootstrapd")

STRANGERS_A_SECOND: Final = 10.0
# A boot is about ten events; what asks more than this is a loop or an attack, and is answered all the same.
EVENTS_A_SECOND: Final = 0.2
EVENTS_AT_ONCE: Final = 60.0
FLOOD_WORD_S: Final = 60.0
# What a packet can cause. A person's acts and what follows from the hosts folder are always journalled.
FROM_THE_WIRE: Final = (
    BootAsked,
    ChainSent,
    ImageSent,
    LocalBoot,
    NicSeen,
    Refused,
    ScriptSent,
    TokenIssued,
)
# What strangers can cause besides. Of a host's machine these are few, and its life.
FROM_STRANGERS: Final = (*FROM_THE_WIRE, Noticed, Registered)


IN_BETWEEN: Final = (Accepted, Progressed)  # news for who watches; the log has what they lead to


class JournalLike(Protocol):
    def append(self, event: AnyEvent, *, can_wait: bool = False) -> asyncio.Future[None]: ...

    def hurry(self) -> None: ...


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
        self._hosts: dict[str, Bucket] = {}
        self._told = -FLOOD_WORD_S
        self._quiet_until = 0.0
        self._last: asyncio.Future[None] | None = None

    def __call__(self, transition: Transition) -> None:
        event = transition.event
        host = self._host_of(event.machine)
        self._counters[f"event.{type(event).__name__.lower()}"] += 1
        is_stranger = not (host or getattr(event, "host", ""))
        measured = FROM_STRANGERS if is_stranger else FROM_THE_WIRE
        if isinstance(event, measured) and not self._bucket(event.machine, is_stranger).take(event.at):
            self._flood(event.at)
            return
        self._last = self._journal.append(event, can_wait=not isinstance(event, TokenIssued))
        if isinstance(event, TokenIssued):
            return
        self._publish(transition)
        if isinstance(event, IN_BETWEEN) or not log.is_enabled_for(logging.INFO):
            return
        if not is_stranger or event.at >= self._quiet_until:
            _say(transition, host)

    def _bucket(self, machine: str, is_stranger: bool) -> Bucket:
        """All strangers share one; each host's machine has its own, so that none is another's loss."""
        if is_stranger:
            return self._strangers
        return self._hosts.setdefault(machine, Bucket(EVENTS_A_SECOND, EVENTS_AT_ONCE))

    async def durable(self) -> None:
        """Returns when everything recorded so far is on disk; EdgeError when it cannot be."""
        if self._last is not None:
            self._journal.hurry()
            await asyncio.shield(self._last)

    def _flood(self, now: float) -> None:
        self._counters["events.not_journalled"] += 1
        self._quiet_until = now + FLOOD_WORD_S
        if now - self._told >= FLOOD_WORD_S:
            self._told = now
            count = self._counters["events.not_journalled"]
            log.warning("flood of asks; machines are answered as ever", not_journalled=count)


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
