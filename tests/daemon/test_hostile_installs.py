"""Installs that somebody gets in the way of: nothing is erased that files and consent do not name now."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from builders import CLIENT, MAC, OTHER_MAC, SERVER, ask, host, registration, setup
from installing import CLOSURE, DISK, LAYOUT, Fleet

from bootstrapd.daemon.admit import AT_ONCE
from bootstrapd.daemon.installs import GONE_S
from bootstrapd.daemon.operator import Operator
from bootstrapd.errors import RefusedError
from bootstrapd.model import (
    Disk,
    DiskSelector,
    Door,
    FileAsk,
    Host,
    Refused,
    Report,
    Stage,
    State,
    encode,
)
from bootstrapd.policy.install import Failure

OTHER_DISK = Disk(
    name="vdb", size_bytes=2 * 10**12, serial="S2", by_id="/dev/disk/by-id/virtio-S2", type="nvme"
)
ELSEWHERE = "192.168.50.5"
UUID = "4c4c4544-0042-3510-8052-b4c04f4a4d32"


async def fleet(*hosts: Host, **fields: Any) -> Fleet:
    made = Fleet(*hosts, **fields)
    await made.installs.start()
    for name in made.appliance.setup.book.hosts:
        await made.arming.arm(name, "hosts arm")
    return made


def on(serial: str, **fields: Any) -> Host:
    return host(disk={"main": DiskSelector(serial=serial)}, **fields)


async def edit(made: Fleet, *hosts: Host, profile: dict[str, Any] | None = None) -> None:
    made.appliance.reconfigure(setup(*hosts, profile=LAYOUT if profile is None else profile))
    made.installs.reconsider()
    await made.pass_time(1)
    await made.pass_time(GONE_S)


def erased(made: Fleet) -> list[str]:
    return [phase for _, phase in made.installer.began if phase != "build"]


async def in_its_build(made: Fleet) -> None:
    made.installer.waits["build"] = asyncio.Event()
    await made.register(disks=(DISK, OTHER_DISK))
    assert made.machine().phase == "build"


async def built(made: Fleet) -> None:
    made.installer.waits.pop("build").set()
    await made.settle()


async def test_a_disk_that_the_file_names_no_longer_is_not_erased_by_a_retry() -> None:
    made = await fleet(on("S1"))
    made.installer.fails["build"] = Failure(stage="build", cause="the build failed")
    await made.register(disks=(DISK, OTHER_DISK))
    made.installer.fails.clear()
    await edit(made, on("S2"))
    await made.pass_time(70)
    await made.pass_time(70)
    assert erased(made) == []
    assert not made.appliance.registry.arms, "the consent was to the other disk"
    await made.arming.arm("cim-1", "hosts arm")
    await made.settle()
    assert made.state() is State.REBOOTING
    assert [disk.serial for disk in made.installer.jobs[-1].disks] == ["S2"]


@pytest.mark.parametrize(
    ("hosts", "profile", "words"),
    [
        ((on("S2"),), LAYOUT, "virtio-S2"),
        ((on("S9"),), LAYOUT, "no disk fits"),
        ((on("S1"),), {}, "no layout"),
        ((host("other", OTHER_MAC),), LAYOUT, "no longer declared"),
    ],
    ids=["another-disk", "no-disk", "no-layout", "no-host"],
)
async def test_files_that_change_during_the_build_are_looked_at_before_the_erase(
    hosts: tuple[Host, ...], profile: dict[str, Any], words: str
) -> None:
    made = await fleet(on("S1"))
    await in_its_build(made)
    machine = made.machine()
    await edit(made, *hosts, profile=profile)
    await built(made)
    assert machine.state is State.FAILED
    assert words in (machine.failure.cause if machine.failure else "")
    await made.pass_time(3600)
    assert erased(made) == []


async def test_files_that_are_right_again_let_the_retry_go_on() -> None:
    made = await fleet(on("S1"))
    await in_its_build(made)
    await edit(made, on("S9"))
    await built(made)
    await made.pass_time(3600)
    assert erased(made) == []
    assert made.state() is State.REJECTED
    assert "no disk fits" in made.machine().why
    await edit(made, on("S1"))
    await made.pass_time(1)
    assert made.state() is State.REBOOTING


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        ({"uuid": UUID}, {"uuid": "11111111-2222-3333-4444-555555555555"}),
        ({"uuid": UUID}, {}),
        ({"serial": "SN1"}, {"serial": "SN2"}),
        ({"serial": "SN1"}, {"serial": "To be filled by O.E.M."}),
    ],
    ids=str,
)
async def test_a_machine_that_is_not_the_declared_one_is_rejected(
    declared: dict[str, Any], found: dict[str, Any]
) -> None:
    """DESIGN.md, Safety 4: a MAC is a claim; [match] uuid or serial is what the inventory is held to."""
    made = await fleet(host(**declared))
    await made.register(**found)
    assert made.state() is State.REJECTED
    assert "cim-1/host.toml" in made.machine().rejected[0]
    assert made.installer.jobs == []


async def test_a_uuid_is_the_same_in_either_byte_order() -> None:
    """P15"""
    made = await fleet(host(uuid=UUID))
    await made.register(uuid="44454c4c-4200-1035-8052-b4c04f4a4d32")
    assert made.state() is State.REBOOTING


def operator(made: Fleet) -> Operator:
    async def nothing(*_: object) -> Any:
        return []

    no: Any = None
    return Operator(
        made.appliance,
        made.writer,
        server=lambda: SERVER,
        durable=made._committed,
        add_mac=nothing,
        reload=nothing,
        check_hosts=nothing,
        status=no,
        arming=made.arming,
        installs=made.installs,
        read_past=no,
    )


@pytest.mark.parametrize("ready", [True, False])
@pytest.mark.parametrize("key", [MAC, MAC.hex])
async def test_a_machine_is_not_adopted_in_mid_install(key: str, ready: bool) -> None:
    made = await fleet()
    made.installer.hangs.add("disko")
    await made.register()
    with pytest.raises(RefusedError, match="hosts abort cim-1"):
        await operator(made).adopt(key, "cim-1", ready=ready)
    assert made.state() is State.INSTALLING
    await made.arming.abort("cim-1", "hosts abort")
    assert made.installer.stopped == [("cim-1", "disko")]


async def test_a_machine_in_mid_install_is_merged_into_no_other() -> None:
    """Its host is another's now: first its run ends, and then the records may become one."""
    made = await fleet()
    made.installer.hangs.add("disko")
    await made.register()
    machine = made.machine()
    made.appliance.answer(ask(mac=OTHER_MAC))
    await edit(made, host(), host("b", OTHER_MAC))
    made.appliance.answer(ask(mac=OTHER_MAC))
    await edit(made, host("b", OTHER_MAC, MAC))
    assert made.appliance.registry.machines.get(machine.id) is machine
    assert machine.state is State.FAILED
    assert made.installer.stopped == [("cim-1", "disko")]


async def test_a_host_that_is_renamed_in_mid_install_can_be_aborted() -> None:
    made = await fleet()
    made.installer.hangs.add("disko")
    await made.register()
    await edit(made, host("new-name"))
    await made.arming.abort("new-name", "hosts abort")
    assert made.installer.stopped == [("cim-1", "disko")]
    assert made.state("new-name") is State.FAILED


def token(made: Fleet, client: str = CLIENT) -> str:
    path = f"/boot/{MAC.hexhyp}.ipxe"
    made.files.fetch(FileAsk(door=Door.HTTP, path=path, server=SERVER, client=client))
    return made.appliance.registry.by_mac[MAC].tokens[-1].secret


async def test_nobody_elsewhere_stops_an_install_by_registering_as_its_machine() -> None:
    """A routed client is in no neighbour table: its address is all that tells it from the machine."""
    made = await fleet()
    made.installer.hangs.add("disko")
    await made.register()
    status, answer = await made.admissions.register(registration(token(made, ELSEWHERE)), ELSEWHERE)
    await made.settle()
    assert (status, json.loads(answer)["code"]) == (503, "BEING_INSTALLED"), "503: the agent tries again"
    assert isinstance(made.told[-1].event, Refused)
    assert (made.state(), made.machine().address, made.installer.stopped) == (State.INSTALLING, CLIENT, [])


@pytest.mark.parametrize("client", [CLIENT, ELSEWHERE])
async def test_the_machine_itself_ends_its_install_by_booting_anew(client: str) -> None:
    made = await fleet()
    made.installer.hangs.add("disko")
    await made.register()
    if client != CLIENT:
        made.neighbours[client] = MAC  # another lease, on our link
    status, _ = await made.admissions.register(registration(token(made, client)), client)
    assert status == 200
    assert made.installer.stopped == [("cim-1", "disko")]


async def test_one_token_is_good_for_one_of_two_that_show_it_while_a_run_is_being_stopped() -> None:
    made = await fleet()
    made.installer.hangs.add("build")
    await made.register()
    made.now += 200
    made.appliance.answer(ask(Door.DHCP, MAC, Stage.FIRMWARE))
    secret = token(made)
    theirs = registration(secret).replace(b"cim-1", b"other")
    answers = await asyncio.gather(
        *(made.admissions.register(body, CLIENT) for body in (registration(secret), theirs))
    )
    assert sorted(status for status, _ in answers) == [200, 403]
    assert json.loads(next(body for status, body in answers if status == 403))["code"] == "TOKEN_SPENT"


async def report(made: Fleet, closure: str = CLOSURE) -> tuple[int, str]:
    said = Report(token=made.installer.jobs[-1].report_token, closure=closure, boot_id="b1")
    status, answer = await made.admissions.report(encode(said), CLIENT)
    await made.settle()
    return status, json.loads(answer).get("code", "")


@pytest.mark.parametrize("phase", ["preclean", "disko", "install"])
async def test_a_report_before_there_can_be_a_system_proves_nothing(phase: str) -> None:
    """The token is in a file of the live system: whoever reads it there could call the machine ready."""
    made = await fleet()
    made.installer.hangs.add(phase)
    await made.register()
    assert await report(made) == (503, "TOO_EARLY")
    assert (made.state(), made.installer.stopped) == (State.INSTALLING, [])
    assert made.appliance.registry.arms


async def test_a_report_from_the_check_of_the_disk_on_is_heard() -> None:
    made = await fleet()
    made.installer.hangs.add("verify")
    await made.register()
    assert await report(made) == (200, "")
    assert (made.state(), made.installer.stopped) == (State.READY, [("cim-1", "verify")])


async def test_who_really_rebooted_early_is_heard_once_the_run_has_failed() -> None:
    made = await fleet()
    made.installer.fails["install"] = Failure(stage="install", cause="it has gone", is_lost=True)
    await made.register()
    assert made.state() is State.FAILED
    assert await report(made) == (200, "")
    assert made.state() is State.READY


async def test_a_machine_that_drifts_without_end_is_heard_by_measure() -> None:
    made = await fleet()
    await made.register()
    answers = [await report(made, f"/nix/store/{number}") for number in range(int(AT_ONCE) + 3)]
    assert answers == [(200, "")] * int(AT_ONCE) + [(503, "TOO_OFTEN")] * 3
    assert made.events().count("Drifted") == AT_ONCE
    made.now += 31
    assert await report(made) == (200, "")
    assert made.state() is State.READY


@pytest.mark.parametrize("phase", ["build", "disko"])
async def test_a_host_that_is_removed_in_mid_install_is_interrupted(phase: str) -> None:
    made = await fleet()
    made.installer.hangs.add(phase)
    await made.register()
    machine = made.machine()
    await edit(made, host("other", OTHER_MAC))
    assert made.installer.stopped == [("cim-1", phase)]
    assert machine.state is State.FAILED
    assert "no longer declared" in machine.why
    await made.pass_time(3600)
    assert len(made.installer.jobs) == 1


async def test_a_failed_machine_that_is_adopted_is_judged_anew() -> None:
    made = await fleet()
    made.installer.fails["build"] = Failure(stage="build", cause="the build failed")
    await made.register()
    made.installer.fails.clear()
    await operator(made).adopt(MAC, "cim-1", ready=False)
    await made.arming.retry("cim-1", "hosts retry")
    await made.settle()
    assert made.state() is State.REBOOTING


async def test_a_failed_machine_that_is_adopted_and_not_what_its_host_wants_is_rejected() -> None:
    made = await fleet(host(uuid=UUID))
    made.installer.fails["build"] = Failure(stage="build", cause="the build failed")
    await made.register(uuid=UUID)
    await operator(made).adopt(MAC, "cim-1", ready=False)
    await edit(made, host(serial="SN1"))
    assert made.state() is State.REJECTED
    await made.pass_time(3600)
    assert len(made.installer.jobs) == 1


async def test_what_a_host_wants_does_not_reject_a_machine_that_is_on_its_disk() -> None:
    made = await fleet()
    await made.register()
    await made.pass_time(901)
    assert made.state() is State.FAILED
    await edit(made, host(serial="SN1"))
    assert await report(made) == (200, "")
    assert made.state() is State.READY
