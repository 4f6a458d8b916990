"""The journal: every event of every machine, durable, in order (DESIGN.md, Journal).

One thread writes. All events that queue up while a commit runs go into the next one (group commit), and an
event's future resolves when its commit is on disk. While the disk refuses, events wait in memory, `problem`
says why, and the writer tries again with growing pauses; nothing is dropped without its future saying so.
What the file looks like is `edge/journal_file.py`'s.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import structlog

from bootstrapd.edge import journal_file
from bootstrapd.edge.journal_keep import BOUNDS, Bounds, Keeper, Position
from bootstrapd.errors import EdgeError
from bootstrapd.model import AnyEvent

log = structlog.get_logger(__name__)

BATCH: Final = 1000
GATHER_S: Final = 0.1  # a rack that is switched on: a commit for what comes together, not one each
WAITING_MAX: Final = 100_000
RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 5.0
CLOSE_PATIENCE_S: Final = 5.0

Waiting = tuple[journal_file.Row, "asyncio.Future[None]"]


class Journal:
    """`start`, then `replay` what was, then `append` what happens; `close` writes what still waits."""

    def __init__(self, path: Path, bounds: Bounds = BOUNDS, now: Callable[[], float] = time.time) -> None:
        self.path = path
        self.committed = asyncio.Event()  # set with every commit, for whoever clears it
        self._keeper = Keeper(bounds, now)
        self._problem = ""
        self._waiting: deque[Waiting] = deque()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._hurry = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def problem(self) -> str:
        """Why events are not being written at the moment, and what to do; "" when all is well."""
        waiting = len(self._waiting)
        return f"journal {self.path}: {self._problem}; {waiting} events wait in memory" if self._problem else ""

    @property
    def crowded(self) -> str:
        """What to do when it outgrows its bound because NATS is away, "" = nothing. No event is dropped."""
        return f"journal {self.path}: {self._keeper.crowded}" if self._keeper.crowded else ""

    @property
    def since_snapshot(self) -> int:
        """Events that a start would have to read."""
        return self._keeper.last - self._keeper.covered

    @property
    def last(self) -> int:
        """The number of the last event on disk."""
        return self._keeper.last

    @property
    def position(self) -> Position:
        """How far NATS has the events."""
        return self._keeper.position

    async def start(self) -> None:
        """Open or make the file. EdgeError: in use, no permission; DamagedError: see `journal_file.damaged`."""
        self._lock = journal_file.lock(self.path)
        try:
            self._db = journal_file.open_for_writing(self.path, self._keeper)
        except BaseException:
            os.close(self._lock)
            raise
        self._inode = self.path.stat().st_ino
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._write_until_closed, name="journal", daemon=True)
        self._thread.start()

    def events(self) -> Iterator[AnyEvent]:
        """Every event, in order; DamagedError at the first that cannot be read, or where some were removed."""
        return journal_file.read(self.path)

    def latest(self, since: float) -> Iterator[AnyEvent]:
        """The events on disk from `since` (Unix seconds) on, the newest first."""
        return journal_file.latest(self.path, since)

    def replay(self) -> tuple[bytes | None, Iterator[AnyEvent]]:
        """The latest snapshot, and the events after it; (None, every event) where there is none.

        DamagedError, at once or while reading. A damaged snapshot is not needed while all events are there.
        """
        return journal_file.read_from_snapshot(self.path)

    def snapshot(self, body: bytes) -> None:
        """Keep `body` in the place of everything that was appended so far. Written in its turn."""
        with self._changed:
            self._keeper.snapshot(body, len(self._waiting))
            self._changed.notify()

    def move(self, to: Position) -> None:
        """NATS has everything up to there. Written with the next events, and when the journal closes."""
        self._keeper.move(to)
        if self._keeper.is_due(closing=False):
            with self._changed:
                self._changed.notify()

    def hurry(self) -> None:
        """Somebody waits for what was appended: commit it now."""
        self._hurry.set()

    def append(self, event: AnyEvent, *, can_wait: bool = False) -> asyncio.Future[None]:
        """Queue the event; its future resolves once it is on disk, or fails (EdgeError) if it never will be.

        `can_wait`: GATHER_S at most, unless somebody is in a `hurry`: it shares its commit with others.
        """
        future = asyncio.get_running_loop().create_future()
        if self._closing.is_set() or not self._thread or not self._thread.is_alive():
            _fail(future, f"journal {self.path} is closed")
        elif len(self._waiting) >= WAITING_MAX:
            _fail(future, self.problem or f"journal {self.path}: the disk cannot keep up")
        else:
            with self._changed:
                self._waiting.append((journal_file.row(event), future))
                self._changed.notify()
            if not can_wait:
                self.hurry()
        return future

    async def close(self) -> None:
        """Write what waits, for up to CLOSE_PATIENCE_S where the disk refuses; what is left fails."""
        if self._closing.is_set() or not self._thread:
            return
        with self._changed:
            self._closing.set()
            self._hurry.set()
            self._changed.notify()
        await asyncio.to_thread(self._thread.join)
        self._db.close()
        os.close(self._lock)
        self._give_up()

    def _give_up(self) -> None:
        if self._waiting:
            log.error("events are lost", problem=self.problem)
        for _, future in self._waiting:
            if not future.done():
                _fail(future, self.problem)
        self._waiting.clear()

    def _write_until_closed(self) -> None:
        pause, patience = RETRY_FIRST_S, CLOSE_PATIENCE_S
        while (batch := self._next_batch()) or self._keeper.is_due(closing=self._closing.is_set()):
            if self._write(batch):
                pause = RETRY_FIRST_S
            elif not self._closing.wait(pause):
                pause = min(pause * 2, RETRY_MAX_S)
            elif patience > 0:
                time.sleep(RETRY_FIRST_S)
                patience -= RETRY_FIRST_S
            else:
                return

    def _next_batch(self) -> list[Waiting]:
        """What waits, once something does; empty when the journal closes and nothing waits any more."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._waiting or self._closing.is_set() or self._keeper.is_due(closing=False)
            )
        self._hurry.wait(GATHER_S)
        self._hurry.clear()
        with self._changed:
            return list(islice(self._waiting, self._keeper.room(BATCH)))

    def _write(self, batch: list[Waiting]) -> bool:
        try:
            done = self._commit([row for row, _ in batch])
        except sqlite3.Error as error:
            self._fails(journal_file.words(error))
            return False
        except OSError:
            self._fails("the file was removed or replaced while it was in use; restart to begin a new one")
            return False
        with self._changed:
            for _ in batch:
                self._waiting.popleft()
            done()
        self._works()
        self._loop.call_soon_threadsafe(self._resolve, [future for _, future in batch])
        return True

    def _commit(self, rows: list[journal_file.Row]) -> Callable[[], None]:
        if os.stat(self.path).st_ino != self._inode:  # noqa: PTH116 - a Path.stat costs three times as much
            raise FileNotFoundError
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(journal_file.INSERT, rows)
            done = self._keeper.write(self._db, len(rows))
            self._db.execute("COMMIT")
        except sqlite3.Error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        return done

    def _fails(self, why: str) -> None:
        if why != self._problem:
            self._problem = why
            log.error("the journal cannot be written", problem=self.problem)

    def _works(self) -> None:
        if self._problem:
            self._problem = ""
            log.info("the journal is written again", path=str(self.path))

    def _resolve(self, futures: list[asyncio.Future[None]]) -> None:
        self.committed.set()
        for future in futures:
            if not future.done():
                future.set_result(None)


def _fail(future: asyncio.Future[None], why: str) -> None:
    future.set_exception(EdgeError(why))
    future.exception()  # it may have nobody who waits for it: that is no mistake, `problem` says the rest
