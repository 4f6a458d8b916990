"""The operator's API from the command line's side: one request, one typed answer, or a stream of them.

Over the Unix socket of this machine, or with a token to a `Remote`. The error that the daemon answered with is
raised here as if it had happened here. Only the standard library, because every command pays for what this
imports.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn, TypeVar
from urllib.parse import quote, urlencode, urlsplit

from msgspec import Struct

from bootstrapd.errors import BootstrapdError, ConfigError, EdgeError, RefusedError
from bootstrapd.model import decoder, encode
from bootstrapd.model.view import Failure

T = TypeVar("T")

TIMEOUT_S: Final = 10.0
DONE_TIMEOUT_S: Final = 60.0  # until what changes something is durable, or an install's processes are dead
QUIET_S: Final = 60.0  # a stream beats every 15 s


class NotRunningError(EdgeError):
    """No daemon answers here."""


class Remote(Struct, frozen=True):
    """A daemon elsewhere: `http(s)://host[:port]`, with the token of its API."""

    url: str
    token: str


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class ApiClient:
    """One daemon. NotRunningError, EdgeError, RefusedError and ConfigError say what went wrong."""

    def __init__(self, place: Path | Remote) -> None:
        self._place = place
        self._name = f"the daemon {f'at {place.url}' if isinstance(place, Remote) else f'on {place}'}"

    def get(self, path: str, kind: type[T], query: dict[str, str] | None = None) -> T | None:
        """None = there is no such thing."""
        return self._ask("GET", f"{path}?{urlencode(query, errors='surrogateescape')}" if query else path, kind)

    def post(self, path: str, kind: type[T], body: object = None) -> T | None:
        return self._ask("POST", path, kind, b"" if body is None else _encoded(body), DONE_TIMEOUT_S)

    def delete(self, path: str, kind: type[T]) -> T | None:
        return self._ask("DELETE", path, kind)

    def stream(self, path: str, kind: type[T], query: dict[str, str]) -> Iterator[T | None]:
        """The data of each server-sent event until the daemon ends the stream; None = it is still there."""
        decode = decoder(kind).decode
        with self._talking(QUIET_S) as connection:
            connection.request(
                "GET", f"{path}?{urlencode(query, errors='surrogateescape')}", None, self._headers
            )
            response = connection.getresponse()
            if response.status != 200:
                self._raise(response.status, response.read())
            for line in response:
                name, _, value = line.rstrip(b"\r\n").partition(b": ")
                if line.startswith(b":"):
                    yield None
                elif line.startswith(b"event: lost"):
                    raise EdgeError(f"{self._name} sent events faster than they were read: ask again")
                elif name == b"data":
                    with self._reading(200):
                        found = decode(value)
                    yield found

    def _ask(
        self, method: str, path: str, kind: type[T], body: bytes = b"", timeout_s: float | None = None
    ) -> T | None:
        with self._talking(timeout_s or TIMEOUT_S) as connection:
            connection.request(method, path, body or None, self._headers)
            response = connection.getresponse()
            status, data = response.status, response.read()
        if status == 404:
            return None
        if status != 200:
            self._raise(status, data)
        with self._reading(status):
            return decoder(kind).decode(data)

    def _raise(self, status: int, data: bytes) -> NoReturn:
        with self._reading(status):
            failure = decoder(Failure).decode(data)
        raise _error(status, failure)

    @contextlib.contextmanager
    def _reading(self, status: int) -> Iterator[None]:
        try:
            yield
        except (ValueError, ConfigError) as error:
            if status == 400:  # the HTTP library's own, in plain text: what was asked is too long for it
                raise RefusedError(
                    f"{self._name} does not take this request: a name or value in it is "
                    "too long, or holds what no name can"
                ) from None
            raise EdgeError(
                f"{self._name} answers something this program cannot read ({error}): "
                "are they the same version? restart the daemon after an upgrade"
            ) from None

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._place.token}"} if isinstance(self._place, Remote) else {}

    def _connection(self, timeout_s: float) -> http.client.HTTPConnection:
        if isinstance(self._place, Path):
            return _UnixConnection(self._place, timeout_s)
        url = urlsplit(self._place.url)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        return kind(url.hostname or "", url.port, timeout=timeout_s)

    @contextlib.contextmanager
    def _talking(self, timeout_s: float) -> Iterator[http.client.HTTPConnection]:
        """A connection, closed at the end; whatever goes wrong on it is a sentence."""
        connection = self._connection(timeout_s)
        try:
            yield connection
        except (FileNotFoundError, ConnectionRefusedError):
            raise self._not_running() from None
        except PermissionError:
            raise EdgeError(
                f"no permission to talk to {self._name}: use sudo, or join the group that owns the socket"
            ) from None
        except TimeoutError:
            raise EdgeError(f"{self._name} has not answered for {timeout_s:.0f} s: look at its log") from None
        except (OSError, http.client.HTTPException) as error:
            plain = "WRONG_VERSION_NUMBER" in str(error)  # what TLS calls an answer that is none of its own
            hint = "; it has no TLS of its own: write http://, or put a proxy before it" if plain else ""
            raise EdgeError(f"cannot talk to {self._name}: {error}{hint}") from error
        finally:
            connection.close()

    def _not_running(self) -> NotRunningError:
        if isinstance(self._place, Remote):
            return NotRunningError(
                f"bootstrapd does not answer at {self._place.url}: is it running there, with [api] listen set?"
            )
        return NotRunningError(
            f"bootstrapd is not running (nothing answers on {self._place}): start it with `bootstrapd serve`"
        )


def segment(text: str) -> str:
    """One part of a path, whatever a person typed."""
    return quote(text, safe="", errors="surrogateescape")


def _encoded(body: object) -> bytes:
    try:
        return encode(body)
    except UnicodeEncodeError as error:
        raise ConfigError(f"{error.object!a} is not UTF-8 text") from None


def _error(status: int, failure: Failure) -> BootstrapdError:
    match status:
        case 401 | 403:
            return ConfigError(f"not let in: {failure.error} (--token-file, BOOTSTRAPD_TOKEN)")
        case 400:
            return ConfigError(*(failure.mistakes or (failure.error,)))
        case 409:
            return RefusedError(failure.error, failure.code)
        case 503:
            return EdgeError(failure.error)
    return BootstrapdError(f"the daemon failed ({status}): {failure.error}")
