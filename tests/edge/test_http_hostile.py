"""Clients that stall, lie, flood or talk nonsense lose their own connection, and cost nobody else anything."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bootstrapd.edge.http import HttpServer
from bootstrapd.edge.http_connection import Limits
from bootstrapd.model import FileAsk, FileReply, Nothing, Reply, TextReply

DEADLINE_S = 10.0
HOST = "127.0.0.1"
GET = b"GET /script HTTP/1.1\r\nHost: x\r\n\r\n"
LAST_GET = GET.replace(b"Host: x", b"Host: x\r\nConnection: close")
BIG_SIZE = 48_000_000


class Serving:
    """A listener with one small script and one big file."""

    def __init__(self, folder: Path) -> None:
        self.counters: Counter[str] = Counter()
        self.broken_off = asyncio.Event()
        self.bodies: list[bytes] = []
        self.port = 0
        big = folder / "initrd"
        big.write_bytes(random.Random(1).randbytes(BIG_SIZE // 48) * 48)
        self.digest = hashlib.sha256(big.read_bytes()).hexdigest()
        self.replies: dict[str, Reply] = {
            "script": TextReply(body=b"#!ipxe\n", name="script"),
            "initrd": FileReply(path=big, name="initrd", size=BIG_SIZE),
        }

    def fetch(self, ask: FileAsk) -> Reply:
        return self.replies.get(ask.path, Nothing("nothing here"))

    def sent(self, _ask: FileAsk, _reply: Reply, is_complete: bool) -> None:
        if not is_complete:
            self.broken_off.set()

    async def register(self, body: bytes, _client: str, _headers: Mapping[str, str]) -> tuple[int, bytes]:
        self.bodies.append(body)
        return 201, b"{}"

    async def still_serves(self) -> bool:
        return (await converse(self.port, LAST_GET)).endswith(b"#!ipxe\n")


@asynccontextmanager
async def serving(folder: Path, **limits: Any) -> AsyncIterator[Serving]:
    made = Serving(folder)
    server = HttpServer(
        HOST,
        [0],
        made.fetch,
        made.counters,
        posts={"/v1/register": made.register},
        sent=made.sent,
        limits=Limits(shutdown_s=0.05, **limits),
    )
    made.port = await server.start()
    try:
        yield made
    finally:
        await server.close()


@asynccontextmanager
async def connection(
    port: int, address: str = HOST
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(HOST, port, local_addr=(address, 0))
    try:
        yield reader, writer
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def until_eof(reader: asyncio.StreamReader) -> bytes:
    got = bytearray()
    with suppress(ConnectionError):
        while chunk := await asyncio.wait_for(reader.read(1 << 16), DEADLINE_S):
            got += chunk
    return bytes(got)


async def converse(port: int, request: bytes) -> bytes:
    """All that comes back until the server hangs up."""
    async with connection(port) as (reader, writer):
        writer.write(request)
        return await until_eof(reader)


def never_reads(port: int, path: bytes) -> socket.socket:
    """A connection that asks for a file and takes next to nothing of it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((HOST, port))
    client.sendall(b"GET /" + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    client.setblocking(False)
    return client


async def download(port: int) -> str:
    """The big file's sha256 as it arrived."""
    async with connection(port) as (reader, writer):
        writer.write(b"GET /initrd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S)
        return hashlib.sha256(await until_eof(reader)).hexdigest()


# Stalling


async def test_a_connection_that_never_asks_is_closed(tmp_path: Path) -> None:
    async with serving(tmp_path, request_s=0.05) as server, connection(server.port) as (reader, _):
        assert await until_eof(reader) == b""
        assert server.counters["http.refused.silent"] == 1


async def test_a_head_that_drips_in_is_closed_all_the_same(tmp_path: Path) -> None:
    async with serving(tmp_path, request_s=0.2) as server, connection(server.port) as (reader, writer):
        writer.write(b"GET /script HTTP/1.1\r\nX: ")
        for _ in range(1000):
            writer.write(b"x")
            with suppress(TimeoutError, ConnectionError):
                assert await asyncio.wait_for(reader.read(1), 0.01) == b""
                break
        assert server.counters["http.refused.silent"] == 1


async def test_a_second_head_that_drips_in_is_closed_too(tmp_path: Path) -> None:
    async with serving(tmp_path, idle_s=0.2) as server, connection(server.port) as (reader, writer):
        writer.write(GET + b"GET /")
        assert (await asyncio.wait_for(until_eof(reader), DEADLINE_S)).endswith(b"#!ipxe\n")


async def test_a_busy_connection_is_not_idle(tmp_path: Path) -> None:
    async with serving(tmp_path, idle_s=0.05, request_s=0.05) as server:
        reader, writer = await asyncio.open_connection(HOST, server.port, limit=4096)
        writer.write(b"GET /initrd HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        got = len(await reader.read(4096))
        with suppress(TimeoutError):
            await asyncio.wait_for(server.broken_off.wait(), 0.3)
        got += len(await until_eof(reader))
        assert got > BIG_SIZE
        writer.close()


async def test_a_client_that_stops_reading_is_dropped(tmp_path: Path) -> None:
    async with serving(tmp_path, stalled_s=0.3) as server:
        client = never_reads(server.port, b"initrd")
        await asyncio.wait_for(server.broken_off.wait(), DEADLINE_S)
        client.close()
        assert await server.still_serves()


async def test_a_client_that_hangs_up_leaves_nothing_behind(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        assert await server.still_serves()
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
        for _ in range(20):
            server.broken_off.clear()
            client = never_reads(server.port, b"initrd")
            await asyncio.get_running_loop().sock_recv(client, 1)
            client.close()
            await asyncio.wait_for(server.broken_off.wait(), DEADLINE_S)
        assert await server.still_serves()
        assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208


# Too many


async def test_one_client_has_so_many_connections_and_no_more(tmp_path: Path) -> None:
    async with serving(tmp_path, connections_per_client=2) as server:
        async with connection(server.port), connection(server.port):
            answer = await converse(server.port, b"")
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nRetry-After: 5\r\n" in answer
            assert answer.endswith(b"\r\n\r\ntoo many connections\n")
            assert server.counters["http.refused.too_many"] == 1
        for _ in range(100):  # until the server has seen the two hang up
            if await server.still_serves():
                break
        assert server.counters["http.200"] == 1


async def test_the_whole_listener_has_a_bound_too(tmp_path: Path) -> None:
    async with serving(tmp_path, connections=1) as server, connection(server.port):
        assert (await converse(server.port, b"")).startswith(b"HTTP/1.1 503 ")


async def test_idle_connections_do_not_shut_the_door(tmp_path: Path) -> None:
    """The longest idle one of the client that has the most makes room; those at work and the others stay."""
    async with serving(tmp_path, connections=4) as server, AsyncExitStack() as stack:
        open_: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        for address in ("127.0.0.3", "127.0.0.2", "127.0.0.2", "127.0.0.2"):
            open_.append(await stack.enter_async_context(connection(server.port, address)))
            assert await ask(*open_[-1]) == b"#!ipxe\n"
        assert await ask(*open_[1]) == b"#!ipxe\n"  # so that the second of that client is idle the longest
        assert await server.still_serves()
        assert server.counters["http.crowded_out"] == 1
        assert await until_eof(open_[2][0]) == b""
        for number in (0, 1, 3):
            assert await ask(*open_[number]) == b"#!ipxe\n"


async def test_connections_at_work_are_not_crowded_out(tmp_path: Path) -> None:
    async with serving(tmp_path, connections=1) as server, connection(server.port) as (reader, writer):
        writer.write(GET.replace(b"script", b"initrd"))
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S)
        assert (await converse(server.port, b"")).startswith(b"HTTP/1.1 503 ")
        body = await asyncio.wait_for(reader.readexactly(BIG_SIZE), DEADLINE_S)
        assert hashlib.sha256(body).hexdigest() == server.digest
        assert server.counters["http.crowded_out"] == 0


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The script, over a connection that stays open."""
    writer.write(GET)
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S)
    return await asyncio.wait_for(reader.readexactly(len(b"#!ipxe\n")), DEADLINE_S)


async def test_the_log_does_not_give_an_overlay_away(tmp_path: Path) -> None:
    secret = "0123456789abcdef0123456789abcdef"
    async with serving(tmp_path) as server:
        server.replies[f"overlay/{secret}.cpio"] = TextReply(body=b"token", name="overlay")
        with capture_logs() as logs:
            await converse(server.port, LAST_GET.replace(b"script", f"overlay/{secret}.cpio".encode()))
    assert [entry["path"] for entry in logs if entry["event"] == "http.answered"] == ["/overlay/0123….cpio"]
    assert secret not in repr(logs)


async def test_a_pipe_in_a_files_place_holds_nobody_up(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        os.mkfifo(tmp_path / "pipe")
        server.replies["pipe"] = FileReply(path=tmp_path / "pipe", name="pipe")
        assert (await converse(server.port, LAST_GET.replace(b"script", b"pipe"))).startswith(b"HTTP/1.1 404 ")
        assert await server.still_serves()


# Nonsense


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\r\n\r\n\x00\x01\x02\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /script HTTP/9.9\r\nHost: x\r\n\r\n",
        b"G\xffT /script HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x55" * 64,
        b"GET /script HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 10_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /script HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/register HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /script HTTP/1.1\r\nbad header\x00: secret-of-mine\r\n\r\n",
    ],
)
async def test_what_is_not_http_gets_400_and_the_door(request_bytes: bytes, tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        answer = await converse(server.port, request_bytes)
        assert b" 400 " in answer.split(b"\r\n")[0]
        assert b"secret-of-mine" not in answer
        assert b"aiohttp" not in answer
        assert server.counters["http.refused.bad_request"] == 1
        assert await server.still_serves()


@pytest.mark.parametrize(
    "path",
    [
        b"/../../etc/passwd",
        b"/images/..%2f..%2fetc/passwd",
        b"/%2e%2e/%2e%2e/etc/passwd",
        b"/images\\..\\..\\boot.ini",
        b"/x%00.efi",
    ],
)
async def test_paths_that_climb_never_reach_fetch(path: bytes, tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        answer = await converse(server.port, LAST_GET.replace(b"/script", path))
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert server.counters["http.refused.bad_path"] == 1


async def test_hundreds_of_broken_requests_do_not_stop_the_next_good_one(tmp_path: Path) -> None:
    chance = random.Random(7)
    good = b"POST /v1/register?a=b HTTP/1.1\r\nHost: x\r\nRange: bytes=1-2\r\nContent-Length: 2\r\n\r\n{}" + GET
    async with serving(tmp_path) as server:
        for _ in range(300):
            broken = bytearray(good)
            for _ in range(chance.randint(1, 6)):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            async with connection(server.port) as (reader, writer):
                writer.write(broken[: chance.randint(1, len(broken))])
                writer.write_eof()
                await until_eof(reader)
        assert await server.still_serves()
        assert server.counters["http.500"] == 0


async def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        answer = await converse(
            server.port,
            (GET + GET.replace(b"script", b"nothing")) * 50 + LAST_GET,
        )
        statuses = [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]]
        assert statuses == [b"200", b"404"] * 50 + [b"200"]


# Bodies


async def test_a_body_that_says_it_is_huge_is_refused_before_it_comes(tmp_path: Path) -> None:
    async with serving(tmp_path) as server, connection(server.port) as (reader, writer):
        writer.write(b"POST /v1/register HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n")
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"\r\nConnection: close\r\n" in answer
        assert server.bodies == []


async def test_a_body_without_an_end_is_cut_at_the_bound(tmp_path: Path) -> None:
    head = b"POST /v1/register HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(tmp_path, body_bytes=4096) as server, connection(server.port) as (reader, writer):
        writer.write(head + b"1000\r\n" + b"x" * 4096 + b"\r\n1000\r\n" + b"x" * 4096 + b"\r\n")
        assert (await asyncio.wait_for(reader.readline(), DEADLINE_S)).startswith(b"HTTP/1.1 413 ")
        assert server.counters["http.refused.too_large"] == 1


async def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    async with serving(tmp_path, body_s=0.05) as server, connection(server.port) as (reader, writer):
        writer.write(b"POST /v1/register HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert (await asyncio.wait_for(reader.readline(), DEADLINE_S)).startswith(b"HTTP/1.1 408 ")
        assert server.counters["http.refused.slow_body"] == 1


async def test_a_compressed_body_is_not_inflated(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(10_000_000))
    head = LAST_GET.replace(b"GET /script", b"POST /v1/register").replace(
        b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    )
    async with serving(tmp_path) as server:
        await converse(server.port, head + bomb)
        assert server.bodies == [bomb]


@pytest.mark.parametrize("chunk", [b"zz\r\n{}\r\n", b"-1\r\n{}\r\n", b"2\r\n{}junk\r\n"])
async def test_a_body_that_breaks_its_framing_is_refused(chunk: bytes, tmp_path: Path) -> None:
    head = b"POST /v1/register HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(tmp_path) as server:
        assert b" 400 " in (await converse(server.port, head + chunk)).split(b"\r\n")[0]
        assert await server.still_serves()


# All of it at once


async def test_a_download_beside_hostile_clients_arrives_whole(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        stalled = [never_reads(server.port, b"initrd") for _ in range(10)]
        silent = [socket.create_connection((HOST, server.port)) for _ in range(10)]
        nonsense = [converse(server.port, b"\x16\x03\x01" * 50 + GET) for _ in range(20)]
        climbing = [converse(server.port, LAST_GET.replace(b"script", b"../x")) for _ in range(20)]
        digests = asyncio.gather(*(download(server.port) for _ in range(2)))
        await asyncio.gather(*nonsense, *climbing)
        assert await digests == [server.digest, server.digest]
        assert server.counters["http.bytes"] == 2 * BIG_SIZE
        assert server.counters["http.refused.bad_path"] == 20
        for client in (*stalled, *silent):
            client.close()
