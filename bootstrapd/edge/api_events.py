"""`GET /v1/events`: what happened since a moment, then what happens; as server-sent events."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from typing import Final, Protocol
from uuid import UUID

from aiohttp import web

from bootstrapd.edge.feed import Feed, chunk
from bootstrapd.errors import ConfigError
from bootstrapd.model import Transition
from bootstrapd.model.view import EventView

HEARTBEAT_S: Final = 15.0
PAST_MAX: Final = 10_000  # events, the newest
_SLACK_S: Final = 1.0  # between the clock that makes ids and the one that stamps events


class EventCore(Protocol):
    """What the daemon offers of events."""

    async def past(self, since: float, host: str, limit: int) -> list[EventView]:
        """What the journal has from `since` (Unix seconds) on, of one host or of all (""), oldest first.

        The newest `limit` where there is more; no tokens.
        """

    def host_of(self, machine: str) -> str:
        """The name of the host that the machine is, or ""."""


class EventRoutes:
    """The event stream of one core."""

    def __init__(self, core: EventCore, feed: Feed) -> None:
        self._core = core
        self._feed = feed

    def publish(self, transition: Transition) -> None:
        """Tell everybody who listens. Never waits."""
        if self._feed.is_heard:
            event = transition.event
            host = getattr(event, "host", "") or self._core.host_of(event.machine)
            self._feed.publish(
                EventView(event=event, host=host, before=transition.before, after=transition.after)
            )

    async def events(self, request: web.Request) -> web.StreamResponse:
        """`since` or Last-Event-ID asks for the past, `follow=0` for that alone, `host` for one host's."""
        since, last = _since(request)
        host, is_followed = request.query.get("host", ""), request.query.get("follow", "1") != "0"
        with self._feed.subscribe(host) as subscriber:  # before the past is read: nothing falls between
            past = [] if since is None else _after(last, await self._core.past(since, host, PAST_MAX))
            response = web.StreamResponse(
                headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
            )
            await response.prepare(request)
            with contextlib.suppress(ConnectionResetError):  # the listener went away: nothing to tell it
                for view in past:
                    await response.write(chunk(view))
                subscriber.skip({view.event.id for view in past})
                if is_followed:
                    async for piece in subscriber.chunks(HEARTBEAT_S):
                        await response.write(piece)
            return response


def _since(request: web.Request) -> tuple[float | None, str]:
    """From when on, None for no past; and the id of the last event that the listener has."""
    last = request.headers.get("Last-Event-ID", "")
    with contextlib.suppress(ValueError):
        return (UUID(last).int >> 80) / 1000 - _SLACK_S, last  # a UUIDv7 begins with its milliseconds
    text = request.query.get("since")
    if text is None:
        return None, ""
    try:
        since = float(text)
    except ValueError:
        since = math.nan
    if not math.isfinite(since):
        raise ConfigError(f"since={text!r}: expected Unix seconds such as 1790000000")
    return since, ""


def _after(last: str, past: Sequence[EventView]) -> list[EventView]:
    """What came after the event with this id, all where it is not among them."""
    at = next((place for place, view in enumerate(past) if view.event.id == last), -1)
    return list(past[at + 1 :])
