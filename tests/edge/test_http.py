"""The HTTP boot listener on a real socket: firmware's own bytes, ranges, types, pages, registrations."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from scapy.layers.inet import TCP
from scapy.utils import PcapReader

from bootstrapd.edge.http import HttpServer
from bootstrapd.edge.http_connection import Limits
from bootstrapd.errors import EdgeError, RefusedError
from bootstrapd.model import DhcpReply, Door, FileAsk, FileReply, Nothing, Reply, TextReply

GOLDEN = Path(__file__).parent.parent / "golden" / "boots"
DEADLINE_S = 5.0
HOST = "127.0.0.1"
NEEDS_CURL = pytest.mark.skipif(shutil.which("curl") is None, reason="needs the curl program: apt install curl")


class Response(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """The header's value; a header that is missing or comes twice fails the test."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) == 1, f"{name} comes {len(values)} times"
        return values[0]

    def has(self, name: str) -> bool:
        return any(key.lower() == name.lower() for key, _ in self.headers)


class Serving:
    """A running listener whose `fetch` is a dictionary, and what it was asked and told."""

    def __init__(self, replies: Mapping[str, Reply | Exception]) -> None:
        self.replies = replies
        self.counters: Counter[str] = Counter()
        self.asks: list[FileAsk] = []
        self.sent: list[tuple[str, bool]] = []
        self.port = 0

    def fetch(self, ask: FileAsk) -> Reply:
        self.asks.append(ask)
        reply = self.replies.get(ask.path, Nothing(f"there is no {ask.path} here"))
        if isinstance(reply, Exception):
            raise reply
        return reply

    def note(self, ask: FileAsk, _reply: Reply, is_complete: bool) -> None:
        self.sent.append((ask.path, is_complete))


@asynccontextmanager
async def serving(replies: Mapping[str, Reply | Exception], **options: Any) -> AsyncIterator[Serving]:
    made = Serving(replies)
    options = {"sent": made.note, **options}
    server = HttpServer(HOST, [0], made.fetch, made.counters, **options)
    made.port = await server.start()
    try:
        yield made
    finally:
        await server.close()


async def read_response(reader: asyncio.StreamReader, method: str) -> Response:
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S)).decode()
    first, *lines = head.rstrip().split("\r\n")
    headers = [(key, value.strip()) for key, _, value in (line.partition(":") for line in lines)]
    response = Response(int(first.split()[1]), headers, b"")
    if method == "HEAD" or response.status in (100, 304):
        return response
    body = await asyncio.wait_for(reader.readexactly(int(response.header("Content-Length"))), DEADLINE_S)
    return response._replace(body=body)


async def talk(port: int, requests: Sequence[bytes]) -> list[Response]:
    """The answers to `requests`, each sent when the last answer is in; fewer when the server hangs up."""
    reader, writer = await asyncio.open_connection(HOST, port)
    responses = []
    try:
        for request in requests:
            writer.write(request)
            responses.append(await read_response(reader, request.split()[0].decode()))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    return responses


async def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> Response:
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}"] if body else []
    lines = lines or [f"{method} {path} HTTP/1.1", "Host: x"]
    lines += [f"{key.replace('_', '-')}: {value}" for key, value in headers.items()]
    return (await talk(port, ["\r\n".join([*lines, "", ""]).encode() + body]))[0]


async def run(*argv: str) -> str:
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert process.returncode == 0, argv
    return output.decode()


def big_file(folder: Path, size: int = 3_000_017) -> FileReply:
    path = folder / "initrd"
    path.write_bytes(bytes(range(256)) * (size // 256) + bytes(size % 256))
    return FileReply(path=path, name="initrd", etag="ab" * 32, size=size)


# Firmware, byte for byte


class Recorded(NamedTuple):
    request: bytes
    status: int  # what nginx answered
    length: int


def conversations(name: str) -> list[list[Recorded]]:
    """A capture's HTTP requests, a list a connection, each with nginx's answer."""
    found: dict[int, list[Recorded]] = {}
    with PcapReader(str(GOLDEN / f"{name}.pcap")) as packets:
        for packet in packets:
            data = bytes(packet[TCP].payload) if TCP in packet else b""
            if not data:
                continue
            if packet[TCP].dport == 80 and data.split(b" ")[0] in (b"GET", b"HEAD"):
                found.setdefault(packet[TCP].sport, []).append(Recorded(data, 0, 0))
            elif data.startswith(b"HTTP/1.1 "):
                talk_of = found.get(packet[TCP].dport)
                if talk_of:
                    length = int(data.split(b"Content-Length: ")[1].split(b"\r\n")[0])
                    talk_of[-1] = Recorded(talk_of[-1].request, int(data.split()[1]), length)
    return list(found.values())


@pytest.mark.parametrize("name", ["uefi-http4-uki", "secureboot-http-proxy", "bios-ipxe-rom"])
async def test_what_firmware_sent_is_answered_as_nginx_did(name: str, tmp_path: Path) -> None:
    """H6: HEAD, then GET on one connection; H7: `//` without a redirect; H9, H10: one Content-Length, first."""
    talks = conversations(name)
    replies: dict[str, Reply | Exception] = {}
    for request, status, length in (recorded for talk_of in talks for recorded in talk_of):
        path = request.split()[1].decode().replace("//", "/").lstrip("/")
        if status == 200:
            file = tmp_path / path.replace("/", "_")
            file.touch()
            with file.open("r+b") as opened:
                opened.truncate(length)
            replies[path] = FileReply(path=file, name=file.name)
    async with serving(replies) as server:
        for talk_of in talks:
            responses = await talk(server.port, [recorded.request for recorded in talk_of])
            for response, recorded in zip(responses, talk_of, strict=True):
                assert response.status == recorded.status
                assert response.headers[0][0] == "Content-Length"
                assert not response.has("Transfer-Encoding")
                if recorded.status == 200:
                    assert int(response.header("Content-Length")) == recorded.length
                if recorded.request.split()[1].endswith(b".efi") and recorded.status == 200:
                    assert response.header("Content-Type") == "application/efi"
    assert len(talks) > 0


async def test_ipxe_is_told_to_keep_its_connection(tmp_path: Path) -> None:
    """H6: iPXE reuses a connection only when the answer says keep-alive."""
    async with serving({"initrd": big_file(tmp_path)}) as server:
        response = await ask(server.port, "GET", "/initrd", Connection="keep-alive")
    assert response.header("Connection") == "keep-alive"


async def test_head_says_what_get_would_and_counts_as_a_probe(tmp_path: Path) -> None:
    """H6."""
    async with serving(
        {"initrd": big_file(tmp_path), "boot.ipxe": TextReply(body=b"#!ipxe", name="b")}
    ) as server:
        for path in ("/initrd", "/boot.ipxe", "/nowhere"):
            head, get = await ask(server.port, "HEAD", path), await ask(server.port, "GET", path)
            dated = [[pair for pair in made.headers if pair[0] != "Date"] for made in (head, get)]
            assert dated[0] == dated[1]
            assert head.status == get.status
        assert [asked.is_probe for asked in server.asks] == [True, False] * 3
        assert server.sent == [("initrd", True), ("boot.ipxe", True)]


@pytest.mark.parametrize("name", ["x.efi", "X.EFI", "disk.iso", "disk.img", "boot.ipxe", "initrd"])
async def test_types_that_edk2_takes(name: str, tmp_path: Path) -> None:
    """H8."""
    wanted = {
        "efi": "application/efi",
        "iso": "application/vnd.efi-iso",
        "img": "application/vnd.efi-img",
        "ipxe": "text/plain; charset=utf-8",
    }
    (tmp_path / name).write_bytes(b"MZ")
    async with serving({"f": FileReply(path=tmp_path / name, name=name)}) as server:
        response = await ask(server.port, "GET", "/f")
    kind = wanted.get(name.rpartition(".")[2].lower(), "application/octet-stream")
    assert response.header("Content-Type") == kind


@pytest.mark.parametrize(
    "path", ["//boot.ipxe", "/./boot.ipxe", "/boot.ipxe/", "/%62oot.ipxe", "http://h/boot.ipxe"]
)
async def test_odd_spellings_are_the_file_itself(path: str) -> None:
    """H7: never a redirect."""
    async with serving({"boot.ipxe": TextReply(body=b"#!ipxe\n", name="boot.ipxe")}) as server:
        response = await ask(server.port, "GET", path)
    assert (response.status, response.body) == (200, b"#!ipxe\n")


# Files


async def test_a_download_is_whole_and_told(tmp_path: Path) -> None:
    """H9: Content-Length, never chunked."""
    file = big_file(tmp_path)
    async with serving({"initrd": file}) as server:
        response = await ask(server.port, "GET", "/initrd")
        assert response.body == file.path.read_bytes()
        assert response.header("ETag") == f'"{"ab" * 32}"'
        assert response.header("Accept-Ranges") == "bytes"
        assert not response.has("Transfer-Encoding")
        assert server.sent == [("initrd", True)]
        assert server.counters["http.bytes"] == file.size
        assert server.counters["http.200"] == 1


async def test_ranges(tmp_path: Path) -> None:
    file = big_file(tmp_path)
    data = file.path.read_bytes()
    async with serving({"initrd": file}) as server:
        middle = await ask(server.port, "GET", "/initrd", Range="bytes=1000-1999")
        assert (middle.status, middle.body) == (206, data[1000:2000])
        assert middle.header("Content-Range") == f"bytes 1000-1999/{file.size}"
        last = await ask(server.port, "GET", "/initrd", Range="bytes=-17")
        assert (last.status, last.body) == (206, data[-17:])
        stale = await ask(server.port, "GET", "/initrd", Range="bytes=5-9", If_Range='"old"')
        assert (stale.status, len(stale.body)) == (200, file.size)
        beyond = await ask(server.port, "GET", "/initrd", Range=f"bytes={file.size}-")
        assert (beyond.status, beyond.header("Content-Range")) == (416, f"bytes */{file.size}")
        known = await ask(server.port, "GET", "/initrd", If_None_Match=middle.header("ETag"))
        assert (known.status, known.has("Content-Length")) == (304, False)
        assert server.sent == [("initrd", False), ("initrd", True), ("initrd", True)]


@NEEDS_CURL
async def test_curl_resumes_a_download(tmp_path: Path) -> None:
    file, part = big_file(tmp_path), tmp_path / "part"
    part.write_bytes(file.path.read_bytes()[:1_000_000])
    async with serving({"initrd": file}) as server:
        url = f"http://{HOST}:{server.port}/initrd"
        await run("curl", "-sS", "--fail", "-C", "-", "-o", str(part), url)
        assert part.read_bytes() == file.path.read_bytes()
        assert server.counters["http.206"] == 1
        assert server.sent == [("initrd", True)]


async def test_an_empty_file_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    async with serving({"empty": FileReply(path=tmp_path / "empty", name="empty")}) as server:
        response = await ask(server.port, "GET", "/empty")
        assert (response.status, response.header("Content-Length")) == (200, "0")
        assert server.sent == [("empty", True)]


async def test_a_file_without_a_known_hash_has_a_tag_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "x.efi"
    path.write_bytes(b"one")
    async with serving({"x.efi": FileReply(path=path, name="x.efi")}) as server:
        first = (await ask(server.port, "GET", "/x.efi")).header("ETag")
        assert (await ask(server.port, "GET", "/x.efi", If_None_Match=first)).status == 304
        path.write_bytes(b"three")
        assert (await ask(server.port, "GET", "/x.efi")).header("ETag") != first


async def test_a_missing_or_swapped_file_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"half")
    replies = {
        "gone": FileReply(path=tmp_path / "gone", name="gone"),
        "short": FileReply(path=tmp_path / "short", name="short", etag="ab", size=8),
        "folder": FileReply(path=tmp_path, name="folder"),
    }
    async with serving(replies) as server:
        for path in replies:
            response = await ask(server.port, "GET", f"/{path}")
            assert response.status == 404
            assert str(tmp_path).encode() not in response.body
        assert server.counters["http.unreadable"] == 3


async def test_a_file_that_shrinks_in_mid_transfer_ends_the_connection(tmp_path: Path) -> None:
    size = 64_000_000
    path = tmp_path / "sparse"
    path.touch()
    with path.open("r+b") as opened:
        opened.truncate(size)
    async with serving({"sparse": FileReply(path=path, name="sparse", size=size)}) as server:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        writer.write(b"GET /sparse HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        with path.open("r+b") as opened:
            opened.truncate(10_000_000)
        got = await asyncio.wait_for(reader.read(-1), DEADLINE_S)
        assert len(got) < size
        writer.close()
        await writer.wait_closed()
        assert server.sent == [("sparse", False)]
        assert server.counters["http.broken_off"] == 1


# Scripts, absence, failure


async def test_a_script_and_what_the_ask_says() -> None:
    """I7: the query is what iPXE claims; the server's address is the one it reached."""
    async with serving({"boot/m.ipxe": TextReply(body=b"#!ipxe\n", name="m.ipxe")}) as server:
        response = await ask(server.port, "GET", "/boot/m.ipxe?uuid=1&serial=A%20B")
        assert response.header("Content-Type") == "text/plain; charset=utf-8"
        assert response.header("Cache-Control") == "no-store"
        assert server.asks == [
            FileAsk(
                door=Door.HTTP,
                path="boot/m.ipxe",
                server=HOST,
                client=HOST,
                query={"uuid": "1", "serial": "A B"},
            )
        ]


async def test_absence_says_why_in_one_line() -> None:
    async with serving({"x": Nothing("this machine\nboots its own disk " + "z" * 999)}) as server:
        response = await ask(server.port, "GET", "/x")
        assert response.status == 404
        assert response.body.startswith(b"this machine boots its own disk zz")
        assert response.body.count(b"\n") == 1
        assert len(response.body) < 400
        assert server.counters["http.404"] == 1


@pytest.mark.parametrize(
    ("failure", "status", "words"),
    [
        (ZeroDivisionError("secret"), 500, b"bug of ours"),
        (RefusedError("not now", "NOT_NOW"), 409, b"not now"),
        (EdgeError("disk full"), 503, b"disk full"),
        (DhcpReply(message_type=2, next_server="", file="", options=()), 500, b"bug of ours"),
    ],
)
async def test_a_failing_fetch_costs_one_answer(failure: Any, status: int, words: bytes) -> None:
    async with serving({"bad": failure, "good": TextReply(body=b"ok", name="good")}) as server:
        get = b" HTTP/1.1\r\nHost: x\r\n\r\n"
        responses = await talk(server.port, [b"GET /bad" + get, b"GET /good" + get])
        assert [response.status for response in responses] == [status, 200]
        assert words in responses[0].body
        assert b"secret" not in responses[0].body
        assert server.counters[f"http.{status}"] == 1


async def test_a_failing_hook_does_not_spoil_the_connection() -> None:
    def fail(_ask: FileAsk, _reply: Reply, _is_complete: bool) -> None:
        raise ZeroDivisionError

    async with serving({"good": TextReply(body=b"ok", name="good")}, sent=fail) as server:
        get = b"GET /good HTTP/1.1\r\nHost: x\r\n\r\n"
        responses = await talk(server.port, [get, get])
        assert [response.body for response in responses] == [b"ok", b"ok"]
        assert server.counters["http.hook_failed"] == 2


# Methods, posts, pages


async def register(body: bytes, client: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
    if body == b"refuse":
        raise RefusedError("the token is spent", "SPENT")
    return 201, json.dumps([body.decode(), client, headers.get("X-Agent", "")]).encode()


POSTS = {"/v1/register": register}


async def test_a_registration() -> None:
    async with serving({}, posts=POSTS) as server:
        response = await ask(server.port, "POST", "/v1/register", b"{}", X_Agent="1")
        assert response.status == 201
        assert response.header("Content-Type") == "application/json"
        assert json.loads(response.body) == ["{}", HOST, "1"]
        refused = await ask(server.port, "POST", "/v1/register", b"refuse")
        assert refused.status == 409
        assert json.loads(refused.body) == {"error": "the token is spent", "code": "SPENT", "mistakes": []}


@NEEDS_CURL
async def test_curl_need_not_wait_for_100_continue() -> None:
    body = "x" * 100_000
    async with serving({}, posts=POSTS) as server:
        url = f"http://{HOST}:{server.port}/v1/register"
        answer = await run("curl", "-sS", "--fail", "-H", "Expect: 100-continue", "-d", body, url)
        assert json.loads(answer)[0] == body


async def test_a_body_in_chunks() -> None:
    async with serving({}, posts=POSTS) as server:
        head = b"POST /v1/register HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        responses = await talk(server.port, [head + b"2\r\n{}\r\n0\r\n\r\n"])
        assert json.loads(responses[0].body)[0] == "{}"


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/boot.ipxe", "GET, HEAD"),
        ("DELETE", "/", "GET, HEAD"),
        ("POST", "/boot.ipxe", "GET, HEAD"),
        ("GET", "/v1/register", "POST"),
        ("OPTIONS", "/healthz", "GET, HEAD"),
    ],
)
async def test_wrong_methods_are_told_the_right_one(method: str, path: str, allow: str) -> None:
    async with serving({}, posts=POSTS) as server:
        response = await ask(server.port, method, path)
        assert (response.status, response.header("Allow")) == (405, allow)
        assert server.asks == []
        assert server.counters["http.refused.method"] == 1


async def test_pages_for_monitoring() -> None:
    text = TextReply(body=b"draining\n", name="readyz")
    async with serving({}, pages={"/readyz": lambda: (503, text)}) as server:
        response = await ask(server.port, "GET", "/readyz")
        assert (response.status, response.body) == (503, b"draining\n")
        assert server.asks == []


# Connections and ports


@pytest.mark.parametrize(
    ("head", "stays"),
    [
        (b"GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", False),
        (b"GET /x HTTP/1.0\r\n\r\n", False),
        (b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
        (b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n", True),
    ],
)
async def test_who_closes_the_connection(head: bytes, stays: bool) -> None:
    """H6."""
    async with serving({"x": TextReply(body=b"ok", name="x")}) as server:
        responses = await talk(server.port, [head, head])
        assert [response.body for response in responses] == [b"ok"] * (1 + stays)
        assert responses[0].header("Connection") == ("keep-alive" if stays else "close")


async def test_the_next_port_is_taken_when_the_first_is_not_free() -> None:
    with socket.create_server((HOST, 0)) as other:
        taken = other.getsockname()[1]
        server = HttpServer(HOST, [taken, 0], lambda _: Nothing(""), Counter())
        assert await server.start() not in (0, taken)
        await server.close()


async def test_no_free_port_names_it_and_how_to_find_who_has_it() -> None:
    with socket.create_server((HOST, 0)) as other:
        taken = other.getsockname()[1]
        server = HttpServer(HOST, [taken], lambda _: Nothing(""), Counter())
        with pytest.raises(EdgeError, match=rf"port {taken} is taken, `ss -ltnp 'sport = :{taken}'`"):
            await server.start()


async def test_an_address_of_somebody_else_is_named() -> None:
    server = HttpServer("192.0.2.1", [0], lambda _: Nothing(""), Counter())
    with pytest.raises(EdgeError, match="no such address here"):
        await server.start()


async def test_closing_cuts_a_transfer_that_does_not_end(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    path.touch()
    with path.open("r+b") as opened:
        opened.truncate(64_000_000)
    limits = Limits(shutdown_s=0.05)
    async with serving({"sparse": FileReply(path=path, name="sparse")}, limits=limits) as server:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        writer.write(b"GET /sparse HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
        await asyncio.wait_for(reader.readexactly(64_000_000), DEADLINE_S)
    writer.close()
