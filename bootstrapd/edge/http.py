"""The HTTP boot listener: files by sendfile, scripts and registrations, to firmware, iPXE and installers (H*).

Owns the socket and which answer a request gets. What a path means is `fetch`'s, what a connection may cost
`http_connection`'s, how an answer is written `http_answer`'s; `wire/http` reads paths and ranges, aiohttp the
rest of the protocol. On the standard asyncio loop, since uvloop has no sendfile. Follows RFC 9110 and 9112, and
what edk2, shim, GRUB and iPXE make of them.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import re
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import structlog
from aiohttp import web

from bootstrapd.edge.http_answer import (
    JSON,
    TEXT,
    code_of,
    headers,
    line,
    open_file,
    read_body,
    send,
    type_of,
)
from bootstrapd.edge.http_connection import Connection, Connections, Limits
from bootstrapd.edge.http_sendfile import sendfile
from bootstrapd.errors import ConfigError, EdgeError, RefusedError, WireError
from bootstrapd.model import Door, FileAsk, FileReply, Nothing, Reply, TextReply, encode
from bootstrapd.model.view import Failure
from bootstrapd.wire.http import read_target, select

log = structlog.get_logger(__name__)

Fetch = Callable[[FileAsk], Reply]
Post = Callable[[bytes, str, Mapping[str, str]], Awaitable[tuple[int, bytes]]]
Page = Callable[[], tuple[int, TextReply]]
Sent = Callable[[FileAsk, Reply, bool], None]

BACKLOG: Final = 256

_METHODS: Final = {"GET": "http.get", "HEAD": "http.head", "POST": "http.post"}
_SECRET: Final = re.compile(r"(overlay/[0-9a-f]{4})[0-9a-f]*", re.IGNORECASE)
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
        connection.has_begun()  # as many requests as came in one packet begin one after the other
        self._counters[_METHODS.get(request.method, "http.other")] += 1
        try:
            response = await self._answer(request)
        except ConnectionError:
            self._counters["http.broken_off"] += 1
            raise
        except Exception as error:  # noqa: BLE001 - one bad answer must not become another machine's
            response = await self._failed(request, error)
        self._counters[f"http.{response.status}"] += 1
        if log.is_enabled_for(logging.DEBUG):
            log.debug(
                "http.answered",
                client=request.remote,
                method=request.method,
                path=_shown(request.raw_path),
                status=response.status,
            )
        if request.protocol.transport is not None:
            connection.has_answered()
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
            return await send(request, status, text.body, text.content_type)
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
                response = await send(request, 200, reply.body, type_of(reply), extra=private)
                self._tell(ask, reply, len(reply.body), is_complete=True)
                return response
            case Nothing(reason):
                return await send(request, 404, line(reason), TEXT)
        raise TypeError(f"{type(reply).__name__} is not an answer to an HTTP request")

    async def _file(self, request: web.BaseRequest, ask: FileAsk, reply: FileReply) -> web.StreamResponse:
        try:
            file, size, etag = open_file(reply)
        except OSError as error:
            self._counters["http.unreadable"] += 1
            log.error("http.unreadable", path=str(reply.path), error=str(error))  # noqa: TRY400 - not a bug
            return await send(request, 404, line(f"{reply.name} cannot be read here; see the log"), TEXT)
        with file:
            wanted = select(request.method, request.headers, size, etag)
            part = wanted.part
            if wanted.status == 304:
                return await send(request, 304, b"", "", extra={"ETag": etag})
            if wanted.status == 416:
                return await send(request, 416, b"", TEXT, extra={"Content-Range": f"bytes */{size}"})
            head = headers(request, len(part), type_of(reply)) | {"ETag": etag, "Accept-Ranges": "bytes"}
            if wanted.status == 206:
                head["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
            response = web.StreamResponse(status=wanted.status, headers=head)
            await response.prepare(request)
            if not ask.is_probe:
                gone = await sendfile(request, file, part)
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
            log.exception("http.hook_failed", path=_shown(ask.path))

    async def _post(self, request: web.BaseRequest, post: Post) -> web.StreamResponse:
        limit = self._limits.body_bytes
        try:
            async with asyncio.timeout(self._limits.body_s):
                body = await read_body(request, limit)
        except TimeoutError:
            return await self._refuse(request, 408, "slow_body", "the body did not come in time")
        except web.RequestPayloadError:
            return await self._refuse(request, 400, "bad_body", "the body breaks its own framing")
        if body is None:
            return await self._refuse(request, 413, "too_large", f"a body may have {limit} bytes")
        status, answer = await post(body, _addresses(request)[1], request.headers)
        return await send(request, status, answer, JSON, code=code_of(answer) if status >= 400 else "")

    async def _refuse(
        self, request: web.BaseRequest, status: int, code: str, why: str, **extra: str
    ) -> web.StreamResponse:
        self._counters[f"http.refused.{code}"] += 1
        is_last = request.body_exists  # what is left of the body must not be taken for the next request
        shown = code.upper() if request.method == "POST" else ""
        return await send(request, status, line(why), TEXT, is_last=is_last, code=shown, extra=extra)

    async def _failed(self, request: web.BaseRequest, error: Exception) -> web.StreamResponse:
        status = next((status for kind, status in _BLAME if isinstance(error, kind)), 500)
        if status == 500:
            log.error("http.bug", method=request.method, path=_shown(request.raw_path), exc_info=error)
        if request.writer.output_size:  # half an answer has gone: only cutting it off is honest
            raise ConnectionResetError("failed in mid-answer") from error
        why = "a bug of ours; see the appliance's log" if status == 500 else str(error)
        if request.method != "POST":
            return await send(request, status, line(why), TEXT)
        code = error.code if isinstance(error, RefusedError) else type(error).__name__
        return await send(request, status, encode(Failure(error=why, code=code)), JSON, code=code)


def _shown(path: str) -> str:
    """The path without what only one machine may know: who can read the log is not to fetch its overlay."""
    return _SECRET.sub(r"\1…", path)


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
