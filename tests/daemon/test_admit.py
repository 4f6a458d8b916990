"""Who may register: the right token, from the right place, once; every refusal counted and explained."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from builders import CLIENT, KEY, MAC, OTHER_MAC, SERVER, STRANGER, World, ask, host, registration, setup

from bootstrapd.daemon.admit import AT_ONCE
from bootstrapd.model import Disk, Door, FileAsk, Gpu, Hardware, Nic, State, TextReply, encode
from bootstrapd.policy.registry import SPENT_A_MACHINE
from bootstrapd.wire import cpio

ELSEWHERE = "192.168.9.9"


@pytest.fixture
def world() -> World:
    return World(setup(host(), host("cim-2", OTHER_MAC)))


def token(world: World) -> str:
    def get(path: str) -> bytes:
        reply = world.files.fetch(FileAsk(door=Door.HTTP, path=path, server=SERVER, client=CLIENT))
        assert isinstance(reply, TextReply)
        return reply.body

    found = re.search(r"(/overlay/\S+)", get(f"/boot/{MAC.hexhyp}.ipxe").decode())
    assert found
    return next(f.data.decode().strip() for f in cpio.parse(get(found[1])) if f.path == "bootstrapd/token")


async def post(world: World, body: bytes, client: str = CLIENT) -> tuple[int, dict[str, Any]]:
    status, answer = await world.admissions.register(body, client)
    return status, json.loads(answer)


async def test_a_machine_registers_and_is_live(world: World) -> None:
    status, answer = await post(world, registration(token(world)))
    assert (status, answer) == (200, {"status": "accepted", "machine": MAC.hex, "host": "cim-1"})
    machine = world.appliance.registry.machines[MAC.hex]
    assert (machine.state, machine.address, machine.host_key) == (State.LIVE, CLIENT, KEY)


async def test_its_own_repeat_is_the_same_registration(world: World) -> None:
    body = registration(token(world))
    for _ in range(3):
        assert (await post(world, body))[0] == 200
    assert world.events().count("Registered") == 1


async def refused(world: World, body: bytes, code: str, client: str = CLIENT, status: int = 403) -> str:
    got, answer = await post(world, body, client)
    assert (got, answer["status"], answer["code"]) == (status, "refused", code)
    assert world.counters[f"register.refused.{code.lower()}"] == 1
    assert "Registered" not in world.events() or code == "TOKEN_SPENT"
    reason: str = answer["reason"]
    return reason


async def test_an_unknown_token_is_refused(world: World) -> None:
    await refused(world, registration("0" * 32), "UNKNOWN_TOKEN")


async def test_an_old_token_is_refused(world: World) -> None:
    body = registration(token(world))
    world.now += 901
    await refused(world, body, "TOKEN_EXPIRED")
    assert world.events()[-1] == "Refused"
    assert "older than 15 minutes; boot again" in world.appliance.registry.machines[MAC.hex].why


@pytest.mark.parametrize(
    ("body", "code"), [(registration("0" * 32), "UNKNOWN_TOKEN"), (b"{", "BAD_REGISTRATION")]
)
async def test_a_refusal_without_a_token_of_ours_is_an_event_of_the_hosts_machine_that_sent_it(
    world: World, body: bytes, code: str
) -> None:
    world.appliance.answer(ask())
    world.appliance.answer(ask(mac=STRANGER))
    world.neighbours["10.77.0.66"] = STRANGER
    for client in (ELSEWHERE, "10.77.0.66"):
        await world.admissions.register(body, client)
    assert "Refused" not in world.events()
    world.neighbours["10.77.0.67"] = MAC
    await world.admissions.register(body, "10.77.0.67")
    assert world.events()[-1] == "Refused"
    why = world.appliance.registry.machines[MAC.hex].why
    assert why.startswith("a registration from 10.77.0.67 was refused: ")
    assert world.counters[f"register.refused.{code.lower()}"] == 3


async def test_a_spent_token_is_refused_and_is_an_event(world: World) -> None:
    secret = token(world)
    await post(world, registration(secret))
    world.neighbours["10.77.0.66"] = MAC
    reason = await refused(world, registration(secret), "TOKEN_SPENT", client="10.77.0.66")
    assert "10.77.0.66" in reason
    assert world.events()[-1] == "Refused"


async def test_registering_in_a_loop_grows_nothing_and_locks_out_nobody(world: World) -> None:
    for _ in range(2 * SPENT_A_MACHINE):
        world.now += 30
        assert (await post(world, registration(token(world))))[0] == 200
    body = registration(token(world))
    assert (await post(world, body))[0] == 200
    registry = world.appliance.registry
    kept = registry.machines[MAC.hex].tokens
    assert len(kept) == len(registry.by_token) == len(registry.by_overlay) <= SPENT_A_MACHINE
    events = len(world.events())
    assert (await post(world, body))[0] == 200  # its answer was lost
    assert len(world.events()) == events
    assert (await post(world, registration(token(world))))[0] == 200


async def test_a_token_from_before_many_others_may_still_be_repeated(world: World) -> None:
    first = registration(token(world))
    for _ in range(SPENT_A_MACHINE):
        world.now += 25
        await post(world, registration(token(world)))
    assert (await post(world, first))[0] == 200
    assert (await post(world, first))[0] == 200


async def test_a_machine_that_registers_without_end_is_heard_by_measure(world: World) -> None:
    for _ in range(int(AT_ONCE)):
        assert (await post(world, registration(token(world))))[0] == 200
    body = registration(token(world))
    reason = (await post(world, body))[1]
    assert (reason["code"], "too often" in reason["reason"]) == ("TOO_OFTEN", True)
    assert (await post(world, body))[0] == 503, "the agent tries again"
    assert world.counters["register.refused.too_often"] == 2
    assert len(world.left) == world.events().count("Registered") == AT_ONCE
    world.neighbours["10.77.0.51"] = OTHER_MAC
    world.now += 31
    assert (await post(world, body))[0] == 200


async def test_another_network_is_refused(world: World) -> None:
    reason = await refused(world, registration(token(world)), "WRONG_ADDRESS", client=ELSEWHERE)
    assert ELSEWHERE in reason
    assert "a registration from" in world.appliance.registry.machines[MAC.hex].why


async def test_a_neighbour_that_is_no_nic_of_it_is_refused(world: World) -> None:
    world.neighbours["10.77.0.66"] = STRANGER
    await refused(world, registration(token(world)), "WRONG_ADDRESS", client="10.77.0.66")


async def test_the_kernels_other_address_of_the_same_nic_is_taken(world: World) -> None:
    """The live system's DHCP client often gets another lease than iPXE had."""
    world.neighbours["10.77.0.99"] = MAC
    assert (await post(world, registration(token(world)), "10.77.0.99"))[0] == 200


async def test_another_machines_token_is_refused(world: World) -> None:
    world.appliance.answer(ask(mac=OTHER_MAC))
    reason = await refused(world, registration(token(world), OTHER_MAC), "WRONG_MAC")
    assert str(OTHER_MAC) in reason


def body(**hardware: object) -> bytes:
    return encode({"token": "x", "boot_mac": "y", "hardware": hardware})


BROKEN = [b"", b"{", b"[]", b"\xff\xfe", b'{"token":1}', b'{"token":"x"}', body(nics=[1]),
          body(memory_bytes=-1), b"[" * 60_000, body(cpu_model="x" * 10_000)]  # fmt: skip


@pytest.mark.parametrize("body", BROKEN)
async def test_a_body_that_is_no_registration_is_refused_in_words(world: World, body: bytes) -> None:
    status, answer = await post(world, body)
    assert status == 400
    assert answer["code"] == "BAD_REGISTRATION"
    assert "registration cannot be read" in answer["reason"]


async def test_P14_junk_identities_and_nics_without_a_mac_are_left_out(world: World) -> None:
    hardware = Hardware(
        nics=(Nic(name="eth0", mac=MAC), Nic(name="bond0", mac="00:00:00:00:00:00"), Nic(name="x", mac="junk")),
        uuid="0" * 8 + "-0000-0000-0000-" + "0" * 12,
        serial="To be filled by O.E.M.",
    )
    await post(world, registration(token(world), hardware=hardware))
    machine = world.appliance.registry.machines[MAC.hex]
    assert machine.hardware is not None
    assert [nic.name for nic in machine.hardware.nics] == ["eth0"]
    assert (machine.uuid, machine.serial) == ("", "")


async def test_I8_a_nic_that_asked_alone_before_is_the_same_machine(world: World) -> None:
    world.appliance.answer(ask(mac=STRANGER))
    hardware = Hardware(nics=(Nic(name="eth0", mac=MAC), Nic(name="eth1", mac=STRANGER)))
    await post(world, registration(token(world), hardware=hardware))
    assert world.appliance.registry.find(STRANGER) is world.appliance.registry.find(MAC)
    assert STRANGER.hex not in world.appliance.registry.machines


async def test_a_nic_of_another_host_stays_that_hosts(world: World) -> None:
    world.appliance.answer(ask(mac=OTHER_MAC))
    hardware = Hardware(nics=(Nic(name="eth0", mac=MAC), Nic(name="eth1", mac=OTHER_MAC)))
    await post(world, registration(token(world), hardware=hardware))
    found = world.appliance.registry.find(OTHER_MAC)
    assert found is not None
    assert found.host == "cim-2"


async def test_an_inventory_cannot_take_a_host_that_was_never_seen(world: World) -> None:
    """A machine with a token of its own lists a NIC that another host.toml declares."""
    hardware = Hardware(nics=(Nic(name="eth0", mac=MAC), Nic(name="eth1", mac=OTHER_MAC)))
    await post(world, registration(token(world), hardware=hardware))
    world.appliance.answer(ask(mac=OTHER_MAC))
    hosts = {machine.host: machine.macs for machine in world.appliance.registry}
    assert hosts == {"cim-1": [MAC], "cim-2": [OTHER_MAC]}


async def test_a_nic_declared_for_another_host_later_is_that_hosts(world: World) -> None:
    hardware = Hardware(nics=(Nic(name="eth0", mac=MAC), Nic(name="eth1", mac=STRANGER)))
    await post(world, registration(token(world), hardware=hardware))
    world.appliance.reconfigure(setup(host(), host("new", STRANGER)))
    world.appliance.answer(ask(mac=STRANGER))
    hosts = {machine.host: machine.macs for machine in world.appliance.registry}
    assert hosts == {"cim-1": [MAC], "new": [STRANGER]}
    assert world.appliance.registry.by_host["cim-1"].state is State.LIVE


async def test_thousands_of_nics_are_not_a_machine(world: World) -> None:
    status, _ = await post(
        world,
        registration(token(world), hardware=Hardware(nics=tuple(Nic(name="e", mac=MAC) for _ in range(129)))),
    )
    assert status == 400


async def test_of_a_strangers_inventory_a_bounded_extract_is_kept(world: World) -> None:
    """DESIGN.md, Safety 1: 4,096 strangers, and any of them may register with a megabyte."""
    world.appliance.reconfigure(setup(unknown="discover", discovery_image="installer"))
    text = "\x01" * 256
    disk = Disk(name=text, size_bytes=1, model=text, serial=text, filesystems=(text,) * 64)
    hardware = Hardware(
        nics=(Nic(name=text, mac=MAC),) * 128,
        disks=(disk,) * 1024,
        gpus=(Gpu(pci_id=text, address=text),) * 128,
        cpu_model=text,
        memory_bytes=2**30,
    )
    assert (await post(world, registration(token(world), hardware=hardware)))[0] == 200
    kept = world.appliance.registry.machines[MAC.hex].hardware
    assert kept is not None
    assert (len(kept.nics), len(kept.disks), len(kept.gpus), kept.memory_bytes) == (8, 8, 8, 2**30)
    assert len(encode(kept)) < 64 * 1024
    assert kept == world.told[-1].event.hardware  # type: ignore[union-attr]


async def test_a_strangers_inventory_gives_it_nothing(world: World) -> None:
    """With discovery on, what it lists may be enrolled tomorrow, and is then that host's alone."""
    world.appliance.reconfigure(setup(unknown="discover", discovery_image="installer"))
    hardware = Hardware(nics=(Nic(name="eth0", mac=MAC), Nic(name="eth1", mac=STRANGER)))
    assert (await post(world, registration(token(world), hardware=hardware)))[0] == 200
    world.appliance.reconfigure(setup(host("new", STRANGER)))
    assert world.appliance.registry.by_host == {}
