"""The operator's API from the client's side, against servers that misbehave."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bootstrapd.cli import api_client
from bootstrapd.cli.api_client import ApiClient, NotRunningError, Remote
from bootstrapd.errors import BootstrapdError, ConfigError, EdgeError, RefusedError
from bootstrapd.model.view import EventView, StatusView

from .conftest import DEADLINE_S, Run

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


# Streams


def stream(*lines: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"".join(lines)


VIEW = b'data: {"event":{"event":"LocalBoot","id":"1","machine":"m","at":1.0}}\n'


def heard(client: ApiClient) -> list[EventView | None]:
    return list(client.stream("/v1/events", EventView, {"since": "0"}))


def test_a_stream_is_its_events_and_its_beats(answering: Answering) -> None:
    told = heard(answering(stream(b": listening\n\n", b"id: 1\nevent: LocalBoot\n", VIEW, b"\n", b":\n\n")))
    assert [view and view.event.id for view in told] == [None, "1", None]


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (stream(VIEW, b"event: lost\ndata: {}\n\n"), EdgeError, "faster than they were read"),
        (stream(b"data: {}\n"), EdgeError, "same version"),
        (stream(b"data: nonsense\n"), EdgeError, "same version"),
        (http(503, FAILURE), EdgeError, "no"),
        (http(400, FAILURE), ConfigError, "a\nb"),
        (http(404, FAILURE), BootstrapdError, "no"),
        (b"", EdgeError, "has not answered"),
    ],
)
def test_each_failure_of_a_stream(
    answering: Answering,
    answer: bytes,
    kind: type[BootstrapdError],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(api_client, "QUIET_S", 0.2)
    with pytest.raises(kind, match=words):
        heard(answering(answer))


# Elsewhere


def test_a_remote_daemon_is_asked_with_the_token() -> None:
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as peer:
                got.append(peer.recv(65536))
                peer.sendall(http(404, FAILURE))

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert ApiClient(Remote(url, "t0ken")).get("/v1/hosts/x", StatusView) is None
        thread.join(DEADLINE_S)
    assert b"\r\nAuthorization: Bearer t0ken\r\n" in got[0]


def test_a_remote_daemon_has_no_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as peer:
                peer.recv(65536)
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(EdgeError, match="it has no TLS of its own: write http://"):
            ApiClient(Remote(url, "t0ken")).get("/v1/status", StatusView)
        thread.join(DEADLINE_S)


def test_a_remote_daemon_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(NotRunningError, match=r"\[api\] listen"):
        ApiClient(Remote(f"http://127.0.0.1:{port}", "t")).get("/v1/status", StatusView)


@pytest.mark.parametrize("status", [401, 403])
def test_not_let_in_is_the_operators_to_mend(answering: Answering, status: int) -> None:
    with pytest.raises(ConfigError, match=r"not let in: no .*--token-file"):
        answering(http(status, FAILURE)).get("/v1/status", StatusView)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://x",
        "http://",
        "127.0.0.1:8470",
        "http://a:b@c",
        "http://x:99999",
        "http://x/v1",
        "http://x?y",
        "http://[::1",
    ],
)
def test_a_url_that_is_none(run: Run, url: str) -> None:
    said = run("hosts", "list", "--server", url)
    assert said.code == 2
    assert "expected a URL such as" in said.err


@pytest.mark.parametrize(
    ("content", "words"), [("", "needs a token"), ("two\nlines", "not one line"), ("tökén", "not one line")]
)
def test_a_token_file_that_is_none(run: Run, tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    said = run("hosts", "list", "--server", "http://127.0.0.1:1", "--token-file", str(file))
    assert said.code == 2
    assert words in said.err
