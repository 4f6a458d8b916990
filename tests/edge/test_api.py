"""The operator's API over a real Unix socket: routes, refusals, hostile input, the event stream."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bootstrapd.edge import feed as feed_module
from bootstrapd.edge.api import MAX_BODY_BYTES, MAX_SUBSCRIBERS, ApiServer
from bootstrapd.errors import EdgeError, RefusedError
from bootstrapd.model import (
    Arch,
    BootAsked,
    Door,
    LocalBoot,
    Mac,
    Stage,
    State,
    TokenIssued,
    Transition,
)
from bootstrapd.model.view import Explained, HostView, ImageView, MachineView, StatusView

MAC = Mac.parse("52:54:00:aa:bb:01")
DEADLINE_S = 5.0


class FakeCore:
    """One host, one machine; remembers what it was asked to do."""

    def __init__(self) -> None:
        self.machine_view = MachineView(id=MAC.hex, state=State.LIVE, macs=(MAC,), host="node-1")
        self.asked: list[tuple[object, ...]] = []

    def status(self) -> StatusView:
        return StatusView(version="0", pid=1, started=1.0)

    def hosts(self) -> list[HostView]:
        return [HostView(name="node-1", profile="minimal", macs=(MAC,))]

    def host(self, name: str) -> HostView | None:
        return self.hosts()[0] if name == "node-1" else None

    def machines(self) -> list[MachineView]:
        return [self.machine_view]

    def machine(self, key: str) -> MachineView | None:
        return self.machine_view if key.lower().replace("-", ":") in {MAC, MAC.hex} else None

    def images(self) -> list[ImageView]:
        return [ImageView(name="minimal")]

    def explain(self, mac: Mac, arch: Arch | None, stage: Stage | None, door: Door | None) -> list[Explained]:
        self.asked.append(("explain", mac, arch and arch.code, stage, door))
        return [Explained(door=Door.DHCP, stage=Stage.FIRMWARE, arch="BIOS", rule="P1", reason="because")]

    async def adopt(self, machine: str, host: str, *, ready: bool) -> MachineView:
        self.asked.append(("adopt", machine, host, ready))
        if host == "nobody":
            raise RefusedError("there is no host 'nobody'; add it first", "NO_SUCH_HOST")
        return self.machine_view

    async def forget(self, machine: str, *, force: bool = False) -> bool:
        self.asked.append(("forget", machine, force) if force else ("forget", machine))
        return True

    async def reload(self) -> list[str]:
        return ["hosts/a/host.toml: profile: unknown", "hosts/b/host.toml: match.mac: wrong"]


class BrokenCore(FakeCore):
    """Everything it is asked fails, each in its own way."""

    def status(self) -> StatusView:
        raise EdgeError("the disk is full")

    def hosts(self) -> list[HostView]:
        raise KeyError("secret detail")


class Rig:
    """A server with its client and its counters."""

    def __init__(
        self, server: ApiServer, path: Path, client: aiohttp.ClientSession, counters: Counter[str]
    ) -> None:
        self.server = server
        self.path = path
        self.client = client
        self.counters = counters

    async def ask(self, method: str, route: str, **given: Any) -> tuple[int, Any]:
        async with self.client.request(method, f"http://localhost{route}", **given) as response:
            return response.status, json.loads(await response.read())


@asynccontextmanager
async def serving(folder: Path, core: FakeCore) -> AsyncIterator[Rig]:
    path, counters = folder / "run" / "api.sock", Counter[str]()
    server = ApiServer(path, core, counters)
    await server.start()
    try:
        timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path)), timeout=timeout) as client:
            yield Rig(server, path, client, counters)
    finally:
        await server.close()


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with serving(tmp_path, FakeCore()) as rig:
        yield rig


@pytest.mark.parametrize(
    ("route", "key", "value"),
    [
        ("/v1/status", "version", "0"),
        ("/v1/hosts", "name", "node-1"),
        ("/v1/hosts/node-1", "name", "node-1"),
        ("/v1/machines", "id", "525400aabb01"),
        ("/v1/machines/525400aabb01", "state", "live"),
        ("/v1/machines/52:54:00:AA:BB:01", "id", "525400aabb01"),
        ("/v1/machines/52-54-00-aa-bb-01", "id", "525400aabb01"),
        ("/v1/images", "name", "minimal"),
        ("/v1/explain?mac=525400aabb01", "rule", "P1"),
    ],
)
async def test_each_route_answers_its_view(rig: Rig, route: str, key: str, value: str) -> None:
    status, body = await rig.ask("GET", route)
    assert status == 200
    assert (body[0] if isinstance(body, list) else body)[key] == value


@pytest.mark.parametrize(
    ("method", "route", "status", "words"),
    [
        ("GET", "/v1/hosts/nobody", 404, "no host 'nobody'"),
        ("GET", "/v1/machines/nobody", 404, "no machine 'nobody'"),
        ("DELETE", "/v1/machines/ffffffffffff", 404, "no machine"),
        ("GET", "/v1/nothing", 404, "Not Found"),
        ("DELETE", "/v1/hosts", 405, "Method Not Allowed"),
        ("GET", "/v1/explain", 400, "is not a MAC address"),
        ("GET", "/v1/explain?mac=zz", 400, "is not a MAC address"),
        ("GET", "/v1/explain?mac=525400aabb01&arch=vax", 400, "7 uefi-x64"),
        ("GET", "/v1/explain?mac=525400aabb01&stage=x", 400, "expected one of firmware, ipxe"),
        ("GET", "/v1/explain?mac=525400aabb01&door=x", 400, "expected one of dhcp, pxe, tftp, http"),
        ("GET", "/v1/explain?mac=525400aabb01&macs=1", 400, "not macs"),
    ],
)
async def test_what_is_not_there_or_not_right_is_a_sentence(
    rig: Rig, method: str, route: str, status: int, words: str
) -> None:
    got, body = await rig.ask(method, route)
    assert got == status
    assert words in body["error"]
    assert body["code"]


async def test_a_name_cannot_break_the_status_line(rig: Rig) -> None:
    status, body = await rig.ask("GET", "/v1/hosts/a%0d%0aSet-Cookie:%20b")
    assert (status, body["code"]) == (404, "NOT_FOUND")


async def test_explain_hands_over_typed_values(tmp_path: Path) -> None:
    core = FakeCore()
    async with serving(tmp_path, core) as rig:
        await rig.ask("GET", "/v1/explain?mac=52-54-00-aa-bb-01&arch=uefi-x64&stage=ipxe&door=http")
    assert core.asked == [("explain", MAC, 7, Stage.IPXE, Door.HTTP)]


async def test_adopt_may_name_a_mac_never_seen_and_forget_goes_by_id(tmp_path: Path) -> None:
    core = FakeCore()
    async with serving(tmp_path, core) as rig:
        asked = {"host": "node-1", "ready": True}
        assert (await rig.ask("POST", f"/v1/machines/{MAC}/adopt", json=asked))[0] == 200
        assert (await rig.ask("DELETE", f"/v1/machines/{MAC}"))[0] == 200
    assert core.asked == [("adopt", MAC, "node-1", True), ("forget", MAC.hex)]


async def test_a_refusal_is_409_with_its_code(rig: Rig) -> None:
    status, body = await rig.ask("POST", f"/v1/machines/{MAC}/adopt", json={"host": "nobody"})
    assert (status, body["code"]) == (409, "NO_SUCH_HOST")
    assert rig.counters["api.refused.no_such_host"] == 1


async def test_reload_says_every_mistake(rig: Rig) -> None:
    status, body = await rig.ask("POST", "/v1/reload")
    assert status == 400
    assert len(body["mistakes"]) == 2


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"\xff\xfe", 400),
        (b"[" * 60_000, 400),
        (b'{"host":' + b"[" * 50_000, 400),
        (b'{"host": 7}', 400),
        (b'{"host": "node-1", "ready": "yes"}', 400),
        (b'{"host": "node-1", "erase": true}', 400),
        (b'{"ready": true}', 400),
        (b'"' + b"x" * MAX_BODY_BYTES + b'"', 413),
    ],
)
async def test_a_hostile_body_is_refused_and_counted(rig: Rig, body: bytes, status: int) -> None:
    got, answer = await rig.ask("POST", f"/v1/machines/{MAC}/adopt", data=body)
    assert got == status
    assert answer["error"]
    assert sum(rig.counters.values()) == 1
    assert (await rig.ask("GET", "/v1/status"))[0] == 200


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00" * 100,
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\n" + b"X: " + b"a" * 20_000 + b"\r\n\r\n",
        b"POST /v1/reload HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/reload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /v1/hosts/%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_broken_http_ends_that_connection_only(rig: Rig, request_bytes: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(str(rig.path))
    writer.write(request_bytes)
    writer.write_eof()
    async with asyncio.timeout(DEADLINE_S):
        answer = await reader.read(200)
    writer.close()
    assert b" 200 " not in answer.split(b"\r\n")[0]
    assert (await rig.ask("GET", "/v1/status"))[0] == 200


async def test_environment_is_503_and_a_bug_500_without_its_detail(tmp_path: Path) -> None:
    async with serving(tmp_path, BrokenCore()) as rig:
        status, body = await rig.ask("GET", "/v1/status")
        assert (status, body) == (503, {"error": "the disk is full", "code": "ENVIRONMENT", "mistakes": []})
        status, body = await rig.ask("GET", "/v1/hosts")
        assert (status, body["code"]) == (500, "BUG")
        assert "secret" not in body["error"]
        assert rig.counters["api.refused.bug"] == 1


async def test_the_socket_is_for_its_group_only_and_goes_at_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path, FakeCore()) as rig:
        assert stat.S_IMODE(rig.path.stat().st_mode) == 0o660
        assert stat.S_IMODE(rig.path.parent.stat().st_mode) == 0o750
    assert not rig.path.exists()


async def test_a_live_daemon_keeps_its_socket(rig: Rig) -> None:
    with pytest.raises(EdgeError, match="already running"):
        await ApiServer(rig.path, FakeCore(), Counter()).start()
    assert (await rig.ask("GET", "/v1/status"))[0] == 200


async def test_a_dead_daemons_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run" / "api.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with serving(tmp_path, FakeCore()) as rig:
        assert (await rig.ask("GET", "/v1/status"))[0] == 200


async def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    path.write_text("mine")
    with pytest.raises(EdgeError, match="is no socket"):
        await ApiServer(path, FakeCore(), Counter()).start()
    assert path.read_text() == "mine"


@pytest.mark.parametrize("folder", ["x" * 120, "file/below"])
async def test_a_socket_that_cannot_be_made_is_said(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgeError, match="cannot open the operator's socket"):
        await ApiServer(tmp_path / folder / "api.sock", FakeCore(), Counter()).start()


def transition(number: int = 1) -> Transition:
    event = LocalBoot(id=f"0190-{number}", machine=MAC.hex, at=float(number))
    return Transition(event, State.ENROLLED, State.READY)


async def read_until(reader: aiohttp.StreamReader, end: bytes) -> bytes:
    async with asyncio.timeout(DEADLINE_S):
        return await reader.readuntil(end)


async def test_events_arrive_in_order_with_id_and_kind(rig: Rig) -> None:
    async with rig.client.get("http://localhost/v1/events") as response:
        assert response.content_type == "text/event-stream"
        await read_until(response.content, b": listening\n\n")
        rig.server.publish(transition(1))
        rig.server.publish(transition(2))
        first = (await read_until(response.content, b"\n\n")).decode().splitlines()
        assert first[:2] == ["id: 0190-1", "event: LocalBoot"]
        data = json.loads(first[2].removeprefix("data: "))
        assert (data["before"], data["after"], data["event"]["machine"]) == ("enrolled", "ready", MAC.hex)
        assert b"0190-2" in await read_until(response.content, b"\n\n")


async def test_tokens_are_never_shown(rig: Rig) -> None:
    token = TokenIssued(
        id="t", machine=MAC.hex, at=1.0, secret="hush", overlay="o", address="10.0.0.2", expires=2.0
    )
    async with rig.client.get("http://localhost/v1/events") as response:
        await read_until(response.content, b": listening\n\n")
        rig.server.publish(Transition(token, State.NETBOOTING, State.NETBOOTING))
        rig.server.publish(transition())
        assert b"hush" not in await read_until(response.content, b"\n\n")


async def test_a_listener_that_falls_behind_is_told_and_let_go(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "MAX_WAITING", 10)
    async with rig.client.get("http://localhost/v1/events") as response:
        await read_until(response.content, b": listening\n\n")
        for number in range(30):  # no await in between: the stream cannot drain
            rig.server.publish(transition(number))
        async with asyncio.timeout(DEADLINE_S):
            rest = await response.content.read()
    assert rest == b"event: lost\ndata: {}\n\n"
    assert rig.counters["api.events.lost"] == 1


async def test_listeners_are_bounded(rig: Rig) -> None:
    opened = [await asyncio.open_unix_connection(str(rig.path)) for _ in range(MAX_SUBSCRIBERS)]
    for reader, writer in opened:
        writer.write(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(DEADLINE_S):
            await reader.readuntil(b"listening")
    status, body = await rig.ask("GET", "/v1/events")
    assert (status, body["code"]) == (503, "ENVIRONMENT")
    for _, writer in opened:
        writer.close()


async def test_closing_the_server_ends_the_streams(tmp_path: Path) -> None:
    async with serving(tmp_path, FakeCore()) as rig:
        response = await rig.client.get("http://localhost/v1/events")
        await read_until(response.content, b": listening\n\n")
        rig.server.publish(transition())
        async with asyncio.timeout(DEADLINE_S):
            await rig.server.close()
            assert (await response.content.read()).startswith(b"id: 0190-1")


async def test_quiet_streams_beat_so_that_dead_listeners_are_found() -> None:
    chunks = feed_module.Subscriber().chunks(heartbeat_s=0.001)
    async with asyncio.timeout(DEADLINE_S):
        assert [await anext(chunks), await anext(chunks)] == [b": listening\n\n", b":\n\n"]


def test_publishing_to_nobody_costs_nothing() -> None:
    asked = BootAsked(id="1", machine=MAC.hex, at=1.0, mac=MAC, door=Door.DHCP, stage=Stage.FIRMWARE)
    feed_module.Feed(Counter(), max_subscribers=1).publish(Transition(asked, None, State.SEEN))
