"""The operator's API from the client's side, against servers that misbehave."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bootstrapd.cli import api_client
from bootstrapd.cli.api_client import ApiClient, NotRunningError
from bootstrapd.errors import BootstrapdError, ConfigError, EdgeError, RefusedError
from bootstrapd.model.view import StatusView

from .conftest import DEADLINE_S

Answering = Callable[[bytes], ApiClient]


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Answering]:
    """A client of a server that answers one request with these bytes; b"" = it never answers."""
    threads: list[threading.Thread] = []
    over = threading.Event()

    def serve(listener: socket.socket, answer: bytes) -> None:
        with listener, listener.accept()[0] as peer:
            peer.recv(65536)
            peer.sendall(answer) if answer else over.wait(DEADLINE_S)

    def start(answer: bytes) -> ApiClient:
        path = tmp_path / "api.sock"
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
        threads.append(threading.Thread(target=serve, args=(listener, answer)))
        threads[-1].start()
        return ApiClient(path)

    yield start
    over.set()
    for thread in threads:
        thread.join(DEADLINE_S)


def http(status: int, body: bytes) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


FAILURE = b'{"error": "no", "code": "BUSY", "mistakes": ["a", "b"]}'


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (http(409, FAILURE), RefusedError, "no"),
        (http(400, FAILURE), ConfigError, "a\nb"),
        (http(503, FAILURE), EdgeError, "no"),
        (http(500, FAILURE), BootstrapdError, "the daemon failed (500): no"),
        (http(418, FAILURE), BootstrapdError, "(418)"),
        (http(200, b"[]"), EdgeError, "same version"),
        (http(200, b"\xff"), EdgeError, "same version"),
        (http(409, b"oops"), EdgeError, "same version"),
        (http(400, b"Got more than 8190 bytes"), RefusedError, "too long"),
        (b"SSH-2.0-OpenSSH\r\n", EdgeError, "cannot talk to the daemon"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", EdgeError, "cannot talk to the daemon"),
    ],
)
def test_each_failure_is_raised_as_its_own_kind(
    answering: Answering, answer: bytes, kind: type[BootstrapdError], words: str
) -> None:
    with pytest.raises(BootstrapdError) as caught:
        answering(answer).get("/v1/status", StatusView)
    assert type(caught.value) is kind
    assert words in str(caught.value)


def test_not_there_is_none(answering: Answering) -> None:
    assert answering(http(404, FAILURE)).get("/v1/hosts/x", StatusView) is None


def test_a_daemon_that_hangs_is_given_up(answering: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_client, "TIMEOUT_S", 0.05)
    with pytest.raises(EdgeError, match="has not answered"):
        answering(b"").get("/v1/status", StatusView)


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError, match="bootstrapd serve"):
        ApiClient(tmp_path / "api.sock").get("/v1/status", StatusView)


def test_no_permission_says_whom_to_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(api_client._UnixConnection, "connect", refuse)
    with pytest.raises(EdgeError, match="group that owns the socket") as caught:
        ApiClient(tmp_path / "api.sock").get("/v1/status", StatusView)
    assert not isinstance(caught.value, NotRunningError)


def test_a_path_too_long_for_a_socket_is_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="cannot talk to the daemon"):
        ApiClient(tmp_path / ("x" * 120)).get("/v1/status", StatusView)


@pytest.mark.parametrize("text", ["a/b", "..", "a b", "a?b", "\n", "ä", "\udcff"])
def test_whatever_is_typed_stays_one_segment(text: str) -> None:
    assert not set(api_client.segment(text)) & set("/? \n")
