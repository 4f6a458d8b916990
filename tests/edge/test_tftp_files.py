"""What is kept of files, and what it may cost."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from bootstrapd.edge.tftp_files import File, PacketCache, Text
from bootstrapd.errors import EdgeError
from bootstrapd.wire.tftp_blocks import Framed, Prebuilt

CONTENT = random.Random(2).randbytes(100_000)


@pytest.fixture
def nbp(tmp_path: Path) -> Path:
    path = tmp_path / "nbp.efi"
    path.write_bytes(CONTENT)
    return path


def test_usual_block_sizes_share_their_packets(nbp: Path) -> None:
    cache = PacketCache()
    first, second = File(nbp, cache), File(nbp, cache)
    packets = first.packets(1468)
    assert isinstance(packets, Prebuilt)
    assert second.packets(1468) is packets
    assert len(CONTENT) < cache.used_bytes < 1.3 * len(CONTENT)
    first.close()
    second.close()
    third = File(nbp, cache)
    assert third.packets(1468) is packets
    third.close()


@pytest.mark.parametrize("blksize", [8, 513, 1467])
def test_unusual_block_sizes_keep_nothing(nbp: Path, blksize: int) -> None:
    cache = PacketCache()
    file = File(nbp, cache)
    assert isinstance(file.packets(blksize), Framed)
    assert cache.used_bytes == 0
    file.close()


def test_large_files_keep_nothing(tmp_path: Path) -> None:
    path = tmp_path / "initrd"
    path.touch()
    os.truncate(path, 1 << 30)
    cache = PacketCache()
    file = File(path, cache)
    packets = file.packets(1468)
    assert isinstance(packets, Framed)
    assert len(packets.run(100_000, 100_064)) == 64 * 1472
    assert cache.used_bytes == 0
    file.close()


def test_what_nobody_uses_is_dropped_the_oldest_first(tmp_path: Path) -> None:
    cache = PacketCache(limit_bytes=300_000)
    files = []
    for number in range(4):
        path = tmp_path / str(number)
        path.write_bytes(CONTENT)
        files.append(path)

    def use(path: Path) -> object:
        file = File(path, cache)
        packets = file.packets(1468)
        file.close()
        return packets

    zero, one = use(files[0]), use(files[1])
    assert use(files[0]) is zero
    use(files[2])
    assert cache.used_bytes <= 300_000
    assert use(files[0]) is zero
    assert use(files[1]) is not one


def test_what_is_in_use_stays_and_counts(tmp_path: Path) -> None:
    """However many files and block sizes are asked for, the limit holds."""
    cache = PacketCache(limit_bytes=300_000)
    path = tmp_path / "nbp"
    path.write_bytes(CONTENT)
    opened = [File(path, cache) for _ in range(8)]
    kinds = [file.packets(blksize) for file, blksize in zip(opened, (512, 1024, 1408, 1428) * 2, strict=True)]
    assert [type(kind) for kind in kinds] == [Prebuilt, Prebuilt, Framed, Framed] * 2
    assert cache.used_bytes <= 300_000
    for file, kind in zip(opened, kinds, strict=True):
        assert bytes(kind.run(0, 1)) == b"\0\3\0\1" + CONTENT[: kind.blksize]
        file.close()
    later = File(path, cache)
    assert isinstance(later.packets(1428), Prebuilt)
    later.close()


def test_a_file_that_got_shorter(nbp: Path) -> None:
    for blksize in (1000, 1468):
        file = File(nbp, PacketCache())
        os.truncate(nbp, 50_000)
        with pytest.raises(EdgeError, match="got shorter"):
            file.packets(blksize).run(60, 64)
        file.close()
        nbp.write_bytes(CONTENT)


def test_a_disk_that_fails(nbp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> bytes:
        raise OSError(5, "Input/output error")

    file = File(nbp, PacketCache())
    monkeypatch.setattr(os, "pread", fail)
    with pytest.raises(EdgeError, match=r"nbp.efi cannot be read: Input/output error"):
        file.packets(1468)
    file.close()


def test_text() -> None:
    text = Text(b"#!ipxe\n")
    assert text.size == 7
    assert bytes(text.packets(512).run(0, 1)) == b"\0\3\0\1#!ipxe\n"
    text.close()
