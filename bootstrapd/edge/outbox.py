"""What of the journal is still to be published.

Pages are read on connections of their own, in a thread, so that neither the loop nor the writer waits.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from bootstrapd.edge import journal_file
from bootstrapd.edge.journal import Journal
from bootstrapd.edge.journal_keep import Position
from bootstrapd.model import AnyEvent

CALM_S: Final = 0.05
BUSY: Final = 0.5  # the share of a core
PATIENCE_S: Final = 5.0
PAGE: Final = 1000


class Outbox:
    """The journal as the bus sees it: a `page` of what is next, a `position` to `move`, and word of more."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @property
    def position(self) -> Position:
        """How far NATS has the events."""
        return self._journal.position

    @property
    def lag(self) -> int:
        """How many events are not published yet."""
        return max(0, self._journal.last - self._journal.position.sequence)

    def move(self, to: Position) -> None:
        """NATS has everything up to there."""
        self._journal.move(to)

    async def page(self, after: int) -> list[tuple[int, AnyEvent]]:
        """At most PAGE events that come after number `after`, each with its number. EdgeError, DamagedError."""
        return await asyncio.to_thread(journal_file.page, self._journal.path, after, PAGE)

    async def number_of(self, event_id: str) -> int:
        """The number of an event; 0 = the journal does not have it."""
        return await asyncio.to_thread(journal_file.number_of, self._journal.path, event_id)

    async def calm(self) -> None:
        """Returns when the appliance is not busy with machines, after PATIENCE_S anyhow: they go first."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE_S
        while loop.time() < until:
            began, used = loop.time(), time.process_time()
            await asyncio.sleep(CALM_S)
            if time.process_time() - used < BUSY * (loop.time() - began):
                return

    async def more(self, after: int) -> None:
        """Returns when there is an event after number `after`. One waits at a time."""
        while self._journal.last <= after:
            self._journal.committed.clear()
            await self._journal.committed.wait()
