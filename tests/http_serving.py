"""An HTTP boot listener on loopback whose files and scripts come from a dictionary, and clients that ask it."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bootstrapd.edge.http import HttpServer
from bootstrapd.model import FileAsk, FileReply, Nothing, Reply

DEADLINE_S = 5.0
HOST = "127.0.0.1"
NEEDS_CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="needs the curl program: apt install curl")


class Response(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """The header's value; a header that is missing or comes twice fails the test."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) == 1, f"{name} comes {len(values)} times"
        return values[0]

    def has(self, name: str) -> bool:
        return any(key.lower() == name.lower() for key, _ in self.headers)


class Serving:
    """A running listener whose `fetch` is a dictionary, and what it was asked and told."""

    def __init__(self, replies: Mapping[str, Reply | Exception]) -> None:
        self.replies = replies
        self.counters: Counter[str] = Counter()
        self.asks: list[FileAsk] = []
        self.sent: list[tuple[str, bool]] = []
        self.port = 0

    def fetch(self, ask: FileAsk) -> Reply:
        self.asks.append(ask)
        reply = self.replies.get(ask.path, Nothing(f"there is no {ask.path} here"))
        if isinstance(reply, Exception):
            raise reply
        return reply

    def note(self, ask: FileAsk, _reply: Reply, is_complete: bool) -> None:
        self.sent.append((ask.path, is_complete))


@asynccontextmanager
async def serving(replies: Mapping[str, Reply | Exception], **options: Any) -> AsyncIterator[Serving]:
    made = Serving(replies)
    options = {"sent": made.note, **options}
    server = HttpServer(HOST, [0], made.fetch, made.counters, **options)
    made.port = await server.start()
    try:
        yield made
    finally:
        await server.close()


async def read_response(reader: asyncio.StreamReader, method: str) -> Response:
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S)).decode()
    first, *lines = head.rstrip().split("\r\n")
    headers = [(key, value.strip()) for key, _, value in (line.partition(":") for line in lines)]
    response = Response(int(first.split()[1]), headers, b"")
    if method == "HEAD" or response.status in (100, 304):
        return response
    body = await asyncio.wait_for(reader.readexactly(int(response.header("Content-Length"))), DEADLINE_S)
    return response._replace(body=body)


async def talk(port: int, requests: Sequence[bytes]) -> list[Response]:
    """The answers to `requests`, each sent when the last answer is in; fewer when the server hangs up."""
    reader, writer = await asyncio.open_connection(HOST, port)
    responses = []
    try:
        for request in requests:
            writer.write(request)
            responses.append(await read_response(reader, request.split()[0].decode()))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    return responses


async def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"] if body else []
    lines = lines or [f"{method} {path} HTTP/1.1", "Host: x"]
    lines += [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
    return (await talk(port, ["\r\n".join([*lines, "", ""]).encode() + body]))[0]


async def run(*argv: str) -> str:
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode == 0, argv
    return output.decode()


def big_file(folder: Path, size: int = 3_000_017) -> FileReply:
    path = folder / "initrd"
    path.write_bytes(bytes(range(256)) * (size // 256) + bytes(size % 256))
    return FileReply(path=path, name="initrd", etag="ab" * 32, size=size)
