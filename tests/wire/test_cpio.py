"""newc cpio against the real `cpio` program, both ways, and against any bytes at all."""

from __future__ import annotations

import shutil
import stat
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bootstrapd.errors import WireError
from bootstrapd.wire.cpio import CpioFile, build, folder, parse, symlink

OVERLAY = [
    CpioFile("ssh/authorized_keys", b"ssh-ed25519 AAAA me\n"),
    CpioFile("ssh/ssh_host_ed25519_key", b"secret", stat.S_IFREG | 0o600),
    CpioFile("addrs.json", b"[]"),
    symlink("ssh/link", "authorized_keys"),
    folder("empty", 0o700),
    CpioFile("bootstrapd/token", b"x" * 1001),
]
NEEDS_CPIO = pytest.mark.skipif(shutil.which("cpio") is None, reason="needs the cpio program: apt install cpio")

names = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..", "TRAILER!!!")
)
paths = st.lists(names, min_size=1, max_size=3).map("/".join)


def test_every_folder_comes_before_what_is_in_it() -> None:
    """N3: the kernel makes no folders by itself."""
    read = parse(build(OVERLAY))
    assert [file.path for file in read] == [
        "ssh",
        "ssh/authorized_keys",
        "ssh/ssh_host_ed25519_key",
        "addrs.json",
        "ssh/link",
        "empty",
        "bootstrapd",
        "bootstrapd/token",
    ]
    assert read[0] == folder("ssh")
    assert read[2].mode == stat.S_IFREG | 0o600
    assert read[4].data == b"authorized_keys"


def test_same_files_same_bytes_and_a_whole_number_of_blocks() -> None:
    archive = build(OVERLAY)
    assert archive == build(list(OVERLAY))
    assert len(archive) % 512 == 0
    assert archive.startswith(b"070701")


@NEEDS_CPIO
def test_the_cpio_program_unpacks_what_we_build(tmp_path: Path) -> None:
    """N3."""
    subprocess.run(["cpio", "-idm", "--quiet"], input=build(OVERLAY), cwd=tmp_path, check=True)
    assert (tmp_path / "ssh/authorized_keys").read_bytes() == b"ssh-ed25519 AAAA me\n"
    assert (tmp_path / "bootstrapd/token").read_bytes() == b"x" * 1001
    assert (tmp_path / "ssh/link").readlink() == Path("authorized_keys")
    assert stat.S_IMODE((tmp_path / "ssh/ssh_host_ed25519_key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "empty").stat().st_mode) == 0o700
    assert (tmp_path / "ssh/authorized_keys").stat().st_mtime == 0


@NEEDS_CPIO
def test_we_read_what_the_cpio_program_builds(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir(mode=0o750)
    (tmp_path / "d" / "file").write_bytes(bytes(range(256)) * 5)
    (tmp_path / "link").symlink_to("d/file")
    made = subprocess.run(
        ["cpio", "-o", "-H", "newc", "--quiet"],
        input=b"d\nd/file\nlink\n",
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    read = {file.path: file for file in parse(made.stdout)}
    assert read["d"].mode == stat.S_IFDIR | 0o750
    assert read["d/file"].data == bytes(range(256)) * 5
    assert read["link"].data == b"d/file"


@NEEDS_CPIO
@settings(max_examples=25, deadline=None)  # a process an example
@given(st.dictionaries(names, st.binary(max_size=40), max_size=4))
def test_the_cpio_program_lists_every_name_of_ours(files: dict[str, bytes]) -> None:
    archive = build(CpioFile(name, data) for name, data in files.items())
    listed = subprocess.run(["cpio", "-t", "--quiet", "-0"], input=archive, check=True, capture_output=True)
    assert listed.stderr == b""
    assert len(parse(archive)) == len(files)


@given(st.lists(st.tuples(paths, st.binary(max_size=64)), max_size=5, unique_by=lambda pair: pair[0]))
def test_what_is_built_reads_back(pairs: list[tuple[str, bytes]]) -> None:
    files = [CpioFile(path, data) for path, data in pairs]
    try:
        archive = build(files)
    except ValueError:
        assert any(a != b and b.startswith(a + "/") for a, _ in pairs for b, _ in pairs)
        return
    read = parse(archive)
    assert [file for file in read if stat.S_ISREG(file.mode)] == files


@given(st.binary(max_size=300))
def test_any_bytes_give_files_or_a_wire_error(data: bytes) -> None:
    with suppress(WireError):
        parse(data)


@given(st.data())
def test_any_mutation_gives_files_or_a_wire_error(data: st.DataObject) -> None:
    archive = bytearray(build(OVERLAY))
    for _ in range(data.draw(st.integers(1, 4))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(archive)))
    with suppress(WireError):
        parse(bytes(archive[:cut]))


SPOILED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut in the header": lambda a: a[:50],
    "cut in the body": lambda a: a[:118],
    "no trailer": lambda a: a[: a.rindex(b"070701")],
    "junk behind the trailer": lambda a: a + b"x",
    "crc format": lambda a: a.replace(b"070701", b"070702", 1),
    "a sign in a number": lambda a: a[:54] + b"+0000004" + a[62:],
    "a device node": lambda a: a.replace(b"%08X" % 0o100644, b"%08X" % 0o020644, 1),
    "a name without its NUL": lambda a: a.replace(b"file\0", b"fileX", 1),
    "a name with a NUL in it": lambda a: a.replace(b"file\0", b"f\0le\0", 1),
    "a name that is not UTF-8": lambda a: a.replace(b"file\0", b"fil\xff\0", 1),
    "a huge size": lambda a: a[:54] + b"FFFFFFFF" + a[62:],
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED.keys())
def test_broken_archives_are_refused(spoil: Callable[[bytes], bytes]) -> None:
    archive = build([CpioFile("file", b"body"), CpioFile("other", b"more")])
    assert spoil(archive) != archive
    with pytest.raises(WireError):
        parse(spoil(archive))


def test_zeros_behind_the_trailer_are_padding() -> None:
    archive = build([CpioFile("file")])
    assert parse(archive + bytes(4096)) == [CpioFile("file")]


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../b", "a//b", "", ".", "a\0b", "TRAILER!!!", "x" * 5000]
)
def test_paths_that_leave_the_archive_cannot_be_built(path: str) -> None:
    with pytest.raises(ValueError, match="cpio"):
        build([CpioFile(path)])


@pytest.mark.parametrize("second", ["a", "a/b"])
def test_a_path_comes_once(second: str) -> None:
    with pytest.raises(ValueError, match="twice"):
        build([CpioFile("a/b"), CpioFile(second)])
