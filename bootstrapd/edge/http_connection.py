"""One TCP connection of the boot listener: what it may cost, and when it ends.

Owns the limits, and counts connections by address; what a request means is `edge/http`'s. aiohttp parses and
writes. Its keep-alive timer ends idle connections, the kernel's user timeout (RFC 5482) those whose peer takes
nothing any more, the deadline here those that never send a whole request.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog
from aiohttp import web

log = structlog.get_logger(__name__)

SERVER: Final = "bootstrapd"

# iPXE asks again by itself after Retry-After seconds (ipxe httpcore.c, HTTP_RESPONSE_RETRY).
FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 21\r\nContent-Type: text/plain\r\n"
    b"Retry-After: 5\r\nConnection: close\r\n\r\ntoo many connections\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one listener puts up with."""

    connections: int = 512
    connections_per_client: int = 64
    request_s: float = 10.0  # from connecting to the end of the first request's head
    idle_s: float = 15.0  # between requests, and for the head of a later one
    body_s: float = 20.0
    body_bytes: int = 256 * 1024
    stalled_s: float = 60.0  # for a peer to take the next byte
    shutdown_s: float = 1.0  # for transfers to end when the listener closes


class Connections:
    """The open connections of one listener; made into aiohttp's protocol by `accept`."""

    def __init__(
        self,
        handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        counters: Counter[str],
        limits: Limits,
    ) -> None:
        self.limits = limits
        self.counters = counters
        self.open: Counter[str] = Counter()  # by the client's address
        self.idle: dict[Connection, None] = {}  # answered and silent since, the longest first
        self._manager = web.Server(handle)

    def accept(self) -> Connection:
        """The protocol of the next connection, as `loop.create_server` asks for it."""
        return Connection(self, self._manager)

    def watch(self, listening: socket.socket) -> None:
        """Have the kernel drop stalled peers; accepted sockets inherit it."""
        milliseconds = int(self.limits.stalled_s * 1000)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    def may_enter(self, client: str) -> bool:
        """Whether there is room for one more from this address, or room was made for it."""
        limits = self.limits
        if self.open[client] >= limits.connections_per_client:
            return False
        return self.open.total() < limits.connections or self._crowd_out()

    def _crowd_out(self) -> bool:
        """End the longest idle connection of the client that has the most: nothing is lost but a handshake."""
        if not self.idle:
            return False
        doomed = max(self.idle, key=lambda connection: self.open[connection.client])
        self.counters["http.crowded_out"] += 1
        doomed.has_begun()
        doomed.force_close()
        return True

    def leave(self, client: str) -> None:
        """One connection less; addresses without any do not pile up."""
        self.open[client] -= 1
        if not self.open[client]:
            del self.open[client]

    async def close(self) -> None:
        """Transfers get `shutdown_s` to end, then they are cut."""
        await self._manager.shutdown(self.limits.shutdown_s)


class Connection(web.RequestHandler):
    """aiohttp's protocol, counted and with a deadline for the first request."""

    def __init__(self, connections: Connections, manager: web.Server) -> None:
        options: dict[str, Any] = {
            "access_log": None,
            "auto_decompress": False,  # a small body must not become a big one
            "keepalive_timeout": connections.limits.idle_s,
            "lingering_time": 2.0,  # to read away what a refused request still sends
        }
        super().__init__(manager, loop=asyncio.get_running_loop(), **options)
        self._connections = connections
        self.client = ""
        self._is_welcome = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        connections = self._connections
        self.client = transport.get_extra_info("peername")[0]
        self._is_welcome = connections.may_enter(self.client)
        if not self._is_welcome:
            connections.counters["http.refused.too_many"] += 1
            transport.write(FULL)
            transport.close()
            return
        connections.open[self.client] += 1
        super().connection_made(transport)
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(connections.limits.request_s, self._never_asked)

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self._is_welcome:
            return
        self._connections.leave(self.client)
        self.has_begun()
        self.has_asked()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self.has_begun()
        super().data_received(data)

    def has_begun(self) -> None:
        """The next request, or part of it, is here: the connection is not idle any more."""
        self._connections.idle.pop(self, None)

    def has_answered(self) -> None:
        """Nothing is owed to the peer until it asks again."""
        self._connections.idle[self] = None

    def has_asked(self) -> None:
        """The first request's head is in: from here on aiohttp's keep-alive timer watches."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _never_asked(self) -> None:
        self._connections.counters["http.refused.silent"] += 1
        self.force_close()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What aiohttp could not parse, and peers that left. The answer never repeats the peer's bytes."""
        self.has_asked()
        if isinstance(exc, ConnectionError):
            self.force_close()
            raise exc
        self._connections.counters["http.refused.bad_request"] += 1
        log.debug("http.bad_request", client=self.client, status=status, message=message)
        headers = {"Content-Length": "12", "Content-Type": "text/plain", "Server": SERVER}
        response = web.Response(status=400, body=b"bad request\n", headers=headers)
        response.force_close()
        return response
