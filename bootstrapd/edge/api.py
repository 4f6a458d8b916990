"""The operator's API: JSON over HTTP on a Unix socket.

Owns the socket, the routes, the limits and the translation of errors into status codes (refused 409,
configuration 400, environment 503, not there 404, our bug 500). What an answer says is the core's: the daemon.
The socket's mode is the only authentication: whoever may write to it may do everything.
"""

from __future__ import annotations

import contextlib
import grp
import os
import socket
import stat
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar

import structlog
from aiohttp import web

from bootstrapd.edge.feed import Feed
from bootstrapd.edge.folders import make_folder
from bootstrapd.errors import BootstrapdError, ConfigError, EdgeError, RefusedError
from bootstrapd.model import Arch, Door, Mac, Stage, Transition, decoder, encode
from bootstrapd.model.view import (
    Adoption,
    EventView,
    Explained,
    Failure,
    HostView,
    ImageView,
    MachineView,
    StatusView,
)

log = structlog.get_logger(__name__)

MAX_BODY_BYTES: Final = 64 * 1024
MAX_SUBSCRIBERS: Final = 64
HEARTBEAT_S: Final = 15.0
SHUTDOWN_S: Final = 1.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
E = TypeVar("E", Door, Stage)


class _NotThereError(Exception):
    """404, with its sentence; aiohttp's own would put what a peer typed into the status line."""


class ApiCore(Protocol):
    """What the daemon offers the operator. Not there is None; a refusal is RefusedError, and so on."""

    def status(self) -> StatusView: ...

    def hosts(self) -> list[HostView]: ...

    def host(self, name: str) -> HostView | None: ...

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

    async def arm(self, host: str, *, by: str) -> HostView:
        """Consent to one install that erases the host's disks; returns once durable.

        RefusedError, like the three below: no such host, an install runs, …
        """

    async def disarm(self, host: str) -> HostView:
        """Take the consent back; refused once disks are being erased under it (that is `abort`)."""

    async def abort(self, host: str, *, by: str) -> HostView:
        """Stop the install that runs; `why` says what the disks hold now."""

    async def retry(self, host: str, *, by: str) -> HostView:
        """Try a failed install again now, within what is left of the arm's budget."""

    async def past(self, since: float, host: str, limit: int) -> list[EventView]:
        """What the journal has from `since` (Unix seconds) on, of one host or of all (""), oldest first.

        The newest `limit` where there is more; no tokens.
        """

    def host_of(self, machine: str) -> str:
        """The name of the host that the machine is, or ""."""

    async def reload(self) -> list[str]:
        """Read hosts and images again, now; the mistakes found (the last good set still serves)."""


class ApiServer:
    """Serves `core` on `socket_path` (mode 0660, of `group` where we are root and it exists)."""

    def __init__(
        self, socket_path: Path, core: ApiCore, counters: Counter[str], *, group: str = "bootstrapd"
    ) -> None:
        self._path = socket_path
        self._core = core
        self._counters = counters
        self._group = group
        self._feed = Feed(counters, max_subscribers=MAX_SUBSCRIBERS)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """EdgeError: another bootstrapd answers there, or the socket cannot be made."""
        listener = _listen(self._path, self._group)
        self._runner = web.AppRunner(
            self._app(), access_log=None, shutdown_timeout=SHUTDOWN_S, handle_signals=False
        )
        await self._runner.setup()
        await web.SockSite(self._runner, listener).start()

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
        self._feed.publish(transition)

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._translate])
        routes: tuple[tuple[str, str, Handler], ...] = (
            ("GET", "/v1/status", self._status),
            ("POST", "/v1/reload", self._reload),
            ("GET", "/v1/hosts", self._hosts),
            ("GET", "/v1/hosts/{name}", self._host),
            ("GET", "/v1/machines", self._machines),
            ("GET", "/v1/machines/{key}", self._machine),
            ("POST", "/v1/machines/{key}/adopt", self._adopt),
            ("DELETE", "/v1/machines/{key}", self._forget),
            ("GET", "/v1/images", self._images),
            ("GET", "/v1/explain", self._explain),
            ("GET", "/v1/events", self._events),
        )
        for method, path, handler in routes:
            app.router.add_route(method, path, handler)
        return app

    @web.middleware
    async def _translate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except _NotThereError as error:
            return self._failed(404, str(error), "NOT_FOUND")
        except web.HTTPException as error:
            code = "NOT_FOUND" if error.status == 404 else "HTTP"
            return self._failed(error.status, str(error.reason), code)
        except BootstrapdError as error:
            return self._failed(*_blame(error))
        except Exception as error:
            log.exception("api.failed", method=request.method, path=request.path)
            return self._failed(500, f"a bug of ours ({type(error).__name__}); see the log", "BUG")

    def _failed(self, status: int, error: str, code: str, mistakes: tuple[str, ...] = ()) -> web.Response:
        self._counters[f"api.refused.{code.lower()}"] += 1
        return _json(Failure(error=error, code=code, mistakes=mistakes), status)

    async def _status(self, _request: web.Request) -> web.Response:
        return _json(self._core.status())

    async def _reload(self, _request: web.Request) -> web.Response:
        mistakes = await self._core.reload()
        if mistakes:
            raise ConfigError(*mistakes)
        return _json(self._core.status())

    async def _hosts(self, _request: web.Request) -> web.Response:
        return _json(self._core.hosts())

    async def _host(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        return _json(_there(self._core.host(name), f"there is no host {name!r}"))

    async def _machines(self, _request: web.Request) -> web.Response:
        return _json(self._core.machines())

    async def _machine(self, request: web.Request) -> web.Response:
        return _json(self._find(request))

    async def _adopt(self, request: web.Request) -> web.Response:
        adoption = _body(await request.read(), Adoption)
        key = request.match_info["key"]
        return _json(await self._core.adopt(key, adoption.host, ready=adoption.ready))

    async def _forget(self, request: web.Request) -> web.Response:
        machine = self._find(request)
        await self._core.forget(machine.id, force=request.query.get("force") == "1")
        return _json(machine)

    async def _images(self, _request: web.Request) -> web.Response:
        return _json(self._core.images())

    async def _explain(self, request: web.Request) -> web.Response:
        query = request.query
        unknown = sorted(set(query) - {"mac", "arch", "stage", "door"})
        if unknown:
            raise ConfigError(f"explain takes mac, arch, stage and door, not {', '.join(unknown)}")
        arch = Arch.parse(query["arch"]) if query.get("arch") else None
        stage, door = _word(Stage, query.get("stage")), _word(Door, query.get("door"))
        return _json(self._core.explain(Mac.parse(query.get("mac", "")), arch, stage, door))

    async def _events(self, request: web.Request) -> web.StreamResponse:
        with self._feed.subscribe() as subscriber:
            response = web.StreamResponse(
                headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
            )
            await response.prepare(request)
            with contextlib.suppress(ConnectionResetError):  # the listener went away: nothing to tell it
                async for chunk in subscriber.chunks(HEARTBEAT_S):
                    await response.write(chunk)
            return response

    def _find(self, request: web.Request) -> MachineView:
        key = request.match_info["key"]
        return _there(self._core.machine(key), f"there is no machine {key!r}")


T = TypeVar("T")


def _there(found: T | None, otherwise: str) -> T:
    if found is None:
        raise _NotThereError(otherwise)
    return found


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=encode(value), status=status, content_type="application/json")


def _body(data: bytes, kind: type[T]) -> T:
    try:
        return decoder(kind).decode(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the request's body is not what this route takes: {error}") from None


def _word(kind: type[E], text: str | None) -> E | None:
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        choices = ", ".join(member.value for member in kind)
        raise ConfigError(f"{text!r} is not a {kind.__name__.lower()}: expected one of {choices}") from None


def _blame(error: BootstrapdError) -> tuple[int, str, str, tuple[str, ...]]:
    match error:
        case RefusedError():
            return 409, str(error), error.code, ()
        case ConfigError():
            return 400, str(error), "CONFIG", error.mistakes
        case EdgeError():
            return 503, str(error), "ENVIRONMENT", ()
    return 500, str(error), "BUG", ()


def _listen(path: Path, group: str) -> socket.socket:
    """A bound and listening socket; the file of a dead process is replaced, a live one is an EdgeError."""
    try:
        gid = _make_folder(path.parent, group)
        _clear(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            listener.bind(str(path))
            path.chmod(0o660)  # before listen: nobody can connect while the mode is the umask's
            if gid >= 0:
                os.chown(path, -1, gid)
            listener.listen(128)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise EdgeError(f"cannot open the operator's socket {path}: {error.strerror or error}") from error
    return listener


def _make_folder(folder: Path, group: str) -> int:
    """Make the socket's folder where it is missing; the group id it and the socket go to, -1 = leave it."""
    gid = -1
    if os.geteuid() == 0:
        with contextlib.suppress(KeyError):  # no such group on this machine: root alone may talk to us
            gid = grp.getgrnam(group).gr_gid
    if not folder.exists():
        make_folder(folder)
        if gid >= 0:
            os.chown(folder, -1, gid)
    return gid


def _clear(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise EdgeError(f"{path} is in the way of the operator's socket and is no socket: move it away")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
                return
        raise EdgeError(f"bootstrapd is already running: something answers on {path}; stop it first")
