"""The journal's file: its format, who may open it, and reading it back.

One SQLite database in WAL mode; a row is an event as JSON with its checksum. `seq` has no gaps, and is what the
bus publishes as `sequence`. The file is made aside and renamed into place, so that an existing one without our
format was damaged, never half made. What is kept beside the events is `edge/journal_keep.py`'s.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import Final, get_args

import msgspec
from msgspec import Struct

from bootstrapd.edge import journal_keep
from bootstrapd.edge.folders import make_folder
from bootstrapd.edge.journal_keep import Keeper
from bootstrapd.errors import DamagedError, EdgeError
from bootstrapd.model import AnyEvent, encode, event_decoder

FORMAT: Final = 2
ONLY_EVENTS: Final = 1  # the format before this one
SCHEMA: Final = f"""
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    machine TEXT NOT NULL,
    machine_seq INTEGER NOT NULL,
    at REAL NOT NULL,
    crc INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (machine, machine_seq)
);
{journal_keep.TABLES}
PRAGMA user_version = {FORMAT};
"""
INSERT: Final = """
INSERT INTO events (id, machine, machine_seq, at, crc, body)
VALUES (?1, ?2, (SELECT COALESCE(MAX(machine_seq), 0) + 1 FROM events WHERE machine = ?2), ?3, ?4, ?5)
ON CONFLICT (id) DO NOTHING
"""

IN_ORDER: Final = "WHERE seq > ? ORDER BY seq LIMIT ?"
NEWEST_FIRST: Final = "ORDER BY seq DESC"

Row = tuple[str, str, float, int, bytes]


_KINDS: Final = frozenset(kind.__name__ for kind in get_args(AnyEvent))
_WORDS: Final = {
    "SQLITE_FULL": "the disk is full; free some space",
    "SQLITE_IOERR": "the disk reports an I/O error; look at the kernel's log",
    "SQLITE_READONLY": "the file may not be written; check its owner and the file system",
    "SQLITE_PERM": "the file may not be written; check its owner and the file system",
    "SQLITE_CANTOPEN": "the file cannot be opened; check its folder and its owner",
    "SQLITE_BUSY": "another program holds a lock on it; close that program",
    "SQLITE_CORRUPT": "it is damaged; restart for what to do",
    "SQLITE_NOTADB": "it is damaged; restart for what to do",
}
_DAMAGE: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


def row(event: AnyEvent) -> Row:
    """The event as the parameters of `INSERT`."""
    body = encode(event)
    return event.id, event.machine, event.at, zlib.crc32(body), body


def lock(path: Path) -> int:
    """A descriptor that holds the journal until it is closed; EdgeError names the process that has it."""
    file = path.with_name(path.name + ".lock")
    try:
        make_folder(path.parent)
        holder = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EdgeError(f"journal {path}: {file} cannot be made: {error.strerror}") from None
    try:
        fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(holder, 32).decode("ascii", "replace").strip()
        os.close(holder)
        raise EdgeError(f"journal {path} is in use by process {pid or '?'}; stop that one first") from None
    try:
        os.ftruncate(holder, 0)
        os.write(holder, f"{os.getpid()}\n".encode())
    except OSError as error:
        os.close(holder)
        raise EdgeError(
            f"journal {path}: {file} cannot be written: {error.strerror}; make room there, or name another "
            "folder with --state"
        ) from None
    return holder


def open_for_writing(path: Path, keeper: Keeper) -> sqlite3.Connection:
    """The journal, made if it was not there; EdgeError and DamagedError say what is wrong and what to do."""
    try:
        if not path.exists():
            _create(path)
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise _as_ours(path, error) from error
    except OSError as error:
        raise EdgeError(f"journal {path} cannot be made: {error.strerror}") from None
    try:
        found = _check_format(path, db)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        if found == ONLY_EVENTS:
            db.executescript(f"BEGIN IMMEDIATE; {journal_keep.TABLES} PRAGMA user_version = {FORMAT}; COMMIT;")
        keeper.load(db)
    except sqlite3.Error as error:
        db.close()
        raise _as_ours(path, error) from error
    except DamagedError:
        db.close()
        raise
    return db


def read(path: Path, after: int = 0) -> Iterator[AnyEvent]:
    """Every event after number `after`, in order, none where there is no file. Needs no lock: what a running
    appliance has committed so far can be read. DamagedError at the first that is not what was written.
    """
    with _reading(path) as db:
        if db is not None:
            yield from (event for _, event in _events(path, db, after))


def read_from_snapshot(path: Path) -> tuple[bytes | None, Iterator[AnyEvent]]:
    """The latest snapshot, and the events after it; (None, every event) without one that can be read."""
    with _reading(path) as db:
        if db is None or _format(db) == ONLY_EVENTS:
            return None, read(path)
        found = journal_keep.read_snapshot(db)
        if found is None and journal_keep.last_snapshot(db):
            _only_with_all_events(path, db)
    return (found[1], read(path, found[0])) if found else (None, read(path))


def page(path: Path, after: int, limit: int) -> list[tuple[int, AnyEvent]]:
    """At most `limit` events after number `after`, with their numbers. It is not checked where they begin."""
    with _reading(path) as db:
        return [] if db is None else list(_decoded(path, db, IN_ORDER, (after, limit)))


def latest(path: Path, since: float) -> Iterator[AnyEvent]:
    """The events from `since` (Unix seconds) on, the newest first."""
    with _reading(path) as db:
        if db is not None:
            newest_first = (event for _, event in _decoded(path, db, NEWEST_FIRST, ()))
            yield from takewhile(lambda event: event.at >= since, newest_first)


def number_of(path: Path, event_id: str) -> int:
    """The number of an event; 0 = it is not here (any more)."""
    with _reading(path) as db:
        found = db and db.execute("SELECT seq FROM events WHERE id = ?", (event_id,)).fetchone()
    return int(found[0]) if found else 0


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """The file, opened to be read; None where there is none."""
    try:
        if not path.exists():
            yield None
            return
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        try:
            _check_format(path, db)
            yield db
        finally:
            db.close()
    except sqlite3.Error as error:
        raise _as_ours(path, error) from error
    except PermissionError as error:
        raise EdgeError(f"journal {path} cannot be read: {error.strerror}") from None


def words(error: sqlite3.Error) -> str:
    """What is wrong, and what a person can do about it."""
    name = getattr(error, "sqlite_errorname", "")
    return next((text for prefix, text in _WORDS.items() if name.startswith(prefix)), str(error))


def damaged(path: Path, what: str) -> DamagedError:
    """Nothing is guessed and nothing is changed: a person restores a backup, or starts without the history."""
    old, aside = shlex.quote(str(path)), shlex.quote(f"{path}.damaged")
    return DamagedError(
        f"journal {path} is damaged: {what}. Restore it from a backup; or start without its history "
        f"(hosts and images stay, machines are recorded anew when they next ask, and which of them were ready "
        f"is not known any more: without `bootstrapd machines adopt MAC --host NAME --ready` they netboot): "
        f"mv {old} {aside} && rm -f {old}-wal {old}-shm"
    )


def _create(path: Path) -> None:
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    new.touch(mode=0o600)  # it holds tokens
    db = sqlite3.connect(new, isolation_level=None)
    try:
        db.executescript(SCHEMA)
    finally:
        db.close()
    new.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)  # or the name may be gone after a power cut, and with it every event that was acknowledged
    os.close(folder)


def _format(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _check_format(path: Path, db: sqlite3.Connection) -> int:
    found = _format(db)
    if found > FORMAT:
        raise _newer(path, f"its format is {found}, this one reads {FORMAT}")
    if found < ONLY_EVENTS:
        raise damaged(path, "it is a database, but not a journal")
    return found


def _events(path: Path, db: sqlite3.Connection, after: int) -> Iterator[tuple[int, AnyEvent]]:
    """Without a gap: a later first event means that the head is lost, and an early last one the tail."""
    known = 0
    if _format(db) != ONLY_EVENTS:
        if not after:
            _only_with_all_events(path, db)
        known = max(journal_keep.position(db).sequence, journal_keep.last_snapshot(db))
    if (last := journal_keep.last_event(db)) < max(known, after):
        raise damaged(path, f"event {last + 1} and those after it are missing")
    expected = after + 1
    for seq, event in _decoded(path, db, IN_ORDER, (after, -1)):
        if seq != expected:
            raise damaged(path, f"event {expected} is missing")
        yield seq, event
        expected = seq + 1


def _decoded(
    path: Path, db: sqlite3.Connection, select: str, values: tuple[float, ...]
) -> Iterator[tuple[int, AnyEvent]]:
    decode, crc32 = event_decoder().decode, zlib.crc32
    for seq, crc, body in db.execute(f"SELECT seq, crc, body FROM events {select}", values):  # noqa: S608 - ours
        if type(body) is not bytes or crc32(body) != crc:
            raise damaged(path, f"event {seq} fails its checksum")
        try:
            event = decode(body)
        except msgspec.DecodeError as error:
            raise _unreadable(path, seq, body, error) from error
        yield seq, event


def _only_with_all_events(path: Path, db: sqlite3.Connection) -> None:
    first = journal_keep.first_event(db)
    if first > 1:
        raise damaged(
            path, f"its snapshot cannot be read, and the events before {first} were removed as they aged"
        )


class _Tag(Struct):
    event: str = ""


def _unreadable(path: Path, seq: int, body: bytes, error: Exception) -> EdgeError:
    try:
        kind = msgspec.json.decode(body, type=_Tag).event
    except msgspec.DecodeError:
        return damaged(path, f"event {seq} is no event")
    if kind not in _KINDS:
        return _newer(path, f"event {seq} is a {kind}, which this one does not know")
    return damaged(path, f"event {seq} ({kind}) cannot be read: {error}")


def _newer(path: Path, what: str) -> DamagedError:
    return DamagedError(f"journal {path} was written by a newer bootstrapd ({what}): start that version again")


def _as_ours(path: Path, error: sqlite3.Error) -> EdgeError:
    if getattr(error, "sqlite_errorname", "").startswith(_DAMAGE):
        return damaged(path, str(error))
    return EdgeError(f"journal {path} cannot be opened: {words(error)}")
