"""The core behind all doors: boots, caching, enrolling, notices, and what time brings."""

from __future__ import annotations

import pytest
from builders import CLIENT, MAC, OTHER_MAC, SERVER, STRANGER, World, ask, host, setup

from bootstrapd.daemon.appliance import SCRIPT_AFTER_S
from bootstrapd.model import (
    Adopted,
    BootAsked,
    DhcpReply,
    Door,
    FileAsk,
    FileReply,
    Mac,
    Nothing,
    Reply,
    Stage,
    State,
    TextReply,
)
from bootstrapd.policy.lifecycle import DEADLINES_S
from bootstrapd.policy.registry import MACS_A_MACHINE, Registry
from bootstrapd.policy.surroundings import Heard

NBP = "nbp/52-54-00-77-00-10/snponly.efi"
SCRIPT = "boot/52-54-00-77-00-10.ipxe"


def get(world: World, path: str, door: Door = Door.HTTP, client: str = CLIENT) -> Reply:
    return world.files.fetch(FileAsk(door=door, path=path, server=SERVER, client=client))


def load_program(world: World) -> None:
    world.now += 5
    asked = FileAsk(door=Door.TFTP, path=NBP, server=SERVER, client=CLIENT)
    assert isinstance(world.files.fetch(asked), FileReply)
    world.files.fetched(asked)


@pytest.fixture
def world() -> World:
    return World(setup(host()))


def test_D14_retries_are_one_event(world: World) -> None:
    for secs in (0, 4, 12, 28):
        assert isinstance(world.appliance.answer(ask(secs=secs)), DhcpReply)
        world.now += 10
    assert world.events() == ["BootAsked"]


def test_a_repeated_ask_comes_from_memory_and_is_the_same_value(world: World) -> None:
    assert world.appliance.answer(ask()) is world.appliance.answer(ask(xid=2))


def test_a_remembered_answer_dies_with_the_configuration(world: World) -> None:
    assert isinstance(world.appliance.answer(ask()), DhcpReply)
    world.appliance.reconfigure(setup())
    assert isinstance(world.appliance.answer(ask()), Nothing)


def test_a_remembered_answer_dies_with_every_event(world: World) -> None:
    first = world.appliance.answer(ask(stage=Stage.IPXE))
    assert isinstance(first, DhcpReply)
    world.appliance.tell(Adopted(id="", at=0.0, machine=MAC.hex, host="cim-1", ready=True))
    assert isinstance(get(world, SCRIPT), TextReply)
    assert b"boots its own disk" in _body(get(world, SCRIPT))


def _body(reply: Reply) -> bytes:
    assert isinstance(reply, TextReply)
    return reply.body


def test_a_stranger_is_recorded_and_left_alone(world: World) -> None:
    assert isinstance(world.appliance.answer(ask(mac=STRANGER)), Nothing)
    (told,) = world.told
    assert isinstance(told.event, BootAsked)
    assert (told.event.host, told.after) == ("", State.SEEN)


def test_a_stranger_that_is_enrolled_goes_on_by_itself(world: World) -> None:
    world.appliance.answer(ask(mac=STRANGER))
    world.appliance.reconfigure(setup(host(), host("new", STRANGER)))
    assert world.appliance.registry.machines[STRANGER.hex].state is State.ENROLLED
    assert isinstance(world.appliance.answer(ask(mac=STRANGER)), DhcpReply)


def test_two_nics_of_one_host_seen_as_strangers_become_one_machine(world: World) -> None:
    world.appliance.answer(ask(mac=STRANGER))
    world.appliance.answer(ask(mac=OTHER_MAC))
    world.appliance.reconfigure(setup(host("two", STRANGER, OTHER_MAC)))
    (machine,) = world.appliance.registry.by_host.values()
    assert set(machine.macs) == {STRANGER, OTHER_MAC}
    assert "Merged" in world.events()


def test_H12_http_and_pxe_attempts_are_one_boot(world: World) -> None:
    world.appliance.answer(ask(arch=16, xid=1))
    world.now += 60
    world.appliance.answer(ask(arch=7, xid=2))
    assert world.events() == ["BootAsked"]


def test_two_programs_and_no_script_are_explained_at_once(world: World) -> None:
    world.appliance.answer(ask())
    load_program(world)
    assert "Noticed" not in world.events()
    load_program(world)
    machine = world.appliance.registry.machines[MAC.hex]
    assert "Secure Boot" in machine.why


def test_one_program_and_silence_is_explained_by_time(world: World) -> None:
    world.appliance.answer(ask())
    load_program(world)
    world.appliance.tick(world.now + SCRIPT_AFTER_S - 1)
    assert "Noticed" not in world.events()
    world.appliance.tick(world.now + SCRIPT_AFTER_S + 1)
    assert "Secure Boot" in world.appliance.registry.machines[MAC.hex].why


def test_a_script_takes_the_word_back(world: World) -> None:
    world.appliance.answer(ask())
    load_program(world)
    load_program(world)
    get(world, SCRIPT)
    machine = world.appliance.registry.machines[MAC.hex]
    assert machine.why == ""
    assert not machine.notices


def test_I11_the_guard_stops_every_door_and_time_opens_them_again(world: World) -> None:
    for _ in range(6):
        world.appliance.answer(ask())
        load_program(world)
        world.now += 5
    for reply in (
        world.appliance.answer(ask()),
        world.appliance.answer(ask(door=Door.PXE)),
        get(world, NBP, Door.TFTP),
        get(world, NBP),
    ):
        assert isinstance(reply, Nothing)
        assert "no answers for 10 minutes" in reply.reason
    world.now += 601
    assert isinstance(world.appliance.answer(ask()), DhcpReply)


def test_netbooting_ends_by_time_and_says_what_was_seen_last(world: World) -> None:
    world.appliance.answer(ask())
    load_program(world)
    world.appliance.tick(world.now + DEADLINES_S[State.NETBOOTING] + 1)
    machine = world.appliance.registry.machines[MAC.hex]
    assert machine.state is State.ENROLLED
    assert "did not register within 10 minutes" in machine.why
    assert "snponly.efi" in machine.why


def test_a_site_that_wins_is_told_once_a_host(world: World) -> None:
    world.appliance.answer(ask())
    heard = Heard(mac=MAC, server="10.77.0.1", gives_address=True, vendor_class="PXEClient", file="x")
    for _ in range(3):
        world.appliance.heard(heard)
    assert world.events() == ["BootAsked", "Noticed"]
    assert "10.77.0.1" in world.appliance.registry.machines[MAC.hex].why
    world.appliance.answer(ask(mac=STRANGER))
    world.appliance.heard(
        Heard(mac=STRANGER, server="x", gives_address=True, vendor_class="PXEClient", file="")
    )
    assert world.events()[-1] == "BootAsked"


def test_an_ipxe_that_follows_another_server_is_explained_by_time(world: World) -> None:
    """FIRMWARE 10: iPXE's ROM is answered alone, so the site's option 60 is not overheard."""
    world.appliance.answer(ask(stage=Stage.IPXE))
    world.appliance.took(MAC, "10.77.0.1")
    world.appliance.tick(world.now + SCRIPT_AFTER_S - 1)
    assert world.events() == ["BootAsked"]
    world.appliance.tick(world.now + SCRIPT_AFTER_S + 1)
    machine = world.appliance.registry.machines[MAC.hex]
    assert "10.77.0.1" in machine.notices["SITE_FILENAME_WINS"].reason


def test_an_ipxe_that_fetches_its_script_was_not_led_away(world: World) -> None:
    world.appliance.answer(ask(stage=Stage.IPXE))
    world.appliance.took(MAC, "10.77.0.1")
    get(world, SCRIPT)
    world.appliance.tick(world.now + SCRIPT_AFTER_S + 1)
    assert "Noticed" not in world.events()


def test_a_stranger_may_take_what_it_likes(world: World) -> None:
    world.appliance.answer(ask(mac=STRANGER, stage=Stage.IPXE))
    world.appliance.took(STRANGER, "10.77.0.1")
    world.appliance.took(OTHER_MAC, "10.77.0.1")
    world.appliance.tick(world.now + SCRIPT_AFTER_S + 1)
    assert world.events() == ["BootAsked"]


def test_a_host_that_comes_back_to_its_folder_is_still_ready(world: World) -> None:
    """A git checkout takes host.toml away for a moment: a ready machine must not netboot for that."""
    world.appliance.tell(Adopted(id="", at=0.0, machine=MAC.hex, host="cim-1", ready=True, mac=MAC))
    world.appliance.reconfigure(setup())
    assert isinstance(world.appliance.answer(ask()), Nothing)
    world.appliance.reconfigure(setup(host()))
    world.now += 300
    world.appliance.answer(ask(stage=Stage.IPXE))
    assert b"boots its own disk" in _body(get(world, SCRIPT))


def test_many_macs_with_one_uuid_do_not_grow_a_record(world: World) -> None:
    uuid = "00112233-4455-6677-8899-aabbccddeeff"
    world.appliance.reconfigure(setup(host("by-uuid", uuid=uuid)))
    for number in range(500):
        world.appliance.answer(ask(mac=Mac.of(b"\x02\xbb\x00\x00" + number.to_bytes(2, "big")), uuid=uuid))
    (machine,) = world.appliance.registry
    assert len(machine.macs) == MACS_A_MACHINE


def test_a_notice_that_comes_back_is_told_again(world: World) -> None:
    heard = Heard(mac=MAC, server="10.77.0.1", gives_address=True, vendor_class="PXEClient", file="x")
    world.appliance.answer(ask())
    world.appliance.heard(heard)
    get(world, SCRIPT)
    world.now += 200
    world.appliance.answer(ask(xid=9))
    world.appliance.heard(heard)
    assert world.events().count("Noticed") == 2


def test_a_refused_host_has_it_in_its_story_once_a_boot() -> None:
    world = World(setup(host(), programs={}))
    for _ in range(3):
        world.appliance.answer(ask())
    assert world.events() == ["BootAsked", "Refused"]
    assert "no network boot program" in world.appliance.registry.machines[MAC.hex].why
    assert world.counters["silence.no_program"] == 3


def test_a_stranger_that_was_not_journalled_and_then_enrolled_survives_a_restart(world: World) -> None:
    world.appliance.answer(ask(mac=STRANGER))
    world.told.clear()  # as the recorder does in a flood
    world.appliance.reconfigure(setup(host(), host("new", STRANGER)))
    replayed = Registry()
    for transition in world.told:
        replayed.apply(transition.event)
    found = replayed.find(STRANGER)
    assert found is not None
    assert found.host == "new"
