"""The hosts folder: read within bounds, and watched."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hosts_folder import OTHER, host_text, put

from bootstrapd.config import parse_hosts
from bootstrapd.edge import hostdir as module
from bootstrapd.edge import hostdir_files
from bootstrapd.edge.hostdir import HostDir, read, read_as, remove_host
from bootstrapd.errors import ConfigError
from bootstrapd.model import HostBook

DEADLINE_S = 20.0


class Kept:
    """A watched folder and all that it said."""

    def __init__(self, folder: Path) -> None:
        self.said: asyncio.Queue[HostBook | list[str]] = asyncio.Queue()
        self.dir = HostDir(folder, parse_hosts, self.said.put_nowait, self.said.put_nowait)

    async def next(self) -> HostBook | list[str]:
        async with asyncio.timeout(DEADLINE_S):
            return await self.said.get()


@pytest.fixture
async def kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kept]:
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(module, "SETTLE_S", 0.01)
    kept = Kept(folder)
    await kept.dir.start()
    yield kept
    await kept.dir.close()
    assert kept.said.empty()


def test_hosts_and_profiles_are_read_and_nothing_else(folder: Path) -> None:
    put(folder, "profiles/p.toml", "image = 'x'")
    for path in (
        "flake.nix",
        "w1/disks.json",
        "layouts/x.nix",
        ".git/host.toml",
        "profiles/.#p.toml",
        "top.toml",
    ):
        put(folder, path, "junk")
    assert read(folder) == {"w1/host.toml": host_text(), "profiles/p.toml": "image = 'x'"}


def test_no_folder_is_no_hosts(tmp_path: Path) -> None:
    assert read(tmp_path / "nowhere") == {}


def test_links_are_followed_and_loops_end(folder: Path, tmp_path: Path) -> None:
    """A NixOS hosts folder is made of links into the store."""
    put(tmp_path, "store/w2/host.toml", host_text(OTHER))
    (folder / "w2").symlink_to(tmp_path / "store" / "w2")
    put(folder, "w3/x", "")
    (folder / "w3" / "host.toml").symlink_to(tmp_path / "store" / "w2" / "host.toml")
    (folder / "up").symlink_to(folder)
    assert set(read(folder)) == {"w1/host.toml", "w2/host.toml", "w3/host.toml"}


def test_every_unreadable_file_is_named(folder: Path) -> None:
    for name in ("fifo", "huge", "latin", "loop", "dangling", "folder"):
        (folder / name).mkdir()
    os.mkfifo(folder / "fifo" / "host.toml")
    put(folder, "huge/host.toml", "#" * (hostdir_files.FILE_MAX_BYTES + 1))
    (folder / "latin" / "host.toml").write_bytes(b'profile = "\xfc"')
    (folder / "loop" / "host.toml").symlink_to(folder / "loop" / "host.toml")
    (folder / "self").symlink_to(folder / "self")
    (folder / "dangling" / "host.toml").symlink_to(folder / "nowhere")
    (folder / "folder" / "host.toml").mkdir()
    with pytest.raises(ConfigError) as caught:
        read(folder)
    assert caught.value.mistakes == (
        f"{folder}/dangling/host.toml: cannot be read: No such file or directory",
        f"{folder}/fifo/host.toml: is not a regular file",
        f"{folder}/folder/host.toml: is not a regular file",
        f"{folder}/huge/host.toml: is larger than 262144 bytes, which no person wrote",
        f"{folder}/latin/host.toml: is not UTF-8 text (byte 11); save it as UTF-8",
        f"{folder}/loop/host.toml: cannot be read: Too many levels of symbolic links",
        f"{folder}/self/host.toml: cannot be read: Too many levels of symbolic links",
    )


def test_a_hosts_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    put(tmp_path, "hosts", "")
    with pytest.raises(ConfigError, match="the hosts folder cannot be read: Not a directory"):
        read(tmp_path / "hosts")


def test_the_number_of_files_is_bounded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hostdir_files, "FILES_MAX", 1)
    put(folder, "w2/host.toml", host_text(OTHER))
    with pytest.raises(ConfigError, match="expected at most 1 hosts and profiles, found 2"):
        read(folder)


def test_a_file_that_cannot_be_read_hides_no_mistake_and_makes_none_up(folder: Path) -> None:
    put(folder, "w2/host.toml", host_text(OTHER).replace("minimal", "p"))
    put(folder, "w3/host.toml", "profle = 1")
    put(folder, "profiles/p.toml", "")
    (folder / "profiles" / "p.toml").write_bytes(b"\xfc")
    with pytest.raises(ConfigError) as caught:
        read_as(folder, parse_hosts)
    assert caught.value.mistakes == (
        f"{folder}/profiles/p.toml: is not UTF-8 text (byte 0); save it as UTF-8",
        'hosts/w3/host.toml: profle: unknown key "profle"; did you mean "profile"?',
        "hosts/w3/host.toml: profile: expected the name of a profile, found nothing",
    )


def test_a_start_with_mistakes_tells_them_all(folder: Path) -> None:
    put(folder, "w2/host.toml", host_text() + "x = 1\n")
    with pytest.raises(ConfigError) as caught:
        Kept(folder)
    assert len(caught.value.mistakes) == 2


async def test_a_change_makes_a_new_book(kept: Kept, folder: Path) -> None:
    put(folder, "w2/host.toml", host_text(OTHER))
    book = await kept.next()
    assert book is kept.dir.book
    assert isinstance(book, HostBook)
    assert set(book.hosts) == {"w1", "w2"}
    remove_host(folder, "w1")
    book = await kept.next()
    assert isinstance(book, HostBook)
    assert set(book.hosts) == {"w2"}


async def test_a_broken_file_keeps_the_last_good_book_and_is_said_once(kept: Kept, folder: Path) -> None:
    good = kept.dir.book
    put(folder, "w1/host.toml", "profile = ")
    assert await kept.next() == ["hosts/w1/host.toml: is not TOML: Invalid value (at end of document)"]
    put(folder, "w1/host.toml", "profile = # the same mistake")
    put(folder, "w2/host.toml", host_text(OTHER) + "colour = 1\n")
    problems = await kept.next()
    assert isinstance(problems, list)
    assert (
        problems[1] == 'hosts/w2/host.toml: match.colour: unknown key "colour"; known: mac, port, serial, uuid'
    )
    assert kept.dir.book is good


async def test_a_mistake_taken_back_is_said_too(kept: Kept, folder: Path) -> None:
    good = kept.dir.book
    put(folder, "w1/host.toml", "profile = ")
    assert await kept.next()
    put(folder, "w1/host.toml", host_text())
    assert await kept.next() == []
    assert kept.dir.book is good


async def test_what_means_the_same_is_no_change(kept: Kept, folder: Path) -> None:
    good = kept.dir.book
    put(folder, "w1/host.toml", "# a comment\n" + host_text())
    assert await kept.dir.check() == []
    assert kept.dir.book is good


async def test_a_folder_taken_away_keeps_its_hosts(kept: Kept, folder: Path, tmp_path: Path) -> None:
    move(folder, tmp_path / "elsewhere")
    assert await kept.next() == [
        f"{folder}: the hosts folder is not there any more; put it back, or make it anew"
    ]
    assert set(kept.dir.book.hosts) == {"w1"}
    move(tmp_path / "elsewhere", folder)
    assert await kept.next() == []


async def test_a_check_on_demand_says_what_is_wrong(folder: Path) -> None:
    kept = Kept(folder)
    put(folder, "w1/host.toml", "profile = ")
    assert await kept.dir.check() == ["hosts/w1/host.toml: is not TOML: Invalid value (at end of document)"]
    assert await kept.dir.check() == await kept.next()
    assert kept.said.empty()


async def test_a_listener_that_fails_does_not_end_the_watching(kept: Kept, folder: Path) -> None:
    calls = asyncio.Event()

    def fail(_: HostBook) -> None:
        kept.dir._on_change = kept.said.put_nowait
        calls.set()
        raise ZeroDivisionError

    kept.dir._on_change = fail
    put(folder, "w2/host.toml", host_text(OTHER))
    async with asyncio.timeout(DEADLINE_S):
        await calls.wait()
    remove_host(folder, "w2")
    assert isinstance(await kept.next(), HostBook)


def move(old: Path, new: Path) -> None:
    old.rename(new)


def test_a_name_that_is_no_text_is_a_sentence_that_can_be_sent(folder: Path) -> None:
    put(folder, "x\udcff/host.toml", host_text(OTHER))
    put(folder, "profiles/p\udcfe.toml", "image = 'x'")
    with pytest.raises(ConfigError) as caught:
        read(folder)
    profile, host = sorted(caught.value.mistakes)
    assert profile.startswith(rf"{folder}/profiles/p\udcfe.toml: the name is not UTF-8")
    assert host.startswith(rf"{folder}/x\udcff/host.toml: the name is not UTF-8")
    assert "".join(caught.value.mistakes).encode()


async def test_networks_are_watched_and_a_broken_file_keeps_the_last_good_ones(
    kept: Kept, folder: Path
) -> None:
    put(folder, "networks.toml", '[network.boot]\nsubnet = "10.1.0.0/24"\n')
    book = await kept.next()
    assert isinstance(book, HostBook)
    assert book.networks["boot"].subnet == "10.1.0.0/24"
    put(folder, "networks.toml", '[network.boot]\nsubnet = "10.1.0.5/24"\n')
    said = await kept.next()
    assert isinstance(said, list)
    (mistake,) = said
    assert "networks.toml: network.boot.subnet: 10.1.0.5/24 is an address in a network" in mistake
    assert kept.dir.book == book
    put(folder, "networks.toml", '[network.boot]\nsubnet = "10.1.0.0/24"\n')
    assert await kept.next() == []
