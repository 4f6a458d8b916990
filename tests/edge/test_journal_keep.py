"""What the journal keeps beside its events: snapshots, how far NATS is, and for how long anything is kept."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bootstrapd.edge import journal_file, journal_keep
from bootstrapd.edge.journal import Journal
from bootstrapd.edge.journal_keep import Bounds, Position
from bootstrapd.edge.outbox import Outbox
from bootstrapd.errors import DamagedError
from bootstrapd.model import AnyEvent, Noticed

ALWAYS = Bounds(age_s=1e9)
DEADLINE_S = 20.0


def noticed(number: int, reason: str = "why") -> Noticed:
    return Noticed(id=f"event-{number:06}", machine="m", at=1000.0 + number, code="X", reason=reason)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@asynccontextmanager
async def opened(path: Path, bounds: Bounds = ALWAYS, now: float = 5000.0) -> AsyncIterator[Journal]:
    journal = Journal(path, bounds, lambda: now)
    await journal.start()
    try:
        yield journal
    finally:
        await journal.close()


async def append(journal: Journal, numbers: Iterable[int], reason: str = "why") -> None:
    await asyncio.gather(*(journal.append(noticed(number, reason)) for number in numbers))


def replayed(path: Path) -> tuple[bytes | None, list[AnyEvent]]:
    body, events = Journal(path).replay()
    return body, list(events)


def sql(path: Path, *statements: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as db:
        rows = [row for statement in statements for row in db.execute(statement).fetchall()]
    db.close()
    return rows


async def test_a_start_reads_the_latest_snapshot_and_what_came_after(path: Path) -> None:
    async with opened(path) as journal:
        await append(journal, range(3))
        journal.snapshot(b"three")
        await append(journal, [3])
        journal.snapshot(b"four")
        await append(journal, [4, 5])
        assert journal.since_snapshot == 2
        assert list(journal.events()) == [noticed(number) for number in range(6)]
    assert replayed(path) == (b"four", [noticed(4), noticed(5)])
    assert sql(path, "SELECT COUNT(*) FROM snapshots") == [(1,)]
    async with opened(path) as journal:
        assert (journal.last, journal.since_snapshot) == (6, 2)


async def test_a_snapshot_is_written_in_its_turn(path: Path) -> None:
    """What is appended before it is covered, what is appended after it is not, whatever shares a commit."""
    async with opened(path) as journal:
        for number in range(2500):
            journal.append(noticed(number), can_wait=True)
        journal.snapshot(b"2500")
        for number in range(2500, 2600):
            journal.append(noticed(number), can_wait=True)
    assert replayed(path) == (b"2500", [noticed(number) for number in range(2500, 2600)])


async def test_a_snapshot_before_closing_is_written(path: Path) -> None:
    async with opened(path) as journal:
        await append(journal, range(3))
        journal.snapshot(b"all")
    assert replayed(path) == (b"all", [])
    async with opened(path) as journal:
        await append(journal, [3])
    assert replayed(path) == (b"all", [noticed(3)])


async def test_a_damaged_snapshot_is_not_needed_while_all_events_are_there(path: Path) -> None:
    async with opened(path) as journal:
        await append(journal, range(3))
        journal.snapshot(b"three")
    sql(path, "UPDATE snapshots SET body = x'00'")
    assert replayed(path) == (None, [noticed(number) for number in range(3)])


async def test_a_damaged_snapshot_is_said_once_events_were_removed(path: Path) -> None:
    async with opened(path, Bounds(age_s=10.0)) as journal:
        await full_of_old_events(journal)
    sql(path, "UPDATE snapshots SET body = x'00'")
    with pytest.raises(
        DamagedError, match=r"its snapshot cannot be read, and the events before [0-9]+ were removed"
    ):
        replayed(path)


async def full_of_old_events(journal: Journal, published: int = 1500) -> None:
    await append(journal, range(1500))
    journal.snapshot(b"1500")
    await append(journal, [1500])
    journal.move(Position(published, "made", published))
    for number in range(1501, 4600, 1000):  # removing takes its turn with each thousand
        await append(journal, range(number, number + 1000))


async def test_what_is_old_published_and_covered_goes_in_small_steps(path: Path) -> None:
    async with opened(path, Bounds(age_s=10.0)) as journal:
        await full_of_old_events(journal)
        (first,) = sql(path, "SELECT MIN(seq) FROM events")[0]
    assert first == 1501
    assert replayed(path) == (b"1500", [noticed(number) for number in range(1500, 5501)])
    with pytest.raises(DamagedError):
        list(Journal(path).events())


@pytest.mark.parametrize(
    ("bounds", "published", "first"),
    [
        (Bounds(age_s=1e9), 1500, 1),  # nothing is old
        (Bounds(age_s=10.0), 0, 1),  # nothing is published
        (Bounds(age_s=10.0), 700, 701),
        (Bounds(age_s=10.0, has_outbox=False), 0, 1501),  # nobody waits for it
        (Bounds(age_s=1e9, size_bytes=1000), 1500, 1501),  # too large
    ],
)
async def test_what_is_removed(path: Path, bounds: Bounds, published: int, first: int) -> None:
    async with opened(path, bounds) as journal:
        await full_of_old_events(journal, published)
    assert sql(path, "SELECT MIN(seq) FROM events") == [(first,)]


async def test_without_a_snapshot_nothing_goes_and_the_last_event_never(path: Path) -> None:
    async with opened(path, Bounds(age_s=10.0)) as journal:
        for number in range(0, 3000, 1000):
            await append(journal, range(number, number + 1000))
            journal.move(Position(number + 1000, "made", 1))
        assert sql(path, "SELECT COUNT(*) FROM events") == [(3000,)]
        journal.snapshot(b"all")
        for number in range(3000, 7000, 1000):
            journal.snapshot(b"all")
            await append(journal, range(number, number + 1000))
    assert replayed(path)[0] == b"all"
    assert sql(path, "SELECT MAX(seq) FROM events") == [(7000,)]  # numbers are never used again


async def test_a_journal_that_outgrows_its_bound_says_that_nats_is_away_and_drops_nothing(path: Path) -> None:
    async with opened(path, Bounds(size_bytes=200_000)) as journal:
        assert journal.crowded == ""
        for number in range(0, 3000, 1000):
            await append(journal, range(number, number + 1000))
        assert f"journal {path}: it holds " in journal.crowded
        assert re.search("[0-9]+ events wait for NATS; none is dropped", journal.crowded)
        assert journal.problem == ""
        journal.snapshot(b"all")
        journal.move(Position(3000, "made", 3000))
        for number in range(3000, 6000, 1000):
            await append(journal, range(number, number + 1000))
            journal.move(Position(number + 1000, "made", 1))
        await append(journal, range(6000, 8000))
        assert journal.crowded == ""
    assert replayed(path)[1] == [noticed(number) for number in range(3000, 8000)]


async def test_the_position_is_kept(path: Path) -> None:
    async with opened(path) as journal:
        assert journal.position == Position()
        await append(journal, range(10))
        journal.move(Position(7, "made", 99))
        assert journal.position == Position(7, "made", 99)
    async with opened(path) as journal:
        assert journal.position == Position(7, "made", 99)
        assert Outbox(journal).lag == 3
    sql(path, "UPDATE marks SET value = 'junk' WHERE name = 'position'")
    async with opened(path) as journal:
        assert journal.position == Position()


async def test_pages_have_numbers_and_word_comes_of_more(path: Path) -> None:
    async with opened(path) as journal:
        outbox = Outbox(journal)
        waiting = asyncio.create_task(outbox.more(0))
        await append(journal, range(1500))
        async with asyncio.timeout(DEADLINE_S):
            await waiting
        page = await outbox.page(0)
        assert page == [(number + 1, noticed(number)) for number in range(1000)]
        assert [number for number, _ in await outbox.page(1000)] == list(range(1001, 1501))
        assert await outbox.page(1500) == []
        assert await outbox.number_of("event-000041") == 42
        assert await outbox.number_of("another") == 0


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM events WHERE seq > 2", "DELETE FROM events"],
)
async def test_a_lost_tail_is_noticed_where_nats_or_a_snapshot_knew_it(path: Path, statement: str) -> None:
    async with opened(path) as journal:
        await append(journal, range(3))
        journal.move(Position(3, "made", 3))
    sql(path, statement)
    with pytest.raises(DamagedError, match=r"event [13] and those after it are missing"):
        replayed(path)


async def test_a_lost_head_is_noticed_behind_a_snapshot_too(path: Path) -> None:
    async with opened(path) as journal:
        await append(journal, range(3))
        journal.snapshot(b"three")
        await append(journal, range(3, 6))
    sql(path, "DELETE FROM events WHERE seq <= 4")
    with pytest.raises(DamagedError, match="event 4 is missing"):
        replayed(path)


async def test_a_journal_of_the_format_before_this_one_goes_on(path: Path) -> None:
    async with opened(path) as journal:
        await append(journal, range(3))
    sql(path, "DROP TABLE snapshots", "DROP TABLE marks", f"PRAGMA user_version = {journal_file.ONLY_EVENTS}")
    assert replayed(path) == (None, [noticed(number) for number in range(3)])
    async with opened(path) as journal:
        await append(journal, [3])
        journal.snapshot(b"four")
    assert replayed(path) == (b"four", [])
    assert sql(path, "PRAGMA user_version") == [(journal_file.FORMAT,)]


async def test_a_full_disk_keeps_the_snapshot_waiting(path: Path) -> None:
    async with opened(path) as journal:
        await append(journal, range(3))
        (count,) = journal._db.execute("PRAGMA page_count").fetchone()
        journal._db.execute(f"PRAGMA max_page_count = {count}").fetchone()
        journal.snapshot(b"x" * 100_000)
        async with asyncio.timeout(DEADLINE_S):
            while not journal.problem:  # noqa: ASYNC110 - the writer's thread has no event to wait for
                await asyncio.sleep(0.01)
        journal._db.execute("PRAGMA max_page_count = 100000").fetchone()
        await append(journal, [3])
        assert journal.problem == ""
    assert replayed(path) == (b"x" * 100_000, [noticed(3)])


def test_the_default_bounds() -> None:
    assert Bounds(age_s=90 * 86_400.0, size_bytes=2 * 1024**3, has_outbox=True) == journal_keep.BOUNDS
