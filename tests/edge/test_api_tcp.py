"""The operator's API over TCP: only with the token, never for a web page; and the file the token is in."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from api_serving import DEADLINE_S, FakeCore

from bootstrapd.edge import api_socket
from bootstrapd.edge.api import ApiServer
from bootstrapd.errors import ConfigError, EdgeError

HOST = "127.0.0.1"
TOKEN = "correct-horse-battery-staple"


class Outside:
    """A server that listens on TCP too, and one who asks it from there."""

    def __init__(self, folder: Path) -> None:
        self.token_file = folder / "keys/api.token"
        self.core = FakeCore()
        self.counters: Counter[str] = Counter()
        self.server = ApiServer(
            folder / "api.sock", self.core, self.counters, tcp=(HOST, 0), token_file=self.token_file
        )

    async def ask(self, method: str, route: str, **headers: str) -> tuple[int, Any, Any]:
        url = f"http://{HOST}:{self.server.port}{route}"
        timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
        async with (
            aiohttp.ClientSession(timeout=timeout) as client,
            client.request(method, url, headers=headers) as response,
        ):
            return response.status, await response.json(), response.headers


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Outside]:
    made = Outside(tmp_path)
    await made.server.start()
    yield made
    await made.server.close()


async def test_a_token_is_made_for_nobody_else_to_read_and_lets_in(outside: Outside) -> None:
    assert stat.S_IMODE(outside.token_file.stat().st_mode) == 0o600
    token = outside.token_file.read_text().strip()
    assert len(token) >= 32
    status, said, _ = await outside.ask("GET", "/v1/status", Authorization=f"Bearer {token}")
    assert (status, said["version"]) == (200, "0")
    assert (await outside.ask("GET", "/v1/status", Authorization=f"bearer  {token} "))[0] == 200


@pytest.mark.parametrize(
    "given", [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic {token}", "{token}", "Bearer {token}x"]
)
@pytest.mark.parametrize("route", ["/v1/status", "/v1/hosts/node-1/arm", "/nowhere", "/v1/events"])
async def test_without_the_token_nobody_gets_anything(outside: Outside, given: str | None, route: str) -> None:
    token = outside.token_file.read_text().strip()
    headers = {} if given is None else {"Authorization": given.format(token=token)}
    method = "POST" if route.endswith("arm") else "GET"
    status, said, sent = await outside.ask(method, route, **headers)
    assert (status, said["code"], sent["WWW-Authenticate"]) == (401, "UNAUTHORIZED", "Bearer")
    assert outside.counters["api.refused.unauthorized"] == 1
    assert outside.core.asked == []


async def test_a_web_page_is_refused_even_with_the_token(outside: Outside) -> None:
    token = outside.token_file.read_text().strip()
    status, said, _ = await outside.ask(
        "POST", "/v1/hosts/node-1/arm", Authorization=f"Bearer {token}", Origin="http://evil.example"
    )
    assert (status, said["code"]) == (403, "ORIGIN")
    assert outside.core.asked == []


async def test_one_who_leaves_before_the_answer_is_not_let_in(outside: Outside) -> None:
    """A connection that is gone has no peer's address any more, like a Unix socket's."""
    for _ in range(20):
        raw = socket.create_connection((HOST, outside.server.port))
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close = RST
        raw.sendall(b"POST /v1/hosts/node-1/arm HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        raw.close()
    token = outside.token_file.read_text().strip()
    async with asyncio.timeout(DEADLINE_S):
        assert (await outside.ask("GET", "/v1/status", Authorization=f"Bearer {token}"))[0] == 200
    assert outside.core.asked == []


async def test_the_token_stays_over_a_restart(outside: Outside, tmp_path: Path) -> None:
    token = outside.token_file.read_text()
    await outside.server.close()
    again = Outside(tmp_path)
    await again.server.start()
    assert (await again.ask("GET", "/v1/status", Authorization=f"Bearer {token.strip()}"))[0] == 200
    await again.server.close()


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (TOKEN, 0o640, "may be read by others: chmod 600"),
        (TOKEN, 0o604, "may be read by others"),
        ("short", 0o600, "at least 16"),
        ("", 0o600, "at least 16"),
        ("two words in this one", 0o600, "one word"),
        ("ünïcödë-ünïcödë-ünïcödë", 0o600, "ASCII"),
    ],
)
def test_a_token_file_that_is_no_secret_is_refused(tmp_path: Path, content: str, mode: int, words: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    file.chmod(mode)
    with pytest.raises(ConfigError, match=words):
        api_socket.token(file)


def test_a_folder_is_no_token_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no file"):
        api_socket.token(tmp_path)


async def test_a_port_that_is_taken_is_said_and_nothing_stays_behind(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        made = Outside(tmp_path)
        made.server._tcp = (HOST, taken.getsockname()[1])
        with pytest.raises(EdgeError, match="in use"):
            await made.server.start()
    assert not (tmp_path / "api.sock").exists()
    await made.server.start()
    await made.server.close()
