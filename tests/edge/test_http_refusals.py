"""A refused POST says why in its status line too: busybox's wget keeps the body of a 4xx to itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import pytest
from http_serving import DEADLINE_S, HOST, serving

from bootstrapd.edge.http_connection import Limits
from bootstrapd.errors import RefusedError
from bootstrapd.model import encode
from bootstrapd.model.view import Admission


async def status_line(port: int, path: str, body: bytes) -> str:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
        return (await asyncio.wait_for(reader.readline(), DEADLINE_S)).decode().rstrip("\r\n")
    finally:
        writer.close()


async def answer(body: bytes, _client: str, _headers: Mapping[str, str]) -> tuple[int, bytes]:
    if body == b"raise":
        raise RefusedError("not now", "NOT_NOW")
    status, code = json.loads(body)
    return status, encode(Admission(status="refused" if code else "accepted", code=code, reason="because"))


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b'[403, "WRONG_ADDRESS"]', "HTTP/1.1 403 WRONG_ADDRESS"),
        (b'[400, "BAD_REGISTRATION"]', "HTTP/1.1 400 BAD_REGISTRATION"),
        (b"raise", "HTTP/1.1 409 NOT_NOW"),
        (b"x" * 2000, "HTTP/1.1 413 TOO_LARGE"),
        (b'[403, ""]', "HTTP/1.1 403 Forbidden"),
        (b'[200, ""]', "HTTP/1.1 200 OK"),
        (b'[403, "A\\r\\nSet-Cookie: x=1"]', "HTTP/1.1 403 Forbidden"),
        ('[403, "ÜBEL"]'.encode(), "HTTP/1.1 403 Forbidden"),
        (b'[403, "%b"]' % (b"X" * 41), "HTTP/1.1 403 Forbidden"),
        (b"no json", "HTTP/1.1 500 Internal Server Error"),
    ],
)
async def test_the_code_stands_in_the_status_line(body: bytes, line: str) -> None:
    async with serving({}, posts={"/v1/report": answer}, limits=Limits(body_bytes=1000)) as server:
        assert await status_line(server.port, "/v1/report", body) == line


async def test_firmware_gets_https_own_words() -> None:
    async with serving({}, posts={"/v1/report": answer}) as server:
        assert await status_line(server.port, "/v1/report", b"{") == "HTTP/1.1 500 Internal Server Error"
        reader, writer = await asyncio.open_connection(HOST, server.port)
        writer.write(b"GET /../x HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await asyncio.wait_for(reader.readline(), DEADLINE_S) == b"HTTP/1.1 400 Bad Request\r\n"
        writer.close()
