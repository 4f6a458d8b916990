"""From live to ready on the loop: no erase without a journalled consent, and nothing waits for ever."""

from __future__ import annotations

from typing import Any

import pytest
from builders import KEY, MAC, OTHER_MAC, ask, host, setup
from installing import CLOSURE, DISK, LAYOUT, Fleet
from msgspec.structs import replace

from bootstrapd.errors import EdgeError, RefusedError
from bootstrapd.model import (
    Chain,
    Claimed,
    Disarmed,
    EraseStarted,
    Failed,
    Hardware,
    Installed,
    LocalDisk,
    PhaseStarted,
    Registered,
    Rejected,
    Report,
    Script,
    Stage,
    State,
    encode,
)
from bootstrapd.policy.install import Failure

LOST = Failure(stage="install", cause="the machine does not answer", is_lost=True)
BROKEN = Failure(stage="build", cause="the build failed", hint="mend it")


async def fleet(*hosts: Any, arm: bool = True, **fields: Any) -> Fleet:
    made = Fleet(*hosts, **fields)
    await made.installs.start()
    if arm:
        for name in made.appliance.setup.book.hosts:
            await made.arming.arm(name, "hosts arm")
    return made


def erases(made: Fleet) -> list[EraseStarted]:
    return [t.event for t in made.told if isinstance(t.event, EraseStarted)]


def last(made: Fleet, kind: type) -> Any:
    return next(t.event for t in reversed(made.told) if isinstance(t.event, kind))


async def report(
    made: Fleet, closure: str = CLOSURE, boot_id: str = "b1", token: str = ""
) -> tuple[int, bytes]:
    said = Report(token=token or made.installer.jobs[-1].report_token, closure=closure, boot_id=boot_id)
    answer = await made.admissions.report(encode(said), "10.77.0.50")
    await made.settle()
    return answer


async def test_from_registered_to_ready() -> None:
    made = await fleet()
    await made.register()
    assert made.state() is State.REBOOTING
    assert made.installer.reboots == ["cim-1"]
    assert made.events().count("Built") == 1
    names = [n for n in made.events() if n not in {"Progressed", "PhaseStarted"}]
    assert names[-6:] == ["Registered", "Accepted", "Claimed", "Built", "EraseStarted", "Installed"]
    assert (await report(made))[0] == 200
    assert made.state() is State.READY
    assert not made.appliance.registry.arms, "success ends the arm"


async def test_every_phase_is_durable_before_its_process_starts() -> None:
    made = await fleet()
    await made.register()
    for kind in (PhaseStarted, Installed):
        for index, transition in enumerate(made.told):
            if isinstance(transition.event, kind):
                assert any(commit > index for commit in made.commits), kind


async def test_a_journal_that_cannot_write_ends_the_run_before_anything_is_erased() -> None:
    made = await fleet()

    async def full() -> None:
        raise EdgeError("journal: the disk is full")

    made.installs._runs._durable = full
    await made.register()
    assert made.state() is State.FAILED
    assert "disk is full" in made.machine().why
    assert made.installer.began == []


async def test_without_an_arm_nothing_is_installed_and_why_says_how() -> None:
    made = await fleet(arm=False)
    await made.register()
    await made.pass_time(3600)
    assert made.state() is State.LIVE
    assert "bootstrapd hosts arm cim-1" in made.installs.why(made.machine())
    assert not made.installer.jobs


async def test_enrolling_is_no_approval() -> None:
    made = await fleet(arm=False, profile={"install": "approve"})
    with pytest.raises(RefusedError, match="wants each install approved"):
        await made.arming.arm("cim-1", "hosts add")
    await made.register()
    assert made.state() is State.LIVE
    await made.arming.arm("cim-1", "hosts arm")
    await made.settle()
    assert made.state() is State.REBOOTING


async def test_hardware_is_judged_with_every_reason_at_once_and_again_when_the_files_change() -> None:
    made = await fleet()
    await made.register(disks=(), cpu_threads=1)
    assert made.state() is State.REJECTED
    assert "disk" in last(made, Rejected).reasons[0]
    await made.register(disks=(DISK,))
    assert made.state() is State.REBOOTING


async def test_a_machine_without_a_host_key_is_rejected() -> None:
    made = await fleet()
    made.appliance.answer(ask())
    machine = made.appliance.registry.by_mac[MAC]
    made.appliance.tell(
        Registered(id="", at=0.0, machine=machine.id, address="10.0.0.9", hardware=Hardware(disks=(DISK,)))
    )
    await made.settle()
    assert made.state() is State.REJECTED
    assert "SSH host key" in made.machine().why


async def test_another_machine_behind_the_same_mac_is_rejected_until_it_is_adopted() -> None:
    """Trust on first use (DESIGN.md, Safety 4)."""
    made = await fleet(arm=False)
    await made.register(uuid="11111111-2222-3333-4444-555555555555")
    assert made.state() is State.LIVE
    await made.arming.arm("cim-1", "hosts arm")
    made.installer.hangs.add("build")
    await made.register(uuid="99999999-2222-3333-4444-555555555555")
    assert made.state() is State.REJECTED
    assert "UUID" in made.machine().why
    assert not erases(made)


async def test_failures_are_retried_with_growing_pauses_until_the_arm_is_used_up() -> None:
    made = await fleet()
    made.installer.fails["build"] = BROKEN
    await made.register()
    tries = [len(made.installer.jobs)]
    for pause in (59, 2, 300, 900):
        await made.pass_time(pause)
        tries.append(len(made.installer.jobs))
    assert tries == [1, 1, 2, 3, 4]
    await made.pass_time(10**6)
    assert len(made.installer.jobs) == 4
    assert made.state() is State.FAILED
    assert last(made, Disarmed).reason.startswith("its budget is used up")
    assert not made.appliance.registry.arms
    assert not erases(made)


async def test_no_more_than_three_erases_under_one_arm() -> None:
    made = await fleet()
    made.installer.fails["disko"] = Failure(stage="disko", cause="no such disk")
    await made.register()
    for _ in range(6):
        await made.pass_time(1000)
    assert len(erases(made)) == 3
    assert made.state() is State.FAILED
    assert not made.appliance.registry.arms


async def test_an_erase_never_reaches_another_disk_under_the_same_arm() -> None:
    made = await fleet()
    made.installer.fails["disko"] = Failure(stage="disko", cause="no such disk")
    await made.register()
    made.machine().pin = None
    other = replace(DISK, name="vdb", serial="S2", by_id="/dev/disk/by-id/virtio-S2")
    await made.register(disks=(other,))
    await made.pass_time(1000)
    assert {disk.serial for event in erases(made) for disk in event.disks} == {"S1"}
    assert not made.appliance.registry.arms, "the arm was for another disk: it ends, and a person is asked"


async def test_a_lost_machine_is_tried_again_once_it_registers() -> None:
    made = await fleet()
    made.installer.fails["install"] = LOST
    await made.register()
    assert made.state() is State.FAILED
    await made.pass_time(3600)
    assert len(made.installer.jobs) == 1, "it cannot be reached: nothing to try on"
    del made.installer.fails["install"]
    await made.register()
    await made.pass_time(61)
    assert made.state() is State.REBOOTING
    assert len(erases(made)) == 2


async def test_a_machine_that_boots_anew_in_mid_install_is_interrupted_first() -> None:
    made = await fleet()
    made.installer.hangs.add("disko")
    await made.register()
    assert made.state() is State.INSTALLING
    made.installer.hangs.clear()
    await made.register()
    assert made.installer.stopped == [("cim-1", "disko")]
    assert "booted anew" in last(made, Failed).cause
    await made.pass_time(1)
    assert made.state() is State.REBOOTING


async def test_booting_is_no_act_while_it_installs() -> None:
    made = await fleet()
    made.installer.hangs.add("install")
    await made.register()
    made.now += 300
    made.appliance.answer(ask())
    await made.settle()
    assert made.state() is State.INSTALLING
    assert made.installer.stopped == []


async def test_abort_kills_disarms_and_says_what_the_disk_holds() -> None:
    made = await fleet()
    made.installer.hangs.add("disko")
    await made.register()
    with pytest.raises(RefusedError, match="hosts abort"):
        await made.arming.disarm("cim-1")
    with pytest.raises(RefusedError, match="hosts abort"):
        await made.arming.arm("cim-1", "hosts arm")
    await made.arming.abort("cim-1", "me")
    assert made.installer.stopped == [("cim-1", "disko")]
    assert made.state() is State.FAILED
    assert "half partitioned" in made.machine().why
    assert not made.appliance.registry.arms
    await made.pass_time(10**6)
    assert len(made.installer.jobs) == 1
    with pytest.raises(RefusedError, match="hosts arm"):
        await made.arming.retry("cim-1", "me")


async def test_retry_does_not_wait() -> None:
    made = await fleet()
    made.installer.fails["build"] = BROKEN
    await made.register()
    del made.installer.fails["build"]
    await made.arming.retry("cim-1", "me")
    await made.settle()
    assert made.state() is State.REBOOTING


async def test_a_reboot_that_never_reports_fails_at_first_boot_and_boots_its_disk() -> None:
    made = await fleet()
    await made.register()
    await made.pass_time(901)
    assert made.state() is State.FAILED
    assert last(made, Failed).stage == "first boot"
    _, decision = made.appliance.decide(ask(stage=Stage.IPXE), made.now)
    assert isinstance(decision, LocalDisk), "what was installed is not erased because it is silent"
    await made.pass_time(10**5)
    assert len(made.installer.jobs) == 1
    assert (await report(made))[0] == 200
    assert made.state() is State.READY, "late is not never"


async def test_retry_after_a_silent_first_boot_netboots_again() -> None:
    made = await fleet()
    await made.register()
    await made.pass_time(901)
    await made.arming.retry("cim-1", "me")
    _, decision = made.appliance.decide(ask(stage=Stage.IPXE), made.now)
    assert isinstance(decision, Script)
    await made.register()
    assert len(erases(made)) == 2


async def test_ready_machines_boot_their_disk_for_ever() -> None:
    made = await fleet()
    await made.register()
    await report(made)
    for _ in range(5):
        made.now += 300
        for stage in (Stage.FIRMWARE, Stage.IPXE):
            _, decision = made.appliance.decide(ask(stage=stage), made.now)
            assert isinstance(decision, LocalDisk)
    await made.pass_time(10**6)
    assert len(made.installer.jobs) == 1


async def test_a_new_arm_on_a_ready_host_installs_it_at_its_next_boot_and_disarming_leaves_its_disk() -> None:
    made = await fleet()
    await made.register()
    await report(made)
    await made.arming.arm("cim-1", "hosts arm")
    _, decision = made.appliance.decide(ask(stage=Stage.IPXE), made.now + 300)
    assert isinstance(decision, Script)
    await made.arming.disarm("cim-1")
    _, decision = made.appliance.decide(ask(stage=Stage.IPXE), made.now + 600)
    assert isinstance(decision, LocalDisk)


async def test_another_system_than_the_installed_one_is_drift() -> None:
    made = await fleet()
    await made.register()
    assert (await report(made, closure="/nix/store/other"))[0] == 200
    assert made.state() is State.DRIFTED
    assert CLOSURE in made.machine().why
    assert "/nix/store/other" in made.machine().why


async def test_a_report_needs_its_token_and_counts_once() -> None:
    made = await fleet()
    await made.register()
    assert (await report(made, token="0" * 32))[0] == 403
    assert made.state() is State.REBOOTING
    assert (await report(made))[0] == 200
    assert (await report(made))[0] == 200, "its answer was lost: the same boot may say it again"
    assert made.events().count("Reported") == 1
    assert (await report(made, boot_id="another"))[0] == 403, "a copy of the disk, or a replay"
    assert made.events()[-1] == "Refused"


async def test_at_most_so_many_at_once_and_first_come_first_served() -> None:
    macs = {f"cim-{n}": MAC.__class__(f"52:54:00:77:01:{n:02x}") for n in range(1, 6)}
    made = await fleet(*(host(name, mac) for name, mac in macs.items()), at_once=2)
    made.installer.hangs.add("build")
    for name, mac in macs.items():
        disk = DISK.__class__(
            name="vda", size_bytes=10**12, serial=name, by_id=f"/dev/disk/by-id/virtio-{name}"
        )
        await made.register(mac, disks=(disk,))
    assert [job.host for job in made.installer.jobs] == ["cim-1", "cim-2"]
    assert made.state("cim-5") is State.CLAIMED
    await made.arming.abort("cim-1", "me")
    await made.settle()
    assert [job.host for job in made.installer.jobs] == ["cim-1", "cim-2", "cim-3"]
    assert made.installer.most_at_once == 2


async def test_missing_tools_are_said_and_it_goes_on_when_they_are_there() -> None:
    made = Fleet()
    made.installer.missing = ["nixos-anywhere is not on PATH"]
    await made.installs.start()
    await made.arming.arm("cim-1", "hosts arm")
    await made.register()
    assert made.state() is State.LIVE
    assert made.installs.why(made.machine()) == "nixos-anywhere is not on PATH"
    await made.pass_time(61)
    assert made.state() is State.FAILED
    made.installer.missing = []
    await made.pass_time(61)
    await made.pass_time(5)
    assert made.state() is State.REBOOTING


async def test_closing_interrupts_and_a_new_appliance_goes_on_within_the_budget() -> None:
    made = await fleet()
    made.installer.hangs.add("install")
    await made.register()
    await made.installs.close()
    assert made.installer.stopped == [("cim-1", "install")]
    assert "bootstrapd was stopped" in made.machine().why
    made.installer.hangs.clear()
    await made.installs.start()
    await made.settle()
    assert made.state() is State.REBOOTING
    assert len(erases(made)) == 2


async def test_a_killed_appliance_finds_what_it_had_begun() -> None:
    made = await fleet()
    made.installer.hangs.add("disko")
    await made.register()
    made.installs._is_open = False
    await made.installs._runs.close()
    assert made.state() is State.INSTALLING, "as the journal of a killed one says"
    made.installer.hangs.clear()
    await made.installs.start()
    await made.settle()
    assert made.state() is State.REBOOTING
    assert [type(t.event) for t in made.told if isinstance(t.event, Claimed | Failed)] == [
        Claimed,
        Failed,
        Claimed,
    ]


async def test_a_host_that_is_no_longer_declared_loses_its_arm() -> None:
    made = await fleet(host(), host("cim-2", OTHER_MAC))
    both = made.appliance.setup
    for fleet_now in (setup(host(), profile=LAYOUT), both, setup(host(), profile=LAYOUT)):
        made.appliance.reconfigure(fleet_now)
        await made.pass_time(6)
        assert set(made.appliance.registry.arms) == {"cim-1", "cim-2"}, "a checkout takes files away briefly"
    await made.pass_time(10)
    assert set(made.appliance.registry.arms) == {"cim-1"}


async def test_a_bug_in_a_run_is_said_and_stops_nobody_else() -> None:
    made = await fleet()

    def broken(*_: object) -> str:
        raise ZeroDivisionError

    made.installs._runs._ground = replace(made.ground, place=broken)
    await made.register()
    assert made.state() is State.FAILED
    assert "bug" in made.machine().why


async def test_the_key_of_the_registration_is_the_key_that_is_pinned() -> None:
    made = await fleet()
    await made.register()
    job = made.installer.jobs[0]
    assert job.host_key == KEY.rsplit(" ", 1)[0]
    assert job.disks[0].path == DISK.by_id
    assert isinstance(made.appliance.decide(ask(), made.now)[1], LocalDisk | Chain)
