"""Our server against clients that others wrote: tftpy, atftp, curl, tftp-hpa."""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tftpy
from tftp_serving import Served, serving

PATIENCE_S = 60
CURL_TFTP_NOT_FOUND, CURL_TFTP_NO_PERMISSION = 68, 69
SIZES = [0, 1, 511, 512, 513, 1468, 100_000]
WAYS: list[dict[str, Any]] = [{}, {"segmentation": False}, {"single_port": True}]

Command = Callable[[int, str, Path], list[str]]  # port, remote name, local file

COMMANDS: dict[str, Command] = {
    "atftp": lambda port, name, to: ["atftp", "-g", "-r", name, "-l", str(to), "127.0.0.1", str(port)],
    "atftp, windows": lambda port, name, to: [
        *("atftp", "--option", "windowsize 8", "--option", "blksize 1428"),
        *("-g", "-r", name, "-l", str(to), "127.0.0.1", str(port)),
    ],
    "atftp, all options": lambda port, name, to: [
        *("atftp", "--option", "tsize 0", "--option", "blksize 1024", "--option", "timeout 2"),
        *("-g", "-r", name, "-l", str(to), "127.0.0.1", str(port)),
    ],
    "curl": lambda port, name, to: ["curl", "-sS", "-o", str(to), f"tftp://127.0.0.1:{port}/{name}"],
    "curl, large blocks": lambda port, name, to: [
        *("curl", "-sS", "--tftp-blksize", "1468", "-o", str(to)),
        f"tftp://127.0.0.1:{port}/{name}",
    ],
    "curl, no options": lambda port, name, to: [
        *("curl", "-sS", "--tftp-no-options", "-o", str(to)),
        f"tftp://127.0.0.1:{port}/{name}",
    ],
    "tftp-hpa": lambda port, name, to: [
        *("tftp", "-m", "octet", "127.0.0.1", str(port), "-c", "get", name, str(to))
    ],
}


async def run(*command: str) -> tuple[int, str]:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(PATIENCE_S):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


def content_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def a_file(tmp_path: Path, size: int) -> Path:
    path = tmp_path / "served"
    path.write_bytes(content_of(size))
    return path


def arrived(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


# curl calls the true size of an empty file, "tsize 0", invalid, whoever says it.
CANNOT_READ_NOTHING = {"curl", "curl, large blocks"}


@pytest.mark.parametrize(
    ("client", "size"),
    [(client, size) for client in COMMANDS for size in SIZES if size or client not in CANNOT_READ_NOTHING],
)
async def test_T8_sizes(client: str, size: int, tmp_path: Path) -> None:
    to = tmp_path / "got"
    async with serving({"nbp/a.efi": a_file(tmp_path, size)}) as served:
        code, output = await run(*COMMANDS[client](served.server.port, "nbp/a.efi", to))
        assert code == 0, output
        # curl makes no file of nothing
        assert (arrived(to) or b"") == content_of(size)
        await served.wait_for_end(("nbp/a.efi", "done"))


@pytest.mark.parametrize("client", COMMANDS)
@pytest.mark.parametrize("way", WAYS)
async def test_T13_ways(client: str, way: dict[str, Any], tmp_path: Path) -> None:
    """T13: single port too."""
    to = tmp_path / "got"
    async with serving({"a.efi": a_file(tmp_path, 1_000_000)}, **way) as served:
        code, output = await run(*COMMANDS[client](served.server.port, "a.efi", to))
        assert code == 0, output
        assert arrived(to) == content_of(1_000_000)
        assert served.counters["tftp.retransmit"] == 0


@pytest.mark.parametrize("way", [{}, {"single_port": True}])
async def test_T7_a_file_of_more_than_65535_blocks(way: dict[str, Any], tmp_path: Path) -> None:
    """T7: as curl counts them."""
    size, to = 65_540 * 8 + 5, tmp_path / "got"
    async with serving({"a.efi": a_file(tmp_path, size)}, **way) as served:
        url = f"tftp://127.0.0.1:{served.server.port}/a.efi"
        code, output = await run("curl", "-sS", "--tftp-blksize", "8", "-o", str(to), url)
        assert code == 0, output
        assert arrived(to) == content_of(size)


async def test_T12_not_found(tmp_path: Path) -> None:
    async with serving({}) as served:
        for client in ("atftp", "tftp-hpa"):
            _, output = await run(*COMMANDS[client](served.server.port, "missing", tmp_path / "got"))
            assert "file not found" in output.lower(), client
        code, _ = await run(*COMMANDS["curl"](served.server.port, "missing", tmp_path / "got"))
        assert code == CURL_TFTP_NOT_FOUND


async def test_T14_writing_is_refused(tmp_path: Path) -> None:
    source = a_file(tmp_path, 100)
    async with serving({}) as served:
        url = f"tftp://127.0.0.1:{served.server.port}/new"
        code, _ = await run("curl", "-sS", "-T", str(source), url)
        assert code == CURL_TFTP_NO_PERMISSION
        assert served.counters["tftp.refused.write"] == 1


async def tftpy_gets(served: Served, name: str, to: Path, options: dict[str, int]) -> None:
    client = tftpy.TftpClient("127.0.0.1", served.server.port, options)
    await asyncio.wait_for(asyncio.to_thread(client.download, name, str(to)), PATIENCE_S)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("options", [{}, {"blksize": 1468}, {"blksize": 1432, "tsize": 0}])
async def test_T2_tftpy(size: int, options: dict[str, int], tmp_path: Path) -> None:
    to = tmp_path / "got"
    async with serving({"a.efi": a_file(tmp_path, size)}) as served:
        await tftpy_gets(served, "a.efi", to, options)
        assert arrived(to) == content_of(size)
        await served.wait_for_end(("a.efi", "done"))


async def test_T12_tftpy_hears_that_there_is_none(tmp_path: Path) -> None:
    async with serving({}) as served:
        with pytest.raises(tftpy.TftpShared.TftpException, match="File not found"):
            await tftpy_gets(served, "missing", tmp_path / "got", {})
