"""Files in the arms folder that are no arms, or that stay: nobody waits, and nothing is consented twice."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from builders import host, setup
from installing import LAYOUT, Fleet
from structlog.testing import capture_logs

from bootstrapd.config import parse_config
from bootstrapd.daemon import fleet as daemon_fleet
from bootstrapd.edge import arms
from bootstrapd.model import Armed, WaitingArm
from bootstrapd.policy.registry import ENDED_ARMS

PATIENCE_S = 5.0
GOOD = b'{"arm":"a1","at":1,"by":"hosts add"}'


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[" * 100_000,
        b'{"arm":"' + b"x" * 300 + b'","at":1,"by":"hosts add"}',
        GOOD.replace(b"}", b',"by":"' + b"x" * 10**7 + b'"}'),
        GOOD.replace(b"a1", b"a\\n1"),
        GOOD.replace(b"a1", b""),
        GOOD.replace(b"add", b"\\u001b[31m"),
        GOOD.replace(b"add", b"\\u202e"),
        GOOD.replace(b":1,", b':"1",'),
        GOOD.replace(b"{", b'{"host":"x",'),
    ],
)
def test_what_is_no_arm_arms_nobody(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cim-1.json").write_bytes(content)
    said: list[Path] = []
    assert arms.waiting(tmp_path, lambda path, _: said.append(path)) == []
    assert said == [tmp_path / "cim-1.json"]


async def test_a_fifo_in_the_folder_holds_nobody_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    (tmp_path / "cim-1.json").write_bytes(GOOD)
    reading = asyncio.to_thread(arms.waiting, tmp_path, lambda *_: None)
    try:
        async with asyncio.timeout(PATIENCE_S):
            found = await reading
    finally:
        os.close(os.open(tmp_path / "a.json", os.O_RDWR))  # lets a reader go that waits for a writer
    assert [arm.host for arm in found] == ["cim-1"]


def parts_of(made: Fleet, state: Path) -> daemon_fleet.Fleet:
    return daemon_fleet.Fleet(
        parse_config("").at_state(state), made.appliance, made._committed, lambda _: "http://10.77.0.2"
    )


async def test_a_file_that_cannot_be_removed_consents_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is said once; a restart, from the journal or a snapshot, knows the arm that has ended."""
    made = Fleet(host())
    made.appliance.reconfigure(setup(host(), profile=LAYOUT))
    parts = parts_of(made, tmp_path)
    arms.leave(tmp_path / "arms", "cim-1", WaitingArm(arm="a1", at=1.0, by="hosts add"))

    def stays(self: Path, **_: Any) -> None:
        raise PermissionError(1, "Operation not permitted", str(self))

    monkeypatch.setattr(Path, "unlink", stays)
    with capture_logs() as logs:
        for _ in range(3):
            await parts.tick(made.now)
            assert made.appliance.registry.arms["cim-1"].id == "a1"
        parts.arming.end("cim-1", "its system runs")
        await parts.tick(made.now)
    assert [entry["file"] for entry in logs if "file" in entry] == [str(tmp_path / "arms" / "cim-1.json")]
    assert not made.appliance.registry.arms
    replayed = Fleet(host())
    for transition in made.told:
        replayed.appliance.registry.apply(transition.event)
    restored = Fleet(host())
    restored.appliance.registry.restore(made.appliance.registry.snapshot())
    for again in (replayed, restored):
        await parts_of(again, tmp_path).tick(made.now)
        assert not again.appliance.registry.arms


async def test_a_file_that_is_no_arm_is_said_once_until_it_changes(tmp_path: Path) -> None:
    made = Fleet(host())
    parts = parts_of(made, tmp_path)
    (tmp_path / "arms").mkdir()
    file = tmp_path / "arms" / "cim-1.json"
    with capture_logs() as logs:
        for content in (b"[]", b"[]", b"{}", b"{}"):
            file.write_bytes(content)
            await parts.tick(made.now)
        file.unlink()
        await parts.tick(made.now)
        file.write_bytes(b"{}")
        await parts.tick(made.now)
    assert [entry["file"] for entry in logs] == [str(file)] * 3


def test_the_ids_of_ended_arms_are_bounded() -> None:
    made = Fleet(host())
    for number in range(3 * ENDED_ARMS):
        made.appliance.tell(Armed(id="", at=0.0, machine="", host="cim-1", arm=f"a{number}", by="hosts arm"))
    ended = made.appliance.registry.ended_arms
    assert (len(ended), ended[-1]) == (ENDED_ARMS, f"a{3 * ENDED_ARMS - 2}")
