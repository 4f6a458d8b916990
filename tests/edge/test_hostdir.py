"""The hosts folder: read within bounds, watched, and edited without losing what a person wrote."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from bootstrapd.config import parse_hosts
from bootstrapd.edge import hostdir as module
from bootstrapd.edge import hostdir_files
from bootstrapd.edge.hostdir import HostDir, add_host, add_mac, declaration, read, remove_host
from bootstrapd.errors import ConfigError, RefusedError
from bootstrapd.model import DiskSelector, Host, HostBook, Mac

DEADLINE_S = 20.0
MAC = Mac.parse("52:54:00:aa:bb:01")
OTHER = Mac.parse("52:54:00:aa:bb:02")


def put(folder: Path, path: str, text: str) -> None:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def host_text(mac: str = MAC) -> str:
    return f'profile = "minimal"\n[match]\nmac = ["{mac}"]\n'


class Kept:
    """A watched folder and all that it said."""

    def __init__(self, folder: Path) -> None:
        self.said: asyncio.Queue[HostBook | list[str]] = asyncio.Queue()
        self.dir = HostDir(folder, parse_hosts, self.said.put_nowait, self.said.put_nowait)

    async def next(self) -> HostBook | list[str]:
        async with asyncio.timeout(DEADLINE_S):
            return await self.said.get()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path, "hosts/w1/host.toml", host_text())
    return tmp_path / "hosts"


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


FULL = Host(
    name="w2",
    profile="minimal",
    macs=(MAC, OTHER),
    uuid="4c4c4544-0042-3510-8052-b4c04f4d4e32",
    serial='A "quoted" one \\',
    port="sw1/7",
    disk={"main": DiskSelector(type="nvme", size=">=1T"), "data": DiskSelector(wwn="eui.1")},
    address="10.0.0.9/24",
    labels={"rack": "4"},
    program="snp.efi",
    tftp_blksize=512,
    tftp_windowsize=1,
)


@pytest.mark.parametrize("host", [FULL, Host(name="w2", profile="minimal")], ids=["full", "bare"])
def test_an_added_host_reads_back_as_it_was(tmp_path: Path, host: Host) -> None:
    file = add_host(tmp_path / "hosts", host)
    assert file == tmp_path / "hosts" / "w2" / "host.toml"
    assert file.stat().st_mode & 0o777 == 0o644  # the daemon's user reads what root has written
    assert [path.name for path in file.parent.iterdir()] == ["host.toml"]
    book = parse_hosts(read(tmp_path / "hosts"))
    assert book.hosts["w2"] == replace(host, source="hosts/w2/host.toml")


def test_a_declaration_is_what_a_person_would_write() -> None:
    host = Host(name="w1", profile="minimal", macs=(MAC,), labels={"rack": "4"})
    assert declaration(host) == (
        'profile = "minimal"\n\n[match]\nmac = ["52:54:00:aa:bb:01"]\n\n[labels]\nrack = "4"\n'
    )


def test_a_host_is_never_overwritten(folder: Path) -> None:
    with pytest.raises(RefusedError, match=r"w1/host\.toml is there already; edit it, or remove") as caught:
        add_host(folder, Host(name="w1", profile="other"))
    assert caught.value.code == "HOST_EXISTS"
    assert read(folder) == {"w1/host.toml": host_text()}


@pytest.mark.parametrize("name", ["", ".", "..", "../w", "a/b", "/etc"])
def test_a_name_never_leaves_the_folder(folder: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the name of a host"):
        add_host(folder, Host(name=name, profile="p"))
    with pytest.raises(ConfigError, match="cannot be the name of a host"):
        remove_host(folder, name)


def test_removing_leaves_other_files(folder: Path) -> None:
    put(folder, "w1/notes.txt", "mine")
    assert remove_host(folder, "w1") == folder / "w1" / "host.toml"
    assert (folder / "w1" / "notes.txt").read_text() == "mine"
    assert remove_host(folder, "w1") is None
    put(folder, "w2/host.toml", host_text())
    remove_host(folder, "w2")
    assert not (folder / "w2").exists()


COMMENTED = """\
# The web server in rack 4.
profile = "minimal"   # for now

[labels]
rack = "4"  # top

[match]
# left port first
mac = [
    "52-54-00-AA-BB-01",  # left
]
serial = "ABC1234"

[network]
address = "10.0.0.9/24"
"""


def test_adding_a_mac_keeps_comments_and_order(folder: Path) -> None:
    put(folder, "w1/host.toml", COMMENTED)
    add_mac(folder, "w1", OTHER)
    text = (folder / "w1" / "host.toml").read_text()
    assert text == COMMENTED.replace('01",  # left\n', '01",  # left\n    "52:54:00:aa:bb:02",\n')
    assert parse_hosts(read(folder)).hosts["w1"].macs == (MAC, OTHER)


@pytest.mark.parametrize(
    "text",
    [
        'profile = "minimal"\n',
        'profile = "minimal"\n# end',
        'profile = "minimal"\nmatch = { serial = "ABC1234" }\n',
        'profile = "minimal"\nmatch.serial = "ABC1234"\n',
        'profile = "minimal"\n[match]\nserial = "ABC1234"\n[labels]\nrack = "4"\n',
        'profile = "minimal"\n[match]\nmac = []\n',
        'profile = "minimal"\r\n[match]\r\nmac = [ "52:54:00:aa:bb:01" ] # one\r\n',
    ],
)
def test_adding_a_mac_to_any_spelling(folder: Path, text: str) -> None:
    (folder / "w1" / "host.toml").write_text(text, newline="")
    add_mac(folder, "w1", OTHER)
    after = (folder / "w1" / "host.toml").read_bytes().decode()
    assert OTHER in parse_hosts(read(folder)).hosts["w1"].macs
    assert all(piece in after for piece in text.split("\n")[:1])
    assert after.count("\r\n") >= text.count("\r\n")


def test_adding_a_mac_that_is_there_changes_nothing(folder: Path) -> None:
    put(folder, "w1/host.toml", COMMENTED)
    before = (folder / "w1" / "host.toml").stat()
    add_mac(folder, "w1", MAC)
    assert (folder / "w1" / "host.toml").stat().st_ino == before.st_ino
    assert (folder / "w1" / "host.toml").read_text() == COMMENTED


@pytest.mark.parametrize(
    "text", ["match = 3", "[match]\nmac = 'x'", "[[match]]\nmac = []", "profile = ", "a=1\na=2"]
)
def test_adding_a_mac_to_a_broken_file_is_said(folder: Path, text: str) -> None:
    put(folder, "w1/host.toml", text)
    with pytest.raises(ConfigError, match=r"w1/host\.toml: "):
        add_mac(folder, "w1", OTHER)
    assert (folder / "w1" / "host.toml").read_text() == text


def test_adding_a_mac_to_no_host_is_said(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"w9/host\.toml: is not there; there is no such host"):
        add_mac(folder, "w9", OTHER)


def test_a_link_into_the_store_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    put(tmp_path, "store.toml", host_text())
    file = folder / "w1" / "host.toml"
    file.unlink()
    file.symlink_to(tmp_path / "store.toml")
    with pytest.raises(
        RefusedError, match=r"it is a link to .*store\.toml\); add \"52:54:00:aa:bb:02\" to mac"
    ):
        add_mac(folder, "w1", OTHER)
    assert (tmp_path / "store.toml").read_text() == host_text()


def test_a_failed_write_leaves_the_old_text(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RefusedError, match="No space left on device"):
        add_mac(folder, "w1", OTHER)
    assert read(folder) == {"w1/host.toml": host_text()}
    assert [path.name for path in (folder / "w1").iterdir()] == ["host.toml"]


def test_a_read_only_folder_refuses_and_prints_the_toml(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", read_only)
    host = Host(name="w2", profile="minimal", macs=(OTHER,))
    with pytest.raises(RefusedError) as caught:
        add_host(folder, host)
    assert str(caught.value) == (
        f"{folder}/w2/host.toml cannot be written (Read-only file system); put this there yourself:\n\n"
        + declaration(host)
    )


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a read-only file system")
def test_a_really_read_only_folder(folder: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from bootstrapd.edge.hostdir import *; "
        "from bootstrapd.errors import RefusedError; from bootstrapd.model import Host, Mac\n"
        "folder = Path(sys.argv[1])\n"
        "for act in (lambda: add_host(folder, Host(name='w2', profile='p')), lambda: remove_host(folder, 'w1'),"
        " lambda: add_mac(folder, 'w1', Mac('52:54:00:aa:bb:02'))):\n"
        "    try: act()\n"
        "    except RefusedError as error: print(str(error).splitlines()[0])\n"
    )
    mount = 'mount --bind "$1" "$1" && mount -o remount,ro,bind "$1" && exec "$2" -c "$3" "$1"'
    argv = ["unshare", "--mount", "sh", "-c", mount, "sh", str(folder), sys.executable, script]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.count("cannot be written (Read-only file system)") == 3, done


async def test_many_editors_at_once_lose_nothing(folder: Path) -> None:
    macs = [Mac.of(bytes([0x52, 0x54, 0, 0, 1, number])) for number in range(40)]
    await asyncio.gather(*(asyncio.to_thread(add_mac, folder, "w1", mac) for mac in macs))
    assert set(parse_hosts(read(folder)).hosts["w1"].macs) == {MAC, *macs}


def test_a_name_that_is_no_text_is_a_sentence_that_can_be_sent(folder: Path) -> None:
    put(folder, "x\udcff/host.toml", host_text(OTHER))
    put(folder, "profiles/p\udcfe.toml", "image = 'x'")
    with pytest.raises(ConfigError) as caught:
        read(folder)
    profile, host = sorted(caught.value.mistakes)
    assert profile.startswith(rf"{folder}/profiles/p\udcfe.toml: the name is not UTF-8")
    assert host.startswith(rf"{folder}/x\udcff/host.toml: the name is not UTF-8")
    assert "".join(caught.value.mistakes).encode()
