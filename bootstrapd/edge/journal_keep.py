"""What the journal keeps beside its events: the latest snapshot, how far NATS has them, and for how long.

A snapshot covers every event up to a number, so that a start reads only what came after. Events are removed, a
few with each commit, once they are old or too many, but never one that NATS has not got, one that no snapshot
covers, or the last. All of it happens in the journal's own thread, in the transactions of its events.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct

TABLES: Final = """
CREATE TABLE snapshots (seq INTEGER PRIMARY KEY, crc INTEGER NOT NULL, body BLOB NOT NULL);
CREATE TABLE marks (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
DAY_S: Final = 86_400.0
STEP: Final = 1000  # events removed with one commit: some milliseconds
MOVES: Final = 1000  # the position is written with the next events, or once it moved so far
CHECK_EVERY_S: Final = 60.0
CROWDED: Final = 0.8


class Position(Struct, frozen=True):
    """Everything up to `sequence` is in the stream that was made at `stream`, whose last was number `last`."""

    sequence: int = 0
    stream: str = ""
    last: int = 0


class Bounds(Struct, frozen=True, kw_only=True):
    """How much is kept. Without an outbox nobody waits for events to be published."""

    age_s: float = 90 * DAY_S
    size_bytes: int = 2 << 30
    has_outbox: bool = True


BOUNDS: Final = Bounds()


class Keeper:
    """What is to be written beside the next events. `snapshot` and `move` are called on the loop, the rest in
    the journal's thread; the journal's lock is held for what counts events.
    """

    def __init__(self, bounds: Bounds, now: Callable[[], float]) -> None:
        self._bounds = bounds
        self._now = now
        self._body: bytes | None = None
        self._ahead = 0  # events that come before the snapshot
        self._checked = 0.0
        self._unchecked = 0
        self.position = self._written = Position()
        self.last = 0  # the number of the last event
        self.covered = 0  # by the snapshot
        self.crowded = ""

    def load(self, db: sqlite3.Connection) -> None:
        """Before anything else: what the file says. sqlite3.Error where it cannot."""
        self.position = self._written = position(db)
        self.last, self.covered = last_event(db), last_snapshot(db)

    def snapshot(self, body: bytes, ahead: int) -> None:
        self._body, self._ahead = body, ahead

    def move(self, to: Position) -> None:
        self.position = to

    def room(self, most: int) -> int:
        """How many events may go into the next commit."""
        return most if self._body is None else min(most, self._ahead)

    def is_due(self, *, closing: bool) -> bool:
        """Is there something to write without events?"""
        moved = self.position.sequence - self._written.sequence
        return (self._body is not None and not self._ahead) or moved >= MOVES or (closing and self._has_moved)

    @property
    def _has_moved(self) -> bool:
        return self.position is not self._written

    def write(self, db: sqlite3.Connection, rows: int) -> Callable[[], None]:
        """Within the transaction of so many events; call what comes back once it is on disk, under the lock."""
        last = last_event(db)
        body = self._body if self._body is not None and self._ahead == rows else None
        if body is not None:
            db.execute("DELETE FROM snapshots")
            db.execute("INSERT INTO snapshots VALUES (?, ?, ?)", (last, zlib.crc32(body), body))
        to = self.position
        if to is not self._written:
            mark(db, "position", msgspec.json.encode(to).decode())
        covered = self.covered if body is None else last
        self._unchecked += rows
        if self._unchecked >= STEP or time.monotonic() - self._checked >= CHECK_EVERY_S:
            self._unchecked, self._checked = 0, time.monotonic()
            self._prune(db, last, min(to.sequence, covered) if self._bounds.has_outbox else covered)

        def done() -> None:
            self.last, self.covered, self._written = last, covered, to
            self._ahead = max(0, self._ahead - rows)
            if body is not None and self._body is body:
                self._body = None

        return done

    def _prune(self, db: sqlite3.Connection, last: int, free: int) -> None:
        size, most = used_bytes(db), self._bounds.size_bytes
        is_full = size > most
        oldest = db.execute("SELECT seq, at FROM events ORDER BY seq LIMIT ?", (STEP,)).fetchall()
        since = self._now() - self._bounds.age_s
        gone = 0
        for seq, at in oldest:
            if seq > free or seq >= last or not (is_full or at < since):
                break
            gone = seq
        if gone:
            db.execute("DELETE FROM events WHERE seq <= ?", (gone,))
            mark(db, "first", str(gone + 1))
        waits = last - self.position.sequence if self._bounds.has_outbox else 0
        kept = last - oldest[0][0] if oldest else 0
        is_crowded = size > CROWDED * most and waits > kept / 2  # else it is full as it should be, of history
        self.crowded = _crowded(size, most, waits) if is_crowded else ""


def position(db: sqlite3.Connection) -> Position:
    """How far NATS has the events; the start where that cannot be read: it knows what it has."""
    try:
        return msgspec.json.decode(marked(db, "position") or "{}", type=Position)
    except msgspec.DecodeError:
        return Position()


def mark(db: sqlite3.Connection, name: str, value: str) -> None:
    db.execute(
        "INSERT INTO marks VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (name, value)
    )


def marked(db: sqlite3.Connection, name: str) -> str:
    """ "" where nothing was."""
    found = db.execute("SELECT value FROM marks WHERE name = ?", (name,)).fetchone()
    return str(found[0]) if found else ""


def first_event(db: sqlite3.Connection) -> int:
    """The number of the first event that is still to be there."""
    found = marked(db, "first")
    return int(found) if found.isdigit() else 1


def last_event(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT COALESCE(MAX(seq), 0) FROM events").fetchone()[0])


def last_snapshot(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT COALESCE(MAX(seq), 0) FROM snapshots").fetchone()[0])


def read_snapshot(db: sqlite3.Connection) -> tuple[int, bytes] | None:
    """The latest snapshot and what it covers; None where there is none, or it is not what was written."""
    found = db.execute("SELECT seq, crc, body FROM snapshots ORDER BY seq DESC LIMIT 1").fetchone()
    if not found or type(found[2]) is not bytes or zlib.crc32(found[2]) != found[1]:
        return None
    return found[0], found[2]


def used_bytes(db: sqlite3.Connection) -> int:
    """What the file needs; pages of removed events are used again."""
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _crowded(size: int, most: int, waits: int) -> str:
    return (
        f"it holds {size / 1e6:,.0f} MB of the {most / 1e6:,.0f} MB that it should, because {waits} events "
        "wait for NATS; none is dropped, so the disk fills: bring NATS back, or write nats.enabled = false"
    )
