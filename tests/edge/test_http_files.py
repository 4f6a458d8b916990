"""Files over HTTP: whole, in ranges, resumed, and files that are not what they were."""

from __future__ import annotations

import asyncio
from pathlib import Path

from http_serving import DEADLINE_S, HOST, NEEDS_CURL, ask, big_file, run, serving

from bootstrapd.edge.http_sendfile import SLICE
from bootstrapd.model import FileReply


async def test_a_download_is_whole_and_told(tmp_path: Path) -> None:
    """H9: Content-Length, never chunked."""
    file = big_file(tmp_path)
    async with serving({"initrd": file}) as server:
        response = await ask(server.port, "GET", "/initrd")
        assert response.body == file.path.read_bytes()
        assert response.header("ETag") == f'"{"ab" * 32}"'
        assert response.header("Accept-Ranges") == "bytes"
        assert not response.has("Transfer-Encoding")
        assert server.sent == [("initrd", True)]
        assert server.counters["http.bytes"] == file.size
        assert server.counters["http.200"] == 1


async def test_ranges(tmp_path: Path) -> None:
    file = big_file(tmp_path)
    data = file.path.read_bytes()
    async with serving({"initrd": file}) as server:
        middle = await ask(server.port, "GET", "/initrd", Range="bytes=1000-1999")
        assert (middle.status, middle.body) == (206, data[1000:2000])
        assert middle.header("Content-Range") == f"bytes 1000-1999/{file.size}"
        last = await ask(server.port, "GET", "/initrd", Range="bytes=-17")
        assert (last.status, last.body) == (206, data[-17:])
        stale = await ask(server.port, "GET", "/initrd", Range="bytes=5-9", If_Range='"old"')
        assert (stale.status, len(stale.body)) == (200, file.size)
        beyond = await ask(server.port, "GET", "/initrd", Range=f"bytes={file.size}-")
        assert (beyond.status, beyond.header("Content-Range")) == (416, f"bytes */{file.size}")
        known = await ask(server.port, "GET", "/initrd", If_None_Match=middle.header("ETag"))
        assert (known.status, known.has("Content-Length")) == (304, False)
        assert server.sent == [("initrd", False), ("initrd", True), ("initrd", True)]


@NEEDS_CURL
async def test_curl_resumes_a_download(tmp_path: Path) -> None:
    file, part = big_file(tmp_path), tmp_path / "part"
    part.write_bytes(file.path.read_bytes()[:1_000_000])
    async with serving({"initrd": file}) as server:
        url = f"http://{HOST}:{server.port}/initrd"
        await run("curl", "-sS", "--fail", "-C", "-", "-o", str(part), url)
        assert part.read_bytes() == file.path.read_bytes()
        assert server.counters["http.206"] == 1
        assert server.sent == [("initrd", True)]


async def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    async with serving({"empty": FileReply(path=tmp_path / "empty", name="empty")}) as server:
        response = await ask(server.port, "GET", "/empty")
        assert (response.status, response.header("Content-Length")) == (200, "0")
        assert server.sent == [("empty", True)]


async def test_a_file_without_a_known_hash_has_a_tag_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "x.efi"
    path.write_bytes(b"one")
    async with serving({"x.efi": FileReply(path=path, name="x.efi")}) as server:
        first = (await ask(server.port, "GET", "/x.efi")).header("ETag")
        assert (await ask(server.port, "GET", "/x.efi", If_None_Match=first)).status == 304
        path.write_bytes(b"three")
        assert (await ask(server.port, "GET", "/x.efi")).header("ETag") != first


async def test_a_missing_or_swapped_file_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"half")
    replies = {
        "gone": FileReply(path=tmp_path / "gone", name="gone"),
        "short": FileReply(path=tmp_path / "short", name="short", etag="ab", size=8),
        "folder": FileReply(path=tmp_path, name="folder"),
    }
    async with serving(replies) as server:
        for path in replies:
            response = await ask(server.port, "GET", f"/{path}")
            assert response.status == 404
            assert str(tmp_path).encode() not in response.body
        assert server.counters["http.unreadable"] == 3


async def test_a_file_that_shrinks_in_mid_transfer_ends_the_connection(tmp_path: Path) -> None:
    size = 64_000_000
    path = tmp_path / "sparse"
    path.touch()
    with path.open("r+b") as opened:
        opened.truncate(size)
    async with serving({"sparse": FileReply(path=path, name="sparse", size=size)}) as server:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        writer.write(b"GET /sparse HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        with path.open("r+b") as opened:
            opened.truncate(10_000_000)
        got = await asyncio.wait_for(reader.read(-1), DEADLINE_S)
        assert len(got) < size
        writer.close()
        await writer.wait_closed()
        assert server.sent == [("sparse", False)]
        assert server.counters["http.broken_off"] == 1


async def test_a_peer_that_closes_its_own_half_in_mid_answer_gets_the_rest(tmp_path: Path) -> None:
    file = big_file(tmp_path, 40 * SLICE)
    async with serving({"initrd": file}) as server:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        writer.write(b"GET /initrd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S)
        writer.write_eof()
        body = await asyncio.wait_for(reader.read(), DEADLINE_S)
        writer.close()
        assert body == file.path.read_bytes()
        assert server.sent == [("initrd", True)]


@NEEDS_CURL
async def test_a_download_gives_way_after_every_slice(tmp_path: Path) -> None:
    """However fast the peer takes it: DHCP waits on the same loop."""
    slices = 40
    file = big_file(tmp_path, slices * SLICE)
    async with serving({"initrd": file}) as server:
        command = ("curl", "-sS", "--fail", "-o", "/dev/null", f"http://{HOST}:{server.port}/initrd")
        curl = await asyncio.create_subprocess_exec(*command)
        turns = 0
        while not server.sent:
            await asyncio.sleep(0)
            turns += bool(server.asks)
        assert await asyncio.wait_for(curl.wait(), DEADLINE_S) == 0
        assert server.sent == [("initrd", True)]
        assert turns >= slices
