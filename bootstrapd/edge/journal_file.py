"""The journal's file: its format, who may open it, and reading it back.

One SQLite database in WAL mode; a row is an event as JSON with its checksum. `seq` has no gaps, `machine_seq`
is the event's number among its machine's (what the bus will publish as `sequence`). The file is made aside and
renamed into place, so that an existing one without our format was damaged, never half made.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, get_args

import msgspec
from msgspec import Struct

from bootstrapd.edge.folders import make_folder
from bootstrapd.errors import DamagedError, EdgeError
from bootstrapd.model import AnyEvent, encode, event_decoder

FORMAT: Final = 1
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
PRAGMA user_version = {FORMAT};
"""
INSERT: Final = """
INSERT INTO events (id, machine, machine_seq, at, crc, body)
VALUES (?1, ?2, (SELECT COALESCE(MAX(machine_seq), 0) + 1 FROM events WHERE machine = ?2), ?3, ?4, ?5)
ON CONFLICT (id) DO NOTHING
"""

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
    os.ftruncate(holder, 0)
    os.write(holder, f"{os.getpid()}\n".encode())
    return holder


def open_for_writing(path: Path) -> sqlite3.Connection:
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
        _check_format(path, db)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
    except sqlite3.Error as error:
        db.close()
        raise _as_ours(path, error) from error
    except DamagedError:
        db.close()
        raise
    return db


def read(path: Path) -> Iterator[AnyEvent]:
    """Every event in the order it was written, none where there is no file; DamagedError at the first that is
    not what was written. Needs no lock: what a running appliance has committed so far can be read.
    """
    try:
        if not path.exists():
            return
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        try:
            _check_format(path, db)
            yield from _events(path, db)
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


def _check_format(path: Path, db: sqlite3.Connection) -> None:
    (found,) = db.execute("PRAGMA user_version").fetchone()
    if found > FORMAT:
        raise _newer(path, f"its format is {found}, this one reads {FORMAT}")
    if found < FORMAT:
        raise damaged(path, "it is a database, but not a journal")


def _events(path: Path, db: sqlite3.Connection) -> Iterator[AnyEvent]:
    decode, crc32 = event_decoder.decode, zlib.crc32
    expected = 1  # nothing is ever taken out: a later first event means that the head is lost
    for seq, crc, body in db.execute("SELECT seq, crc, body FROM events ORDER BY seq"):
        if seq != expected:
            raise damaged(path, f"event {expected} is missing")
        if type(body) is not bytes or crc32(body) != crc:
            raise damaged(path, f"event {seq} fails its checksum")
        try:
            yield decode(body)
        except msgspec.DecodeError as error:
            raise _unreadable(path, seq, body, error) from error
        expected = seq + 1


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
