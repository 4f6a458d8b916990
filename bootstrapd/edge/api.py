"""The operator's API: JSON over HTTP on a Unix socket and, where configured, on TCP with a bearer token.

Owns the routes, the limits and the translation of errors into status codes (`api_answer`). What an answer says
is the core's: the daemon. Who may ask is `api_socket`'s.
"""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol

import structlog
from aiohttp import web

from bootstrapd.edge import api_socket
from bootstrapd.edge.api_answer import NotThereError, answer, blame, body, failed, there, word
from bootstrapd.edge.api_events import EventCore, EventRoutes
from bootstrapd.edge.api_hosts import HostCore, HostRoutes
from bootstrapd.edge.feed import Feed
from bootstrapd.errors import BootstrapdError, ConfigError, EdgeError
from bootstrapd.model import Arch, Door, Mac, Stage, Transition
from bootstrapd.model.view import Adoption, Explained, ImageView, MachineView, StatusView

log = structlog.get_logger(__name__)

MAX_BODY_BYTES: Final = 64 * 1024
MAX_SUBSCRIBERS: Final = 64
SHUTDOWN_S: Final = 1.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ApiCore(HostCore, EventCore, Protocol):
    """What the daemon offers the operator. Not there is None; a refusal is RefusedError, and so on."""

    def status(self) -> StatusView: ...

    def machines(self) -> list[MachineView]: ...

    def machine(self, key: str) -> MachineView | None:
        """By machine id, or by any of its MACs in any spelling; unknown machines count too."""

    def images(self) -> list[ImageView]: ...

    def explain(
        self, mac: Mac, arch: Arch | None, stage: Stage | None, door: Door | None
    ) -> list[Explained]: ...

    async def adopt(self, machine: str, host: str, *, ready: bool) -> MachineView:
        """`machine` is an id or a MAC, also one that was never seen (it is written into the host's file).

        Returns when the event is durable. RefusedError: no such host, no such machine, another machine is it, …
        """

    async def forget(self, machine: str, *, force: bool = False) -> bool:
        """Returns when durable; False = there is no such machine. RefusedError: it is ready, and no force."""

    async def reload(self) -> list[str]:
        """Read hosts and images again, now; the mistakes found (the last good set still serves)."""


class ApiServer:
    """Serves `core` on `socket_path` (mode 0660, of `group` where we are root and it exists).

    `tcp`: also on this address and port, for those who have the token in `token_file` (made if missing).
    """

    def __init__(
        self,
        socket_path: Path,
        core: ApiCore,
        counters: Counter[str],
        *,
        group: str = "bootstrapd",
        tcp: tuple[str, int] | None = None,
        token_file: Path = Path(),
    ) -> None:
        self._path = socket_path
        self._core = core
        self._counters = counters
        self._group = group
        self._tcp = tcp
        self._token_file = token_file
        self._token = ""
        self._feed = Feed(counters, max_subscribers=MAX_SUBSCRIBERS)
        self._events = EventRoutes(core, self._feed)
        self._runner: web.AppRunner | None = None
        self.port = 0  # of TCP, once started

    async def start(self) -> None:
        """EdgeError: another bootstrapd answers there, or the socket cannot be made. ConfigError: the token."""
        listeners = self._listeners()
        self._runner = web.AppRunner(
            self._app(), access_log=None, shutdown_timeout=SHUTDOWN_S, handle_signals=False
        )
        await self._runner.setup()
        for listener in listeners:
            await web.SockSite(self._runner, listener).start()

    def _listeners(self) -> list[socket.socket]:
        if self._tcp is None:
            return [api_socket.unix(self._path, self._group)]
        self._token = api_socket.token(self._token_file)
        outside = api_socket.tcp(*self._tcp)
        self.port = outside.getsockname()[1]
        try:
            inside = api_socket.unix(self._path, self._group)
        except EdgeError:
            outside.close()
            raise
        log.info("api.listening", address=self._tcp[0], port=self.port, token_file=str(self._token_file))
        return [inside, outside]

    async def close(self) -> None:
        """Ends every stream, lets running requests finish, removes the socket."""
        if self._runner is None:
            return
        self._feed.close()
        await self._runner.cleanup()
        self._runner = None
        self._path.unlink(missing_ok=True)

    def publish(self, transition: Transition) -> None:
        """Hand a transition to everybody who listens on `/v1/events`. Never waits."""
        self._events.publish(transition)

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._translate, self._let_in])
        routes: tuple[tuple[str, str, Handler], ...] = (
            ("GET", "/v1/status", self._status),
            ("POST", "/v1/reload", self._reload),
            *HostRoutes(self._core).table(),
            ("GET", "/v1/machines", self._machines),
            ("GET", "/v1/machines/{key}", self._machine),
            ("POST", "/v1/machines/{key}/adopt", self._adopt),
            ("DELETE", "/v1/machines/{key}", self._forget),
            ("GET", "/v1/images", self._images),
            ("GET", "/v1/explain", self._explain),
            ("GET", "/v1/events", self._events.events),
        )
        for method, path, handler in routes:
            app.router.add_route(method, path, handler)
        return app

    @web.middleware
    async def _let_in(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Over the Unix socket everybody whom its mode let connect, over TCP who shows the token."""
        if _is_local(request):
            return await handler(request)
        refused = api_socket.refusal(request.headers, self._token)
        if refused is None:
            return await handler(request)
        log.debug("api.not_let_in", client=request.remote, code=refused[2])
        response = self._failed(*refused)
        if response.status == 401:
            response.headers["WWW-Authenticate"] = "Bearer"
        return response

    @web.middleware
    async def _translate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except NotThereError as error:
            return self._failed(404, str(error), "NOT_FOUND")
        except web.HTTPException as error:
            code = "NOT_FOUND" if error.status == 404 else "HTTP"
            return self._failed(error.status, str(error.reason), code)
        except BootstrapdError as error:
            return self._failed(*blame(error))
        except Exception as error:
            log.exception("api.failed", method=request.method, path=request.path)
            return self._failed(500, f"a bug of ours ({type(error).__name__}); see the log", "BUG")

    def _failed(self, status: int, error: str, code: str, mistakes: tuple[str, ...] = ()) -> web.Response:
        self._counters[f"api.refused.{code.lower()}"] += 1
        return failed(status, error, code, mistakes)

    async def _status(self, _request: web.Request) -> web.Response:
        return answer(self._core.status())

    async def _reload(self, _request: web.Request) -> web.Response:
        mistakes = await self._core.reload()
        if mistakes:
            raise ConfigError(*mistakes)
        return answer(self._core.status())

    async def _machines(self, _request: web.Request) -> web.Response:
        return answer(self._core.machines())

    async def _machine(self, request: web.Request) -> web.Response:
        return answer(self._find(request))

    async def _adopt(self, request: web.Request) -> web.Response:
        adoption = body(await request.read(), Adoption)
        key = request.match_info["key"]
        return answer(await self._core.adopt(key, adoption.host, ready=adoption.ready))

    async def _forget(self, request: web.Request) -> web.Response:
        machine = self._find(request)
        await self._core.forget(machine.id, force=request.query.get("force") == "1")
        return answer(machine)

    async def _images(self, _request: web.Request) -> web.Response:
        return answer(self._core.images())

    async def _explain(self, request: web.Request) -> web.Response:
        query = request.query
        unknown = sorted(set(query) - {"mac", "arch", "stage", "door"})
        if unknown:
            raise ConfigError(f"explain takes mac, arch, stage and door, not {', '.join(unknown)}")
        arch = Arch.parse(query["arch"]) if query.get("arch") else None
        stage, door = word(Stage, query.get("stage")), word(Door, query.get("door"))
        return answer(self._core.explain(Mac.parse(query.get("mac", "")), arch, stage, door))

    def _find(self, request: web.Request) -> MachineView:
        key = request.match_info["key"]
        return there(self._core.machine(key), f"there is no machine {key!r}")


def _is_local(request: web.Request) -> bool:
    """Whether it came through the Unix socket; what has lost its connection meanwhile did not."""
    own = request.transport.get_extra_info("socket") if request.transport else None
    return own is not None and own.family == socket.AF_UNIX
