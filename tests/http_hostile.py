"""An HTTP boot listener on loopback with one script and one big file, and clients that need not be fair."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

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


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """The script, over a connection that stays open."""
    writer.write(GET)
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S)
    return await asyncio.wait_for(reader.readexactly(len(b"#!ipxe\n")), DEADLINE_S)
