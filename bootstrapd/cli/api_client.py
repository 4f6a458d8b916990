"""The operator's API from the command line's side: one request, one typed answer, over the Unix socket.

The error that the daemon answered with is raised here as if it had happened here. Only the standard library,
because every command pays for what this imports.
"""

from __future__ import annotations

import http.client
import socket
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote, urlencode

from bootstrapd.errors import BootstrapdError, ConfigError, EdgeError, RefusedError
from bootstrapd.model import decoder, encode
from bootstrapd.model.view import Failure

T = TypeVar("T")

TIMEOUT_S: Final = 10.0


class NotRunningError(EdgeError):
    """No daemon answers here."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class ApiClient:
    """One daemon. NotRunningError, EdgeError, RefusedError and ConfigError say what went wrong."""

    def __init__(self, socket_path: Path) -> None:
        self._path = socket_path

    def get(self, path: str, kind: type[T], query: dict[str, str] | None = None) -> T | None:
        """None = there is no such thing."""
        return self._ask("GET", f"{path}?{urlencode(query, errors='surrogateescape')}" if query else path, kind)

    def post(self, path: str, kind: type[T], body: object = None) -> T | None:
        return self._ask("POST", path, kind, b"" if body is None else _encoded(body))

    def delete(self, path: str, kind: type[T]) -> T | None:
        return self._ask("DELETE", path, kind)

    def _ask(self, method: str, path: str, kind: type[T], body: bytes = b"") -> T | None:
        status, data = self._exchange(method, path, body)
        if status == 404:
            return None
        try:
            if status == 200:
                return decoder(kind).decode(data)
            failure = decoder(Failure).decode(data)
        except (ValueError, ConfigError) as error:
            if status == 400:  # the HTTP library's own, in plain text: what was asked is too long for it
                raise RefusedError(
                    f"the daemon on {self._path} does not take this request: a name or value in it is "
                    "too long, or holds what no name can"
                ) from None
            raise EdgeError(
                f"the daemon on {self._path} answers something this program cannot read ({error}): "
                "are they the same version? restart the daemon after an upgrade"
            ) from None
        raise _error(status, failure)

    def _exchange(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        connection = _UnixConnection(self._path)
        try:
            connection.request(method, path, body or None)
            response = connection.getresponse()
            return response.status, response.read()
        except (FileNotFoundError, ConnectionRefusedError):
            raise NotRunningError(
                f"bootstrapd is not running (nothing answers on {self._path}): start it with `bootstrapd serve`"
            ) from None
        except PermissionError:
            raise EdgeError(
                f"no permission to talk to the daemon on {self._path}: "
                "use sudo, or join the group that owns the socket"
            ) from None
        except TimeoutError:
            raise EdgeError(
                f"the daemon on {self._path} has not answered for {TIMEOUT_S:.0f} s: look at its log"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            raise EdgeError(f"cannot talk to the daemon on {self._path}: {error}") from error
        finally:
            connection.close()


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
        case 400:
            return ConfigError(*(failure.mistakes or (failure.error,)))
        case 409:
            return RefusedError(failure.error, failure.code)
        case 503:
            return EdgeError(failure.error)
    return BootstrapdError(f"the daemon failed ({status}): {failure.error}")
