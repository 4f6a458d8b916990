"""The operator's API over a real Unix socket: routes, refusals, hostile input."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from api_serving import DEADLINE_S, MAC, BrokenCore, FakeCore, Rig, serving

from bootstrapd.edge.api import MAX_BODY_BYTES
from bootstrapd.model import Door, Stage


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
