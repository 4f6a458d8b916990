"""HTTP clients that lie, flood or talk nonsense lose their own connection, and cost nobody else anything."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import socket
from pathlib import Path

import pytest
from http_hostile import (
    BIG_SIZE,
    DEADLINE_S,
    GET,
    HOST,
    LAST_GET,
    connection,
    converse,
    download,
    never_reads,
    serving,
    until_eof,
)
from structlog.testing import capture_logs

from bootstrapd.model import FileReply, TextReply


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
