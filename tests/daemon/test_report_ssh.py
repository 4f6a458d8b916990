"""`report = "ssh"`: the appliance looks which system runs after the reboot; in memory, with its own clock."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from builders import CLIENT, KEY, MAC, host
from installing import CLOSURE, UNSEEN, Fleet
from msgspec.structs import replace

from bootstrapd.daemon.installs import Installs
from bootstrapd.errors import EdgeError
from bootstrapd.model import Drifted, Failed, Report, Reported, State
from bootstrapd.policy.first_boot import LIVE
from bootstrapd.policy.install import Failure
from bootstrapd.policy.install_verdict import KEY_REFUSED

ELSEWHERE = "10.77.0.99"
FOUND = Report(token="", closure=CLOSURE, boot_id="b1", host_keys=("ssh-ed25519 AAAA",))
STILL_LIVE = Failure(stage="first boot", cause=LIVE)
NO_KEY = Failure(
    stage="first boot", cause=KEY_REFUSED, lines=("root@10.77.0.50: Permission denied (publickey).",)
)


class Looking(Fleet):
    """A fleet whose systems do not report. A pause between looks ends when `look` says so."""

    def __init__(self, *hosts: Any, report: str = "ssh", neighbours: tuple[str, ...] = ()) -> None:
        super().__init__(*hosts, profile={"report": report})
        self.pauses: list[float] = []
        self.asked_for: list[list[str]] = []
        self._over = asyncio.Semaphore(0)

        def known(macs: Any) -> list[str]:
            self.asked_for.append([str(mac) for mac in macs])
            return list(neighbours)

        self.ground = replace(self.ground, neighbours=known, wait=self._wait)
        self.open()

    def open(self) -> None:
        self.installs = Installs(self.appliance, self.installer, self.ground, self._committed)
        self.arming._installs = self.installs
        self.admissions._left = self.installs.interrupt

    async def _wait(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await self._over.acquire()

    async def look(self, times: int = 1) -> None:
        for _ in range(times):
            self._over.release()
            await self.settle()

    async def installed(self) -> None:
        """Up to the reboot, and a tick after it."""
        await self.installs.start()
        await self.arming.arm("cim-1", "hosts arm")
        await self.register()
        assert self.state() is State.REBOOTING
        await self.pass_time(5)

    def addresses(self) -> list[str]:
        return [job.address for job in self.installer.looks]

    def last(self, kind: type) -> Any:
        return next(t.event for t in reversed(self.told) if isinstance(t.event, kind))


async def test_what_it_finds_is_told_as_a_report_and_durable() -> None:
    made = Looking()
    await made.installed()
    assert made.installer.jobs[0].report == "ssh"
    await made.look(2)
    assert made.state() is State.REBOOTING
    made.installer.seen[CLIENT] = FOUND
    await made.look()
    assert made.state() is State.READY
    said = made.last(Reported)
    assert (said.closure, said.boot_id, said.host_keys, said.address) == (
        CLOSURE,
        "b1",
        ("ssh-ed25519 AAAA",),
        CLIENT,
    )
    assert said.run == made.installer.jobs[0].run
    assert made.commits[-1] == len(made.told)
    assert not made.appliance.registry.arms, "success ends the arm"
    await made.look(3)
    assert made.addresses() == [CLIENT] * 3, "found once, it is left alone"


async def test_every_look_is_pinned_to_the_key_that_registered() -> None:
    made = Looking()
    await made.installed()
    await made.look()
    assert made.installer.looks[0].host_key == KEY.rsplit(" ", 1)[0]
    assert made.installer.looks[0].key_file == "/keys/deploy"


async def test_another_system_is_drift() -> None:
    made = Looking()
    await made.installed()
    made.installer.seen[CLIENT] = replace(FOUND, closure="/nix/store/other")
    await made.look()
    assert made.state() is State.DRIFTED
    said = made.last(Drifted)
    assert (said.expected, said.found, said.address) == (CLOSURE, "/nix/store/other", CLIENT)


async def test_the_live_system_before_it_goes_down_is_no_report() -> None:
    made = Looking()
    await made.installed()
    made.installer.seen[CLIENT] = STILL_LIVE
    await made.look()
    assert made.state() is State.REBOOTING
    made.installer.seen[CLIENT] = FOUND
    await made.look()
    assert made.state() is State.READY


async def test_it_asks_with_growing_pauses_until_the_deadline_and_not_after() -> None:
    made = Looking()
    await made.installed()
    await made.look(10)
    assert made.pauses == sorted(made.pauses)
    assert made.pauses[0] < made.pauses[-1]
    await made.pass_time(901)
    assert made.state() is State.FAILED
    looks = len(made.installer.looks)
    await made.look(3)
    await made.pass_time(1000)
    await made.look(3)
    assert len(made.installer.looks) == looks
    assert len(made.installer.jobs) == 1, "what was installed is not erased because it is silent"
    failed = made.last(Failed)
    assert failed.stage == "first boot"
    assert f"within 15 minutes (asked at {CLIENT}): the machine cannot be reached" in failed.cause
    assert "[network] address" in failed.hint


async def test_who_answered_last_says_more_than_who_did_not() -> None:
    made = Looking(neighbours=(ELSEWHERE,))
    await made.installed()
    made.installer.seen[ELSEWHERE] = NO_KEY
    await made.look()
    await made.pass_time(901)
    failed = made.last(Failed)
    assert "does not let the deployment key in" in failed.cause
    assert "/keys/deploy.pub in root's authorized_keys" in failed.hint
    assert failed.lines == NO_KEY.lines


@pytest.mark.parametrize("seen_at", ["10.1.0.11", CLIENT, ELSEWHERE])
async def test_it_is_found_where_its_file_says_where_it_was_and_where_it_was_seen(seen_at: str) -> None:
    made = Looking(host(address="10.1.0.11/24"), neighbours=(CLIENT, ELSEWHERE))
    await made.installed()
    made.installer.seen[seen_at] = FOUND
    await made.look()
    assert made.state() is State.READY
    assert made.machine().address == seen_at
    assert made.addresses() == [*dict.fromkeys(["10.1.0.11", CLIENT, ELSEWHERE])][: len(made.addresses())]
    assert str(MAC) in made.asked_for[0]


async def test_an_appliance_that_was_stopped_asks_again_within_the_same_deadline() -> None:
    made = Looking()
    await made.installed()
    await made.pass_time(600)
    await made.installs.close()
    made.open()
    await made.installs.start()
    await made.settle()
    assert made.installer.reboots == ["cim-1", "cim-1"], "told again: the new system leaves that be"
    await made.pass_time(5)
    await made.look()
    assert made.state() is State.REBOOTING
    await made.pass_time(300)
    assert made.state() is State.FAILED


async def test_it_takes_no_turn_of_another_install() -> None:
    other = MAC.__class__("52:54:00:77:01:99")
    made = Looking(host(), host("cim-2", other))
    made.ground = replace(made.ground, at_once=1)
    made.open()
    await made.installed()
    await made.arming.arm("cim-2", "hosts arm")
    await made.register(other, address="10.77.0.60")
    assert made.state("cim-2") is State.REBOOTING


async def test_without_a_place_to_build_from_it_is_tried_again() -> None:
    made = Looking()

    def full(*_: object) -> str:
        raise EdgeError("disks.json cannot be written: No space left on device")

    place = made.ground.place
    await made.installed()
    await made.installs.close()
    made.ground = replace(made.ground, place=full)
    made.open()
    made.installs._is_open = True
    await made.pass_time(5)
    assert made.state() is State.REBOOTING
    made.installs._runs._ground = replace(made.ground, place=place)
    made.installer.seen[CLIENT] = FOUND
    await made.pass_time(5)
    await made.look()
    assert made.state() is State.READY


async def test_a_system_that_reports_by_itself_is_not_asked() -> None:
    made = Looking(report="agent")
    await made.installed()
    await made.look(3)
    await made.pass_time(100)
    assert made.installer.looks == []
    assert UNSEEN.is_lost
