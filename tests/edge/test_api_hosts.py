"""A person's four words to an install, over the operator's API."""

from __future__ import annotations

from pathlib import Path

import pytest
from api_serving import FakeCore, Rig, serving

from bootstrapd.errors import RefusedError

WORDS = ("arm", "disarm", "abort", "retry")


@pytest.mark.parametrize("word", WORDS)
async def test_each_word_reaches_the_daemon_and_the_host_comes_back(tmp_path: Path, word: str) -> None:
    core = FakeCore()
    async with serving(tmp_path, core) as rig:
        status, host = await rig.ask("POST", f"/v1/hosts/node-1/{word}", data=b'{"by": "hosts arm"}')
        assert (status, host["name"]) == (200, "node-1")
        assert (await rig.ask("POST", f"/v1/hosts/node-1/{word}"))[0] == 200
    told = [tuple(asked) for asked in core.asked]
    assert told == (
        [("disarm", "node-1")] * 2
        if word == "disarm"
        else [(word, "node-1", "hosts arm"), (word, "node-1", "api")]
    )


@pytest.mark.parametrize("word", WORDS)
async def test_no_such_host_is_404_and_nothing_is_asked(tmp_path: Path, word: str) -> None:
    core = FakeCore()
    async with serving(tmp_path, core) as rig:
        status, said = await rig.ask("POST", f"/v1/hosts/node%0d%0a9/{word}")
        assert (status, said["code"]) == (404, "NOT_FOUND")
    assert core.asked == []


async def test_a_refusal_comes_with_its_code_and_reason(tmp_path: Path) -> None:
    core = FakeCore()
    core.refusal = RefusedError("node-1 is being installed (disko)", "MID_INSTALL")
    async with serving(tmp_path, core) as rig:
        status, said = await rig.ask("POST", "/v1/hosts/node-1/disarm")
        assert (status, said["code"]) == (409, "MID_INSTALL")
        assert rig.counters["api.refused.mid_install"] == 1


@pytest.mark.parametrize(
    "body", [b"[]", b'{"by": ""}', b'{"by": 1}', b'{"yes": true}', b"{", b'{"by": "%b"}' % (b"x" * 65), b"\xff"]
)
async def test_a_body_that_is_not_one_changes_nothing(rig: Rig, body: bytes) -> None:
    status, said = await rig.ask("POST", "/v1/hosts/node-1/arm", data=body)
    assert (status, said["code"]) == (400, "CONFIG")


@pytest.mark.parametrize("word", WORDS)
async def test_a_get_never_acts(rig: Rig, word: str) -> None:
    assert (await rig.ask("GET", f"/v1/hosts/node-1/{word}"))[0] == 405


async def test_an_arm_may_name_the_key_that_was_shown(tmp_path: Path) -> None:
    core = FakeCore()
    async with serving(tmp_path, core) as rig:
        assert (await rig.ask("POST", "/v1/hosts/node-1/arm", data=b'{"fingerprint": "SHA256:abc"}'))[0] == 200
    assert [tuple(asked) for asked in core.asked] == [("arm", "node-1", "api", "SHA256:abc")]
