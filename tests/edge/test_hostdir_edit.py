"""The hosts folder edited: nothing lost of what a person wrote, nothing written outside it."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hosts_folder import MAC, OTHER, host_text, put
from msgspec.structs import replace

from bootstrapd.config import parse_hosts
from bootstrapd.edge.hostdir import add_host, add_mac, declaration, read, remove_host
from bootstrapd.errors import ConfigError, EdgeError, RefusedError
from bootstrapd.model import DiskSelector, Host, Mac

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
    with pytest.raises(EdgeError, match=r"No space left on device.*free some room"):
        add_mac(folder, "w1", OTHER)
    assert read(folder) == {"w1/host.toml": host_text()}
    assert [path.name for path in (folder / "w1").iterdir()] == ["host.toml"]


def test_a_failed_declaration_leaves_no_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    put(folder, "w3/configuration.nix", "{ }")
    for name in ("w2", "w3"):
        with pytest.raises(EdgeError, match=r"No space left on device.*free some room"):
            add_host(folder, Host(name=name, profile="minimal", macs=(OTHER,)))
    assert sorted(path.name for path in folder.iterdir()) == ["w1", "w3"]
    assert [path.name for path in (folder / "w3").iterdir()] == ["configuration.nix"]


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
