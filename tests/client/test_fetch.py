"""Downloads against small servers on loopback: as firmware makes them, and what each server does wrong."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from bootstrapd.client.fetch import KEPT_BYTES, Fetch, Fetcher

LOOPBACK = "127.0.0.1"
TIMEOUT_S = 2.0
TRANSFER_TIMEOUT_S = 0.5
FILE = b"MZ" + bytes(5000)
OACK, DATA, ERROR = b"\0\6", b"\0\3", b"\0\5"
STOP = b"stop"


class Tftp:
    """Serves FILE, one block an ACK; `oack` makes the first answer from the options asked for."""

    def __init__(self, oack: Callable[[dict[bytes, bytes]], bytes]) -> None:
        self.oack = oack
        self.requests: list[tuple[bytes, dict[bytes, bytes]]] = []
        self.after_oack: list[bytes] = []
        self.door = _udp()
        self.port = self.door.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while (asked := self.door.recvfrom(2048))[0] != STOP:
            packet, peer = asked
            name, _, *pairs = packet[2:].split(b"\0")
            options = dict(zip(pairs[::2], pairs[1::2], strict=False))
            self.requests.append((name, options))
            with _udp() as transfer, suppress(TimeoutError):
                transfer.settimeout(TRANSFER_TIMEOUT_S)
                self._transfer(transfer, peer, options)

    def _transfer(self, transfer: socket.socket, peer: tuple[str, int], options: dict[bytes, bytes]) -> None:
        first = self.oack(options)
        transfer.sendto(first, peer)
        if first[:2] == ERROR:
            return
        size = int(options.get(b"blksize", b"512")) if first[:2] == OACK else 512
        blocks = [FILE[at : at + size] for at in range(0, len(FILE) + 1, size)]
        start = 0 if first[:2] == OACK else 1
        for number, block in enumerate(blocks, 1):
            if number <= start:
                continue
            answer, _ = transfer.recvfrom(2048)
            self.after_oack.append(answer)
            if answer[:2] == ERROR:
                return
            transfer.sendto(DATA + number.to_bytes(2, "big") + block, peer)
        self.after_oack.append(transfer.recvfrom(2048)[0])

    def close(self) -> None:
        with _udp() as caller:
            caller.sendto(STOP, (LOOPBACK, self.port))
        self.thread.join()
        self.door.close()


def _udp() -> socket.socket:
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind((LOOPBACK, 0))
    return opened


def good_oack(options: dict[bytes, bytes]) -> bytes:
    answers = {b"blksize": options.get(b"blksize"), b"tsize": str(len(FILE)).encode()}
    kept = {name: value for name, value in answers.items() if name in options and value}
    return OACK + b"".join(name + b"\0" + value + b"\0" for name, value in kept.items())


@contextmanager
def tftp(oack: Callable[[dict[bytes, bytes]], bytes] = good_oack) -> Iterator[Tftp]:
    server = Tftp(oack)
    try:
        yield server
    finally:
        server.close()


def fetch(server: Tftp, *, asks_size_first: bool = True) -> Fetch:
    fetcher = Fetcher(LOOPBACK, TIMEOUT_S, tftp_port=server.port)
    return fetcher.tftp(LOOPBACK, "nbp/x/snponly.efi", 1468, asks_size_first=asks_size_first)


def test_T1_edk2s_two_requests() -> None:
    """The size query with windowsize 4, ERROR 8 to the transfer's port, then the file without tsize."""
    with tftp() as server:
        got = fetch(server)
    assert (got.error, got.size_bytes, got.body, got.findings) == ("", len(FILE), FILE, ())
    name = b"nbp/x/snponly.efi"
    assert server.requests == [
        (name, {b"tsize": b"0", b"blksize": b"1468", b"windowsize": b"4"}),
        (name, {b"blksize": b"1468"}),
    ]
    assert server.after_oack[0][:4] == ERROR + b"\0\x08"
    assert server.after_oack[1] == b"\0\4\0\0"


def test_ipxe_asks_once() -> None:
    with tftp() as server:
        got = fetch(server, asks_size_first=False)
    assert got.size_bytes == len(FILE)
    assert [options for _, options in server.requests] == [{b"blksize": b"1468", b"tsize": b"0"}]


def test_T12_not_found_is_said_with_its_number() -> None:
    with tftp(lambda _: ERROR + b"\0\1File not found\0") as server:
        got = fetch(server)
    assert got.error == "TFTP ERROR 1: File not found"


def test_T2_no_tsize_in_the_oack_stops_edk2() -> None:
    with tftp(lambda _: OACK + b"blksize\x001468\0") as server:
        got = fetch(server)
    assert "no tsize in the OACK" in got.error


def test_T2_options_not_asked_for_are_named() -> None:
    def extra(options: dict[bytes, bytes]) -> bytes:
        return good_oack(options) + (b"timeout\0003\0" if b"tsize" in options else b"")

    with tftp(extra) as server:
        got = fetch(server)
    assert [(finding.rule, finding.sentence) for finding in got.findings] == [
        ("T2", "the OACK has options that were not asked for: timeout")
    ]
    assert got.is_ok


def test_a_server_without_options_stops_edk2() -> None:
    with tftp(lambda _: DATA + b"\0\1" + FILE[:512]) as server:
        got = fetch(server)
    assert "ignores options" in got.error


def test_a_tftp_server_that_is_not_there() -> None:
    with _udp() as nobody:
        port = nobody.getsockname()[1]
        got = Fetcher(LOOPBACK, 0.1, tftp_port=port).tftp(LOOPBACK, "x", 1468, asks_size_first=True)
    assert got.error


@pytest.mark.parametrize("junk", [b"", b"\0", b"\xff\xff", OACK, OACK + b"a", OACK + b"a\0\0", DATA, b"\0\5\0"])
def test_junk_from_a_tftp_server_is_an_error_in_words(junk: bytes) -> None:
    with tftp(lambda _: junk) as server:
        got = fetch(server)
    assert got.error


class Http:
    """Answers each request on a connection with what `reply(method)` gives, until that is empty."""

    def __init__(self, reply: Callable[[str], bytes]) -> None:
        self.reply = reply
        self.requests: list[str] = []
        self.connections = 0
        self.is_closing = False
        self.door = socket.create_server((LOOPBACK, 0))
        self.url = f"http://{LOOPBACK}:{self.door.getsockname()[1]}"
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while not self.is_closing:
            connection, _ = self.door.accept()
            self.connections += not self.is_closing
            with connection, suppress(ConnectionError):
                connection.settimeout(TIMEOUT_S)
                while head := _read_head(connection):
                    self.requests.append(head)
                    connection.sendall(self.reply(head.split(" ")[0]))

    def close(self) -> None:
        self.is_closing = True
        socket.create_connection(self.door.getsockname()).close()
        self.thread.join()
        self.door.close()


def _read_head(connection: socket.socket) -> str:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(4096)
        if not piece:
            return ""
        data += piece
    return data.decode()


@contextmanager
def http(reply: Callable[[str], bytes]) -> Iterator[Http]:
    server = Http(reply)
    try:
        yield server
    finally:
        server.close()


def ok(
    method: str, *headers: str, body: bytes = FILE, status: str = "200 OK", length: int | None = None
) -> bytes:
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", *([f"Content-Length: {size}"] if size >= 0 else []), *headers, "", ""]
    return "\r\n".join(lines).encode() + (b"" if method == "HEAD" else body)


def boot(reply: Callable[[str], bytes], path: str = "/snponly.efi") -> tuple[Fetch, Http]:
    with http(reply) as server:
        return Fetcher(LOOPBACK, TIMEOUT_S).head_and_get(server.url + path), server


def rules(got: Fetch) -> list[tuple[str, str]]:
    return [(finding.rule, finding.severity.value) for finding in got.findings]


def test_H6_head_then_get_on_one_connection() -> None:
    got, server = boot(ok)
    assert (got.error, got.size_bytes, got.findings) == ("", len(FILE), ())
    assert server.connections == 1
    assert [request.split("\r\n")[0] for request in server.requests] == [
        "HEAD /snponly.efi HTTP/1.1",
        "GET /snponly.efi HTTP/1.1",
    ]
    headers = {line.split(":")[0] for line in server.requests[0].strip().split("\r\n")[1:]}
    assert headers == {"Host", "Accept", "User-Agent"}  # as edk2 sends it (FIRMWARE.md 4)


def test_H6_no_length_on_head() -> None:
    got, _ = boot(lambda method: ok(method, length=-1 if method == "HEAD" else None))
    assert ("H6", "wrong") in rules(got)
    assert not got.is_ok


def test_H6_head_and_get_disagree() -> None:
    got, _ = boot(lambda method: ok(method, body=FILE if method == "GET" else b"x"))
    assert rules(got) == [("H6", "wrong")]
    assert got.error == f"HEAD promises 1 bytes, GET sends {len(FILE)}"


def test_H6_a_connection_that_closes() -> None:
    got, _ = boot(lambda method: ok(method, "Connection: close"))
    assert ("H6", "risk") in rules(got)


def test_H7_a_redirect_is_not_followed() -> None:
    got, server = boot(lambda method: ok(method, "Location: /b.efi", status="302 Found"))
    assert "a redirect to /b.efi, not followed (H7)" in got.error
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("path", "content_type", "boots"),
    [
        ("/a.efi", "application/octet-stream", True),
        ("/a.EFI", "text/html", True),
        ("/a", "application/efi", True),
        ("/a.efi?x=1", "application/octet-stream", True),
        ("/a?f=a.efi", "application/octet-stream", False),
        ("/a", "text/html", False),
    ],
)
def test_H8_the_path_or_the_type_says_efi(path: str, content_type: str, boots: bool) -> None:
    """FIRMWARE.md 4, "UEFI HTTP server side"."""
    got, _ = boot(lambda method: ok(method, f"Content-Type: {content_type}"), path)
    assert got.is_ok is boots
    assert rules(got) == ([] if boots else [("H8", "wrong")])


def test_H9_chunked_is_a_risk() -> None:
    def chunked(method: str) -> bytes:
        if method == "HEAD":
            return ok(method)
        head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        return head.encode() + f"{len(FILE):x}\r\n".encode() + FILE + b"\r\n0\r\n\r\n"

    got, _ = boot(chunked)
    assert rules(got) == [("H9", "risk")]


@pytest.mark.parametrize("status", ["404 Not Found", "503 Service Unavailable"])
def test_a_refusal_is_said(status: str) -> None:
    got, _ = boot(lambda method: ok(method, status=status))
    assert got.error == f"HTTP {status}"


@pytest.mark.parametrize("junk", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\0" * 100])
def test_junk_from_an_http_server_is_an_error_in_words(junk: bytes) -> None:
    with http(lambda _: junk) as server:
        got = Fetcher(LOOPBACK, 0.3).get(server.url)
    assert got.error


def test_get_keeps_the_beginning_and_counts_the_rest() -> None:
    large = bytes(KEPT_BYTES + 5)
    with http(lambda method: ok(method, body=large)) as server:
        got = Fetcher(LOOPBACK, TIMEOUT_S).get(f"{server.url}/a?b=c")
    assert (got.size_bytes, len(got.body)) == (len(large), KEPT_BYTES)
    assert server.requests[0].startswith("GET /a?b=c HTTP/1.1")


def test_head_downloads_nothing() -> None:
    with http(lambda method: ok(method, body=FILE)) as server:
        got = Fetcher(LOOPBACK, TIMEOUT_S).head(f"{server.url}/a")
    assert (got.size_bytes, got.body, got.how) == (len(FILE), b"", "HEAD")


def test_other_schemes_are_refused_in_words() -> None:
    assert "only http://" in Fetcher(LOOPBACK, TIMEOUT_S).get("https://10.0.0.2/a").error
    assert "only http://" in Fetcher(LOOPBACK, TIMEOUT_S).head("vmlinuz").error


def test_a_port_where_nobody_listens() -> None:
    with socket.create_server((LOOPBACK, 0)) as door:
        port = door.getsockname()[1]
    assert "refused" in Fetcher(LOOPBACK, TIMEOUT_S).get(f"http://{LOOPBACK}:{port}/").error
