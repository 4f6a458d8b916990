"""The way to NATS: every event of the journal into the stream, and commands back.

Keeps one connection, to the appliance's own server or another. A dead NATS stops nobody: events wait in the
journal, and the bus tries again with growing pauses. What is published and how is `edge/bus_drain.py`'s, the
stream `edge/bus_stream.py`'s, commands `edge/bus_commands.py`'s. nats-py takes a fifth of a second to import,
which is done in a thread once the appliance serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import ssl
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal

import structlog
from msgspec import Struct

from bootstrapd.edge.bus_commands import Commands, Handler
from bootstrapd.edge.bus_drain import Drain
from bootstrapd.edge.bus_stream import TIMEOUT_S, open_stream
from bootstrapd.edge.nats_server import Login, NatsServer
from bootstrapd.edge.outbox import Outbox
from bootstrapd.errors import EdgeError
from bootstrapd.model.view import NatsView

if TYPE_CHECKING:
    from nats.aio.client import Client

log = structlog.get_logger(__name__)

RETRY_FIRST_S: Final = 0.1
RETRY_MAX_S: Final = 15.0
FAREWELL_S: Final = 1.0
CLOSE_S: Final = 2.0


class Terms(Struct, frozen=True, kw_only=True):
    """What the bus says and hears."""

    prefix: str = "cim.deployment"
    site: str = "main"
    commands: Literal["none", "query", "deploy"] = "query"
    infrastructure: bool = True


class Bus:
    """`start` returns at once and connects behind it; `close` lets what is new go out, for a second."""

    def __init__(
        self,
        outbox: Outbox,
        server: Login | NatsServer,
        terms: Terms,
        counters: Counter[str],
        handler: Handler,
        owns: Callable[[str], bool],
    ) -> None:
        self._outbox = outbox
        self._server = server
        self._terms = terms
        self._counters = counters
        self._commands = Commands(terms.commands, handler, owns, counters)
        self._where = "" if isinstance(server, NatsServer) else ", ".join(server.urls)
        self._is_connected = False
        self._problem = ""
        self._heard: Exception | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns at once."""
        self._task = asyncio.create_task(self._keep_connected())

    async def close(self) -> None:
        """Disconnected. What the stream has not is in the journal."""
        if self._task is None:
            return
        deadline = asyncio.get_running_loop().time() + FAREWELL_S
        while self._is_connected and self._outbox.lag and asyncio.get_running_loop().time() < deadline:
            await asyncio.wait((self._task,), timeout=0.01)
        self._task.cancel()
        await asyncio.wait((self._task,))

    def view(self) -> NatsView:
        """For the operator: is it connected, to what, how many events wait, and what is wrong."""
        problem = self._problem
        if isinstance(self._server, NatsServer):
            problem = self._server.problem or problem
        return NatsView(
            where=self._where, is_connected=self._is_connected, lag=self._outbox.lag, problem=problem
        )

    async def _keep_connected(self) -> None:
        for name in ("nats.aio.client", "nats.js"):
            await asyncio.to_thread(importlib.import_module, name)
        pause = RETRY_FIRST_S
        while True:
            began = asyncio.get_running_loop().time()
            problem = await self._serve_or_say()
            if problem != self._problem:
                log.warning("NATS: events wait in the journal", problem=problem, where=self._where)
            self._problem = problem
            if asyncio.get_running_loop().time() - began > RETRY_MAX_S:
                pause = RETRY_FIRST_S
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_MAX_S)

    async def _serve_or_say(self) -> str:
        """One connection from end to end; why it ended."""
        from nats.errors import Error, NoServersError

        try:
            await self._connect_and_serve()
        except EdgeError as error:
            return str(error)
        except NoServersError as error:  # says nothing of why
            return _words(self._heard or error, self._where)
        except (Error, OSError, TimeoutError, ssl.SSLError) as error:
            return _words(error, self._where)
        except Exception as error:
            self._counters["nats.bug"] += 1
            log.exception("the bus failed; it connects anew")
            return f"the bus failed: {error}"
        finally:
            self._is_connected = False
        return f"the connection to {self._where} was lost"

    async def _serve(self, connection: Client) -> None:
        """Publishes and answers until it is cancelled."""
        terms = self._terms
        stream = await open_stream(connection, terms.prefix, inventory=terms.infrastructure)
        await self._commands.listen(connection, terms.prefix, terms.site)
        drain = Drain(self._outbox, stream, self._counters, prefix=terms.prefix, site=terms.site)
        self._is_connected, self._problem = True, ""
        log.info("NATS", where=self._where, stream=stream.name, lag=self._outbox.lag)
        await drain.run()

    async def _connect_and_serve(self) -> None:
        """Returns when the connection is lost."""
        from nats.aio.client import Client

        connection, options, closed = Client(), await self._options(), asyncio.Event()
        self._heard = None

        async def on_closed() -> None:
            closed.set()

        try:
            await connection.connect(**options, closed_cb=on_closed)
            serving = asyncio.create_task(self._serve(connection))
            gone = asyncio.create_task(closed.wait())
            try:
                await asyncio.wait((serving, gone), return_when=asyncio.FIRST_COMPLETED)
            finally:
                gone.cancel()
                serving.cancel()
                await asyncio.wait((serving, gone))
            if not serving.cancelled():
                serving.result()
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):  # nats-py waits for ever after a failed TLS handshake
                    await connection.close()

    async def _on_error(self, error: Exception) -> None:
        self._heard = error

    async def _options(self) -> dict[str, Any]:
        always: dict[str, Any] = {
            "name": f"bootstrapd {self._terms.site}",
            "allow_reconnect": False,  # a new connection reads the stream again; `_keep_connected` makes it
            "connect_timeout": TIMEOUT_S,
            "max_reconnect_attempts": 1,  # for each of several servers, before it is our turn to wait
            "reconnect_time_wait": 0,
            "error_cb": self._on_error,
            "ping_interval": 20,
        }
        if isinstance(self._server, NatsServer):
            self._where = await self._server.url()
            return always | {"servers": [self._where], "token": self._server.token}
        return always | await asyncio.to_thread(_login, self._server)


def _login(login: Login) -> dict[str, Any]:
    """nats-py's options. EdgeError: a file cannot be read."""
    options: dict[str, Any] = {"servers": list(login.urls)}
    try:
        if login.token:
            options["token"] = login.token.read_text().strip()
        if login.nkey_seed:
            options["nkeys_seed_str"] = login.nkey_seed.read_text().strip()
        if login.credentials:
            login.credentials.read_bytes()
            options["user_credentials"] = str(login.credentials)
        if login.tls_ca or login.tls_cert or any(url.startswith("tls:") for url in login.urls):
            options["tls"] = _tls(login)
    except (OSError, ValueError) as error:
        name = getattr(error, "filename", None) or "a file of [nats]"
        raise EdgeError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    return options


def _tls(login: Login) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=login.tls_ca)
    if login.tls_cert and login.tls_key:
        context.load_cert_chain(login.tls_cert, login.tls_key)
    return context


def _words(error: Exception, where: str) -> str:
    text = str(error).removeprefix("nats: ").strip("'\"")
    lower = text.lower()
    if "authorization" in lower or "authentication" in lower or "nkey" in lower:
        return f"{where} refuses the login ({text}): check credentials, nkey_seed_file or token_file of [nats]"
    if "code=503" in lower or "no response from stream" in lower:
        return f"{where} has no JetStream for us, or the stream was removed"
    if isinstance(error, TimeoutError) or "timeout" in lower:
        return f"{where} does not answer"
    if isinstance(error, ssl.SSLError):
        return f"TLS with {where} fails ({text}): check tls_ca, tls_cert and tls_key of [nats]"
    return f"{where}: {text or type(error).__name__}"
