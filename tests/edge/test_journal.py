"""The journal: what was acknowledged is there after anything; what is wrong is said, and nothing is guessed."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bootstrapd.edge import journal as module
from bootstrapd.edge.journal import Journal
from bootstrapd.errors import DamagedError, EdgeError
from bootstrapd.model import (
    Adopted,
    AnyEvent,
    BootAsked,
    Disk,
    Door,
    Forgotten,
    Hardware,
    Mac,
    Nic,
    Noticed,
    Registered,
    Stage,
)

DEADLINE_S = 20.0


def asked(number: int, machine: str = "525400aabb01") -> BootAsked:
    return BootAsked(
        id=f"event-{number:06}",
        machine=machine,
        at=1000.0 + number,
        mac=Mac("52:54:00:aa:bb:01"),
        door=Door.DHCP,
        stage=Stage.FIRMWARE,
    )


async def until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not is_so():  # noqa: ASYNC110 - a property of the writer's thread has no event to wait for
            await asyncio.sleep(0.01)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Journal]:
    journal = Journal(path)
    await journal.start()
    try:
        yield journal
    finally:
        await journal.close()


async def written(path: Path, *events: AnyEvent) -> None:
    async with opened(path) as journal:
        await asyncio.gather(*(journal.append(event) for event in events))


async def replayed(path: Path) -> list[AnyEvent]:
    async with opened(path) as journal:
        return list(journal.events())


def pages_allowed(journal: Journal, more: int) -> None:
    """As on a disk with room for `more` pages: SQLite answers SQLITE_FULL beyond."""
    (count,) = journal._db.execute("PRAGMA page_count").fetchone()
    journal._db.execute(f"PRAGMA max_page_count = {count + more}").fetchone()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


async def test_events_come_back_as_they_were_in_order(path: Path) -> None:
    hardware = Hardware(
        nics=(Nic(name="eth0", mac="52:54:00:aa:bb:01"),), disks=(Disk(name="sda", size_bytes=9),)
    )
    events: list[AnyEvent] = [
        asked(1),
        Registered(id="b", machine="m", at=2.5, boot="event-000001", address="10.0.0.9", hardware=hardware),
        Noticed(id="a", machine="m", at=1.0, code="SITE_FILENAME_WINS", reason="Übel: “67” ☠ \x00\n"),
        Adopted(id="c", machine="m", at=3.0, host="w1", ready=True),
        Forgotten(id="d", machine="m", at=4.0),
    ]
    await written(path, *events[:3])
    await written(path, *events[3:])
    assert await replayed(path) == events


async def test_a_new_journal_is_empty_and_private(path: Path) -> None:
    async with opened(path) as journal:
        assert list(journal.events()) == []
        assert journal.problem == ""
        await journal.append(asked(1))
        modes = {file.name: file.stat().st_mode & 0o077 for file in path.parent.iterdir()}
    assert set(modes) == {"journal.db", "journal.db-wal", "journal.db-shm", "journal.db.lock"}
    assert not any(modes.values())


async def test_it_can_be_read_without_being_opened(path: Path) -> None:
    """`explain` without a daemon, and a start that replays before it takes the lock."""
    assert list(Journal(path).events()) == []
    assert not exists(path)
    await written(path, asked(1))
    assert list(Journal(path).events()) == [asked(1)]
    async with opened(path) as journal:
        await journal.append(asked(2))
        assert list(Journal(path).events()) == [asked(1), asked(2)]


async def test_a_damaged_journal_cannot_be_read_without_being_opened(path: Path) -> None:
    await spoilt(path, lambda path: path.write_bytes(b""))
    with pytest.raises(DamagedError):
        list(Journal(path).events())


async def test_a_future_resolves_when_another_process_could_read_it(path: Path) -> None:
    async with opened(path) as journal:
        await journal.append(asked(1))
        assert list(journal.events()) == [asked(1)]
        assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_events_that_queue_up_share_a_commit(path: Path) -> None:
    async with opened(path) as journal:
        statements: list[str] = []
        journal._db.set_trace_callback(statements.append)
        await asyncio.gather(*(journal.append(asked(number)) for number in range(500)))
        assert statements.count("COMMIT") < 50
        assert list(journal.events()) == [asked(number) for number in range(500)]


async def test_each_machine_counts_its_own_events_across_restarts(path: Path) -> None:
    await written(path, asked(1, "a"), asked(2, "b"), asked(3, "a"))
    await written(path, asked(4, "b"), asked(5, "a"))
    with sqlite3.connect(path) as db:
        rows = db.execute("SELECT machine, machine_seq FROM events ORDER BY seq").fetchall()
    db.close()
    assert rows == [("a", 1), ("b", 1), ("a", 2), ("b", 2), ("a", 3)]


async def test_the_same_event_twice_is_written_once(path: Path) -> None:
    await written(path, asked(1), asked(1), asked(2))
    assert await replayed(path) == [asked(1), asked(2)]


async def test_an_odd_mac_off_the_wire_does_not_keep_us_from_starting(path: Path) -> None:
    odd = [
        BootAsked(id=mac, machine="m", at=0, mac=Mac.of(bytes.fromhex(mac)), door=Door.DHCP, stage=Stage.IPXE)
        for mac in ("000000000000", "ffffffffffff", "01005e000001")
    ]
    await written(path, *odd)
    assert await replayed(path) == odd


async def test_close_writes_what_waits(path: Path) -> None:
    async with opened(path) as journal:
        futures = [journal.append(asked(number)) for number in range(2500)]
    await asyncio.gather(*futures)
    assert len(await replayed(path)) == 2500


async def test_a_closed_journal_takes_nothing(path: Path) -> None:
    async with opened(path) as journal:
        pass
    with pytest.raises(EdgeError, match=r"journal\.db is closed"):
        await journal.append(asked(1))
    with pytest.raises(EdgeError, match=r"journal\.db is closed"):
        await Journal(path).append(asked(1))
    await journal.close()


APPEND_FOR_EVER = """
import asyncio, itertools, sys
from pathlib import Path
from bootstrapd.edge.journal import Journal
from bootstrapd.model import Forgotten

async def main():
    journal = Journal(Path(sys.argv[1]))
    await journal.start()
    for number in itertools.count():
        future = journal.append(Forgotten(id=f"{number:09}", machine="m", at=0.0))
        future.add_done_callback(lambda _, number=number: print(number, flush=True))
        if number % 7 == 0:
            await future

asyncio.run(main())
"""


def child(script: str, *argv: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, *argv], stdout=subprocess.PIPE, text=True)


async def test_what_was_acknowledged_survives_a_kill(path: Path) -> None:
    last = -1
    with child(APPEND_FOR_EVER, str(path)) as writer:
        assert writer.stdout
        for line in writer.stdout:
            last = int(line)
            if last >= 1500:
                break
        writer.send_signal(signal.SIGKILL)
        rest = [int(line) for line in writer.stdout.read().splitlines()]
    acknowledged = max([last, *rest])
    numbers = [int(event.id) for event in await replayed(path)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > acknowledged >= 1500
    await written(path, asked(1))  # and it goes on from there


async def test_a_second_process_is_told_who_has_it(path: Path) -> None:
    with child(APPEND_FOR_EVER, str(path)) as writer:
        assert writer.stdout
        writer.stdout.readline()
        with pytest.raises(EdgeError, match=rf"is in use by process {writer.pid}; stop that one first"):
            await Journal(path).start()
        writer.kill()
    assert await replayed(path)


async def test_a_full_disk_is_said_waited_out_and_forgotten(path: Path) -> None:
    async with opened(path) as journal:
        await journal.append(asked(0))
        pages_allowed(journal, 0)
        futures = [journal.append(asked(number)) for number in range(1, 200)]
        await until(lambda: journal.problem)
        assert (
            journal.problem == f"journal {path}: the disk is full; free some space; 199 events wait in memory"
        )
        assert not any(future.done() for future in futures)
        late = journal.append(asked(200))
        pages_allowed(journal, 1000)
        await asyncio.gather(*futures, late)
        assert journal.problem == ""
        assert list(journal.events()) == [asked(number) for number in range(201)]


async def test_what_memory_cannot_hold_fails_and_what_waits_is_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING_MAX", 150)
    async with opened(path) as journal:
        pages_allowed(journal, 0)
        kept = [journal.append(asked(number)) for number in range(150)]
        await until(lambda: journal.problem)
        with pytest.raises(EdgeError, match="the disk is full"):
            await journal.append(asked(150))
        pages_allowed(journal, 1000)
        await asyncio.gather(*kept)
        assert len(list(journal.events())) == 150


async def test_closing_on_a_full_disk_ends_and_tells_each_event(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLOSE_PATIENCE_S", 0.2)
    async with opened(path) as journal:
        await journal.append(asked(0))
        pages_allowed(journal, 0)
        futures = [journal.append(asked(number)) for number in range(1, 200)]
        await until(lambda: journal.problem)
    told = await asyncio.gather(*futures, return_exceptions=True)
    assert all(isinstance(word, EdgeError) and "the disk is full" in str(word) for word in told)
    assert await replayed(path) == [asked(0)]


async def test_a_file_taken_away_is_noticed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_PATIENCE_S", 0.1)
    async with opened(path) as journal:
        remove(path)
        future = journal.append(asked(1))
        await until(lambda: journal.problem)
        assert "the file was removed or replaced while it was in use" in journal.problem
    with pytest.raises(EdgeError):
        await future


FILL_A_SMALL_DISK = """
import asyncio, sys
from pathlib import Path
from bootstrapd.edge.journal import Journal
from bootstrapd.model import Forgotten

async def main():
    folder = Path(sys.argv[1])
    (folder / "ballast").write_bytes(bytes(11_500_000))
    journal = Journal(folder / "journal.db")
    await journal.start()
    futures = [journal.append(Forgotten(id=f"{n:09}", machine="m" * 200, at=0.0)) for n in range(2000)]
    while not journal.problem:
        await asyncio.sleep(0.01)
    (folder / "ballast").unlink()
    (folder / "ballast").write_bytes(b"")
    await asyncio.gather(*futures)
    await journal.close()
    print(len(list(journal.events())))

asyncio.run(main())
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_really_full_disk(tmp_path: Path) -> None:
    mount_and_run = 'mount -t tmpfs -o size=12m none "$1" && exec "$2" -c "$3" "$1"'
    argv = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        mount_and_run,
        "sh",
        str(tmp_path),
        sys.executable,
        FILL_A_SMALL_DISK,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    assert "the disk is full; free some space" in done.stdout
    assert "the journal is written again" in done.stdout
    assert done.stdout.splitlines()[-1] == "2000"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_disk_that_is_full_at_the_start(tmp_path: Path) -> None:
    """Whatever could still be made: one sentence that names the file."""
    fill_and_start = (
        'mount -t tmpfs -o size=64k none "$1" && cat /dev/zero >"$1/ballast" 2>/dev/null; '
        'exec "$2" -m bootstrapd.cli serve --interface lo --state "$1/state"'
    )
    argv = ["unshare", "--mount", "--net", "sh", "-c", f"ip link set lo up; {fill_and_start}", "sh"]
    done = subprocess.run([*argv, str(tmp_path), sys.executable], capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    (sentence,) = [line for line in done.stderr.splitlines() if line.startswith("bootstrapd: ")]
    assert f"{tmp_path}/state/" in sentence
    assert "No space left on device; make room there" in sentence
    assert "Traceback" not in done.stderr


def exists(path: Path) -> bool:
    return path.exists()


def content(path: Path) -> bytes:
    return path.read_bytes()


def remove(path: Path) -> None:
    path.unlink()


def shell(command: str) -> None:
    subprocess.run(["sh", "-c", command], check=True)


async def spoilt(path: Path, spoil: Callable[[Path], object]) -> str:
    """The words with which a journal of three events is refused after `spoil`; it must be left as it is."""
    await written(path, *(asked(number) for number in (1, 2, 3)))
    spoil(path)
    before = content(path)
    with pytest.raises(DamagedError) as caught:
        await replayed(path)
    assert content(path) == before
    assert str(caught.value).startswith(f"journal {path} ")
    assert caught.value.exit_code == 3
    return str(caught.value)


def sql(statement: str, *values: object) -> Callable[[Path], None]:
    def run(path: Path) -> None:
        with sqlite3.connect(path) as db:
            db.execute(statement, values)
        db.close()

    return run


def bytes_at(offset: int, junk: bytes) -> Callable[[Path], None]:
    def run(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(junk)

    return run


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (lambda path: path.write_bytes(b""), "it is a database, but not a journal"),
        (lambda path: path.write_bytes(b"not a database at all" * 500), "file is not a database"),
        (bytes_at(4096, b"\xff" * 4096), "malformed"),
        (bytes_at(0, b"\x00" * 16), "file is not a database"),
        (lambda path: os.truncate(path, 8192), "malformed"),
        (sql("DELETE FROM events WHERE seq = 2"), "event 2 is missing"),
        (
            sql("UPDATE events SET body = CAST(replace(body, 'dhcp', 'tftp') AS BLOB) WHERE seq = 3"),
            "event 3 fails its checksum",
        ),
    ],
)
async def test_a_damaged_journal_is_refused_and_left_alone(
    path: Path, spoil: Callable[[Path], None], what: str
) -> None:
    message = await spoilt(path, spoil)
    assert what in message
    assert f"mv {path} {path}.damaged" in message


async def test_the_way_out_of_damage_works_as_printed(path: Path) -> None:
    message = await spoilt(path, bytes_at(4096, b"\xff" * 4096))
    shell(message[message.index("mv ") :])
    assert await replayed(path) == []
    assert path.with_name("journal.db.damaged").exists()


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (sql("PRAGMA user_version = 3"), "its format is 3, this one reads 2"),
        (
            sql("UPDATE events SET body = ?, crc = ? WHERE seq = 2", b'{"event":"Beamed"}', 3264754119),
            "event 2 is a Beamed, which this one does not know",
        ),
    ],
)
async def test_a_newer_versions_journal_is_refused(
    path: Path, spoil: Callable[[Path], None], what: str
) -> None:
    message = await spoilt(path, spoil)
    assert f"was written by a newer bootstrapd ({what}): start that version again" in message


async def test_a_folder_that_cannot_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgeError, match=r"journal\.db\.lock cannot be made: File exists"):
        await Journal(tmp_path / "file" / "journal.db").start()


async def test_a_refused_start_leaves_no_lock(path: Path) -> None:
    await spoilt(path, lambda path: path.write_bytes(b"junk" * 1000))
    remove(path)
    assert await replayed(path) == []


async def test_a_lost_head_is_damage_and_says_what_is_not_known_any_more(path: Path) -> None:
    message = await spoilt(path, sql("DELETE FROM events WHERE seq <= 2"))
    assert "event 1 is missing" in message
    assert "which of them were ready is not known any more" in message


async def test_the_folders_it_makes_are_closed_to_strangers(tmp_path: Path) -> None:
    await written(tmp_path / "a" / "b" / "journal.db", asked(1))
    assert [(tmp_path / folder).stat().st_mode & 0o777 for folder in ("a", "a/b")] == [0o750, 0o750]
