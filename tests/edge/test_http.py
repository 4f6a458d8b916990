"""The HTTP boot listener on a real socket: scripts, failures, registrations, pages, connections and ports."""

from __future__ import annotations

import asyncio
import json
import socket
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from http_serving import DEADLINE_S, HOST, NEEDS_CURL, ask, run, serving, talk

from bootstrapd.edge.http import HttpServer
from bootstrapd.edge.http_connection import Limits
from bootstrapd.errors import EdgeError, RefusedError
from bootstrapd.model import DhcpReply, Door, FileAsk, FileReply, Nothing, Reply, TextReply

# Scripts, absence, failure


async def test_a_script_and_what_the_ask_says() -> None:
    """I7: the query is what iPXE claims; the server's address is the one it reached."""
    async with serving({"boot/m.ipxe": TextReply(body=b"#!ipxe\n", name="m.ipxe")}) as server:
        response = await ask(server.port, "GET", "/boot/m.ipxe?uuid=1&serial=A%20B")
        assert response.header("Content-Type") == "text/plain; charset=utf-8"
        assert response.header("Cache-Control") == "no-store"
        assert server.asks == [
            FileAsk(
                door=Door.HTTP,
                path="boot/m.ipxe",
                server=HOST,
                client=HOST,
                query={"uuid": "1", "serial": "A B"},
            )
        ]


async def test_absence_says_why_in_one_line() -> None:
    async with serving({"x": Nothing("this machine\nboots its own disk " + "z" * 999)}) as server:
        response = await ask(server.port, "GET", "/x")
        assert response.status == 404
        assert response.body.startswith(b"this machine boots its own disk zz")
        assert response.body.count(b"\n") == 1
        assert len(response.body) < 400
        assert server.counters["http.404"] == 1


@pytest.mark.parametrize(
    ("failure", "status", "words"),
    [
        (ZeroDivisionError("secret"), 500, b"bug of ours"),
        (RefusedError("not now", "NOT_NOW"), 409, b"not now"),
        (EdgeError("disk full"), 503, b"disk full"),
        (DhcpReply(message_type=2, next_server="", file="", options=()), 500, b"bug of ours"),
    ],
)
async def test_a_failing_fetch_costs_one_answer(failure: Any, status: int, words: bytes) -> None:
    async with serving({"bad": failure, "good": TextReply(body=b"ok", name="good")}) as server:
        get = b" HTTP/1.1\r\nHost: x\r\n\r\n"
        responses = await talk(server.port, [b"GET /bad" + get, b"GET /good" + get])
        assert [response.status for response in responses] == [status, 200]
        assert words in responses[0].body
        assert b"secret" not in responses[0].body
        assert server.counters[f"http.{status}"] == 1


async def test_a_failing_hook_does_not_spoil_the_connection() -> None:
    def fail(_ask: FileAsk, _reply: Reply, _is_complete: bool) -> None:
        raise ZeroDivisionError

    async with serving({"good": TextReply(body=b"ok", name="good")}, sent=fail) as server:
        get = b"GET /good HTTP/1.1\r\nHost: x\r\n\r\n"
        responses = await talk(server.port, [get, get])
        assert [response.body for response in responses] == [b"ok", b"ok"]
        assert server.counters["http.hook_failed"] == 2


# Methods, posts, pages


async def register(body: bytes, client: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    if body == b"refuse":
        raise RefusedError("the token is spent", "SPENT")
    return 201, json.dumps([body.decode(), client, headers.get("X-Agent", "")]).encode()


POSTS = {"/v1/register": register}


async def test_a_registration() -> None:
    async with serving({}, posts=POSTS) as server:
        response = await ask(server.port, "POST", "/v1/register", b"{}", X_Agent="1")
        assert response.status == 201
        assert response.header("Content-Type") == "application/json"
        assert json.loads(response.body) == ["{}", HOST, "1"]
        refused = await ask(server.port, "POST", "/v1/register", b"refuse")
        assert refused.status == 409
        assert json.loads(refused.body) == {"error": "the token is spent", "code": "SPENT", "mistakes": []}


@NEEDS_CURL
async def test_curl_need_not_wait_for_100_continue() -> None:
    body = "x" * 100_000
    async with serving({}, posts=POSTS) as server:
        url = f"http://{HOST}:{server.port}/v1/register"
        answer = await run("curl", "-sS", "--fail", "-H", "Expect: 100-continue", "-d", body, url)
        assert json.loads(answer)[0] == body


async def test_a_body_in_chunks() -> None:
    async with serving({}, posts=POSTS) as server:
        head = b"POST /v1/register HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        responses = await talk(server.port, [head + b"2\r\n{}\r\n0\r\n\r\n"])
        assert json.loads(responses[0].body)[0] == "{}"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/boot.ipxe", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
        ("POST", "/boot.ipxe", "GET, HEAD"),
        ("GET", "/v1/register", "POST"),
        ("OPTIONS", "/healthz", "GET, HEAD"),
    ],
)
async def test_wrong_methods_are_told_the_right_one(method: str, path: str, allow: str) -> None:
    async with serving({}, posts=POSTS) as server:
        response = await ask(server.port, method, path)
        assert (response.status, response.header("Allow")) == (405, allow)
        assert server.asks == []
        assert server.counters["http.refused.method"] == 1


async def test_pages_for_monitoring() -> None:
    text = TextReply(body=b"draining\n", name="readyz")
    async with serving({}, pages={"/readyz": lambda: (503, text)}) as server:
        response = await ask(server.port, "GET", "/readyz")
        assert (response.status, response.body) == (503, b"draining\n")
        assert server.asks == []


# Connections and ports


@pytest.mark.parametrize(
    ("head", "stays"),
    [
        (b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", False),
        (b"GET /x HTTP/1.0\r\n\r\n", False),
        (b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
        (b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n", True),
    ],
)
async def test_who_closes_the_connection(head: bytes, stays: bool) -> None:
    """H6."""
    async with serving({"x": TextReply(body=b"ok", name="x")}) as server:
        responses = await talk(server.port, [head, head])
        assert [response.body for response in responses] == [b"ok"] * (1 + stays)
        assert responses[0].header("Connection") == ("keep-alive" if stays else "close")


async def test_the_next_port_is_taken_when_the_first_is_not_free() -> None:
    with socket.create_server((HOST, 0)) as other:
        taken = other.getsockname()[1]
        server = HttpServer(HOST, [taken, 0], lambda _: Nothing(""), Counter())
        assert await server.start() not in (0, taken)
        await server.close()


async def test_no_free_port_names_it_and_how_to_find_who_has_it() -> None:
    with socket.create_server((HOST, 0)) as other:
        taken = other.getsockname()[1]
        server = HttpServer(HOST, [taken], lambda _: Nothing(""), Counter())
        with pytest.raises(EdgeError, match=rf"port {taken} is taken, `ss -ltnp 'sport = :{taken}'`"):
            await server.start()


async def test_an_address_of_somebody_else_is_named() -> None:
    server = HttpServer("192.0.2.1", [0], lambda _: Nothing(""), Counter())
    with pytest.raises(EdgeError, match="no such address here"):
        await server.start()


async def test_closing_cuts_a_transfer_that_does_not_end(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    path.touch()
    with path.open("r+b") as opened:
        opened.truncate(64_000_000)
    limits = Limits(shutdown_s=0.05)
    async with serving({"sparse": FileReply(path=path, name="sparse")}, limits=limits) as server:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        writer.write(b"GET /sparse HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
        await asyncio.wait_for(reader.readexactly(64_000_000), DEADLINE_S)
    writer.close()
