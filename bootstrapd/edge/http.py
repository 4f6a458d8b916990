"""The HTTP boot listener: files by sendfile, scripts and registrations, to firmware, iPXE and installers (H*).

Owns the socket and what HTTP says about a reply (lengths, types, tags). What a path means is `fetch`'s, what a
connection may cost `http_connection`'s; `wire/http` reads paths and ranges, aiohttp the rest of the protocol.
On the standard asyncio loop, since uvloop has no sendfile. Follows RFC 9110 and 9112, and what edk2, shim, GRUB
and iPXE make of them.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import stat
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import BinaryIO, Final

import structlog
from aiohttp import web

from bootstrapd.edge.http_connection import SERVER, Connection, Connections, Limits
from bootstrapd.errors import ConfigError, EdgeError, RefusedError, WireError
from bootstrapd.model import Door, FileAsk, FileReply, Nothing, Reply, TextReply, encode
from bootstrapd.model.view import Failure
from bootstrapd.wire.http import read_target, select

log = structlog.get_logger(__name__)

Fetch = Callable[[FileAsk], Reply]
Post = Callable[[bytes, str, Mapping[str, str]], Awaitable[tuple[int, bytes]]]
Page = Callable[[], tuple[int, TextReply]]
Sent = Callable[[FileAsk, Reply, bool], None]

# By the end of the name, before the reply's own type: edk2 refuses what neither tells it (H8).
CONTENT_TYPES: Final = MappingProxyType(
    {
        ".efi": "application/efi",
        ".img": "application/vnd.efi-img",
        ".ipxe": "text/plain; charset=utf-8",
        ".iso": "application/vnd.efi-iso",
    }
)
TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"
BACKLOG: Final = 256
MAX_REASON: Final = 300  # characters
SLICE: Final = 16 << 20  # bytes of a file before others get their turn

_METHODS: Final = {"GET": "http.get", "HEAD": "http.head", "POST": "http.post"}
_BLAME: Final = ((WireError, 400), (ConfigError, 400), (RefusedError, 409), (EdgeError, 503))
_WHY_NOT: Final = {
    errno.EADDRINUSE: "is taken, `ss -ltnp 'sport = :{port}'` says by whom",
    errno.EACCES: "is not allowed, ports below 1024 need root or CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "cannot be had: no such address here, `ip -br address` lists them",
}


class HttpServer:
    """Serves `fetch` on the first of `ports` that is free.

    `posts`: path -> async (body, client's address, headers) -> (status, JSON).
    `pages`: path -> () -> (status, text), for health and metrics.
    `sent(ask, reply, is_complete)`: after each GET with a body; complete means that its last byte left.
    """

    def __init__(
        self,
        address: str,
        ports: Sequence[int],
        fetch: Fetch,
        counters: Counter[str],
        *,
        posts: Mapping[str, Post] = MappingProxyType({}),
        pages: Mapping[str, Page] = MappingProxyType({}),
        sent: Sent = lambda _ask, _reply, _is_complete: None,
        limits: Limits | None = None,
    ) -> None:
        self._address = address
        self._ports = ports
        self._fetch = fetch
        self._counters = counters
        self._posts = posts
        self._pages = pages
        self._sent = sent
        self._limits = limits or Limits()
        self._connections: Connections | None = None
        self._listener: asyncio.Server | None = None

    async def start(self) -> int:
        """The port it took. EdgeError: none of them could be had, and why."""
        listening = _listen(self._address, self._ports)
        self._connections = Connections(self._handle, self._counters, self._limits)
        self._connections.watch(listening)
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._connections.accept, sock=listening, backlog=BACKLOG)
        port: int = listening.getsockname()[1]
        log.info("http.listening", address=self._address, port=port)
        return port

    async def close(self) -> None:
        """Stops listening, lets running transfers end for a moment, then cuts them."""
        if self._listener is None or self._connections is None:
            return
        self._listener.close()
        await self._connections.close()
        await self._listener.wait_closed()
        self._listener = self._connections = None

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.has_asked()
        self._counters[_METHODS.get(request.method, "http.other")] += 1
        try:
            response = await self._answer(request)
        except ConnectionError:
            self._counters["http.broken_off"] += 1
            raise
        except Exception as error:  # noqa: BLE001 - one bad answer must not become another machine's
            response = await self._failed(request, error)
        self._counters[f"http.{response.status}"] += 1
        log.debug(
            "http.answered",
            client=request.remote,
            method=request.method,
            path=request.raw_path,
            status=response.status,
        )
        return response

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            target = read_target(request.raw_path)
        except WireError as error:
            return await self._refuse(request, 400, "bad_path", str(error))
        path = f"/{target.path}"
        post, page = self._posts.get(path), self._pages.get(path)
        allowed = ("POST",) if post else ("GET", "HEAD")
        if request.method not in allowed:
            return await self._refuse(request, 405, "method", "wrong method", Allow=", ".join(allowed))
        if post:
            return await self._post(request, post)
        if page:
            status, text = page()
            return await _send(request, status, text.body, text.content_type)
        server, client = _addresses(request)
        ask = FileAsk(
            door=Door.HTTP,
            path=target.path,
            server=server,
            client=client,
            query=target.query,
            is_probe=request.method == "HEAD",
        )
        return await self._reply(request, ask, self._fetch(ask))

    async def _reply(self, request: web.BaseRequest, ask: FileAsk, reply: Reply) -> web.StreamResponse:
        match reply:
            case FileReply():
                return await self._file(request, ask, reply)
            case TextReply():
                # Made for one machine and one boot, with its token in it.
                private = {"Cache-Control": "no-store"}
                response = await _send(request, 200, reply.body, _type_of(reply), extra=private)
                self._tell(ask, reply, len(reply.body), is_complete=True)
                return response
            case Nothing(reason):
                return await _send(request, 404, _line(reason), TEXT)
        raise TypeError(f"{type(reply).__name__} is not an answer to an HTTP request")

    async def _file(self, request: web.BaseRequest, ask: FileAsk, reply: FileReply) -> web.StreamResponse:
        try:
            file, size, etag = _open(reply)
        except OSError as error:
            self._counters["http.unreadable"] += 1
            log.error("http.unreadable", path=str(reply.path), error=str(error))  # noqa: TRY400 - not a bug
            return await _send(request, 404, _line(f"{reply.name} cannot be read here; see the log"), TEXT)
        with file:
            wanted = select(request.method, request.headers, size, etag)
            part = wanted.part
            if wanted.status == 304:
                return await _send(request, 304, b"", "", extra={"ETag": etag})
            if wanted.status == 416:
                return await _send(request, 416, b"", TEXT, extra={"Content-Range": f"bytes */{size}"})
            headers = _headers(request, len(part), _type_of(reply)) | {"ETag": etag, "Accept-Ranges": "bytes"}
            if wanted.status == 206:
                headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
            response = web.StreamResponse(status=wanted.status, headers=headers)
            await response.prepare(request)
            if not ask.is_probe:
                gone = await _sendfile(request, file, part)
                self._tell(ask, reply, gone, is_complete=gone == len(part) and part.stop == size)
                if gone < len(part):
                    raise ConnectionResetError("the peer left, or the file shrank, in mid-transfer")
        return response

    def _tell(self, ask: FileAsk, reply: Reply, gone: int, *, is_complete: bool) -> None:
        if ask.is_probe:
            return
        self._counters["http.bytes"] += gone
        try:
            self._sent(ask, reply, is_complete)
        except Exception:
            self._counters["http.hook_failed"] += 1
            log.exception("http.hook_failed", path=ask.path)

    async def _post(self, request: web.BaseRequest, post: Post) -> web.StreamResponse:
        limit = self._limits.body_bytes
        try:
            async with asyncio.timeout(self._limits.body_s):
                body = await _read_body(request, limit)
        except TimeoutError:
            return await self._refuse(request, 408, "slow_body", "the body did not come in time")
        except web.RequestPayloadError:
            return await self._refuse(request, 400, "bad_body", "the body breaks its own framing")
        if body is None:
            return await self._refuse(request, 413, "too_large", f"a body may have {limit} bytes")
        status, answer = await post(body, _addresses(request)[1], request.headers)
        return await _send(request, status, answer, JSON)

    async def _refuse(
        self, request: web.BaseRequest, status: int, code: str, why: str, **extra: str
    ) -> web.StreamResponse:
        self._counters[f"http.refused.{code}"] += 1
        is_last = request.body_exists  # what is left of the body must not be taken for the next request
        return await _send(request, status, _line(why), TEXT, is_last=is_last, extra=extra)

    async def _failed(self, request: web.BaseRequest, error: Exception) -> web.StreamResponse:
        status = next((status for kind, status in _BLAME if isinstance(error, kind)), 500)
        if status == 500:
            log.error("http.bug", method=request.method, path=request.raw_path, exc_info=error)
        if request.writer.output_size:  # half an answer has gone: only cutting it off is honest
            raise ConnectionResetError("failed in mid-answer") from error
        why = "a bug of ours; see the appliance's log" if status == 500 else str(error)
        if request.method != "POST":
            return await _send(request, status, _line(why), TEXT)
        code = error.code if isinstance(error, RefusedError) else type(error).__name__
        return await _send(request, status, encode(Failure(error=why, code=code)), JSON)


def _listen(address: str, ports: Sequence[int]) -> socket.socket:
    problems = []
    for port in ports:
        try:
            return socket.create_server((address, port), backlog=BACKLOG)
        except OSError as error:
            why = _WHY_NOT.get(error.errno or 0, f"cannot be opened ({error.strerror})")
            problems.append(f"port {port} {why.format(port=port)}")
    raise EdgeError(f"no HTTP port on {address}: {'; '.join(problems)} (config.toml, [http] ports)")


def _addresses(request: web.BaseRequest) -> tuple[str, str]:
    """Ours that the connection reached, and the client's."""
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the peer left")
    return transport.get_extra_info("sockname")[0], transport.get_extra_info("peername")[0]


def _open(reply: FileReply) -> tuple[BinaryIO, int, str]:
    """The file, its size and its tag: the sha256 where it is known."""
    file = reply.path.open("rb", buffering=0)
    info = os.fstat(file.fileno())
    if not stat.S_ISREG(info.st_mode) or reply.size not in (-1, info.st_size):
        file.close()
        raise OSError(f"expected a file of {reply.size} bytes, found {info.st_size}: replaced or cut short")
    return file, info.st_size, f'"{reply.etag or f"{info.st_mtime_ns:x}-{info.st_size:x}"}"'


def _type_of(reply: FileReply | TextReply) -> str:
    return CONTENT_TYPES.get(os.path.splitext(reply.name)[1].lower(), reply.content_type)  # noqa: PTH122 - text


def _headers(request: web.BaseRequest, length: int, kind: str, *, is_last: bool = False) -> dict[str, str]:
    """Content-Length first: a shim of the 16.1 era reads the first header in its place (H10).

    iPXE keeps a connection only when it is told to (ipxe httpcore.c, HTTP_RESPONSE_KEEPALIVE).
    """
    return {
        "Content-Length": str(length),
        "Content-Type": kind,
        "Connection": "keep-alive" if request.keep_alive and not is_last else "close",
        "Server": SERVER,
    }


async def _send(
    request: web.BaseRequest,
    status: int,
    body: bytes,
    kind: str,
    *,
    is_last: bool = False,
    extra: Mapping[str, str] = MappingProxyType({}),
) -> web.StreamResponse:
    headers = _headers(request, len(body), kind, is_last=is_last) | dict(extra)
    if status == 304:  # RFC 9110 15.4.5: has no body, and so no length but the file's own
        del headers["Content-Length"], headers["Content-Type"]
    response = web.Response(status=status, body=body, headers=headers)
    if is_last:
        response.force_close()
    await response.prepare(request)
    await response.write_eof()
    return response


async def _sendfile(request: web.BaseRequest, file: BinaryIO, part: range) -> int:
    """How many bytes the kernel took; fewer than asked for where the peer left or the file shrank.

    In slices: a single call goes on for as long as a fast peer drains the socket, and DHCP waits on this loop.
    Smaller ones cost more CPU than they save waiting (1 MiB: twice as much a GB).
    """
    loop, gone = asyncio.get_running_loop(), 0
    while gone < len(part):
        transport = request.transport
        if transport is None or transport.is_closing():
            break
        count = min(SLICE, len(part) - gone)
        try:
            taken = await loop.sendfile(transport, file, part.start + gone, count)
        except OSError:
            break
        gone += taken
        if taken < count:
            break
    return gone


async def _read_body(request: web.BaseRequest, limit: int) -> bytes | None:
    """The body; None when it is longer than `limit`."""
    if (request.content_length or 0) > limit:
        return None
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")  # else curl waits a second
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


def _line(text: str) -> bytes:
    return " ".join(text.split())[:MAX_REASON].encode() + b"\n"
