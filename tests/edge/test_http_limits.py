"""HTTP clients that stall, hang up or come in crowds lose their connection and cost nobody else anything."""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from http_hostile import (
    BIG_SIZE,
    DEADLINE_S,
    GET,
    HOST,
    ask,
    connection,
    converse,
    never_reads,
    serving,
    until_eof,
)


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
