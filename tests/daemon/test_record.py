"""What becomes of a transition: journalled, told, logged; a flood is a line a minute and a counter."""

from __future__ import annotations

import asyncio
from collections import Counter

from builders import MAC, World, ask, host, setup
from structlog.testing import capture_logs

from bootstrapd.daemon.appliance import Appliance
from bootstrapd.daemon.record import EVENTS_A_SECOND, EVENTS_AT_ONCE, Recorder
from bootstrapd.model import AnyEvent, Hardware, Mac, Registered, ScriptSent, TokenIssued, Transition


class Kept:
    """A journal in memory."""

    def __init__(self) -> None:
        self.events: list[AnyEvent] = []

    def hurry(self) -> None:
        """Nothing waits here."""

    def append(self, event: AnyEvent, *, can_wait: bool = False) -> asyncio.Future[None]:
        assert can_wait is not isinstance(event, TokenIssued), "a token that is out must outlive us"
        self.events.append(event)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


def recorded(world: World) -> tuple[Kept, list[Transition], Appliance]:
    journal, told = Kept(), list[Transition]()
    appliance = world.appliance
    registry = appliance.registry
    recorder = Recorder(
        journal,
        told.append,
        world.counters,
        lambda m: registry.machines[m].host if m in registry.machines else "",
    )
    appliance._record = recorder
    return journal, told, appliance


async def test_a_flood_is_one_line_a_minute_and_a_counter() -> None:
    """The bar: unknown MACs by the thousand; hosts are answered, journalled and logged as ever."""
    world = World(setup(host()))
    journal, _, appliance = recorded(world)
    seconds, a_second = 120, 50
    with capture_logs() as logs:
        for number in range(seconds * a_second):
            world.now += 1 / a_second
            appliance.answer(ask(mac=Mac.of(b"\x02\xcc" + number.to_bytes(4, "big"))))
        appliance.answer(ask(mac=MAC))
    floods = [entry for entry in logs if entry["event"].startswith("flood")]
    assert 2 <= len(floods) <= 3
    assert len(logs) < 25, "the first few strangers, the flood's lines, and the host"
    assert logs[-1]["machine"] == "cim-1"
    dropped = world.counters["events.not_journalled"]
    assert dropped + len(journal.events) == seconds * a_second + 1
    assert len(journal.events) <= 10 * (seconds + 2)


async def test_strangers_that_come_slowly_are_told_each() -> None:
    world = World(setup())
    journal, told, appliance = recorded(world)
    with capture_logs() as logs:
        for number in range(5):
            world.now += 10
            appliance.answer(ask(mac=Mac.of(b"\x02\xcc\x00\x00\x00" + bytes((number,)))))
    assert len(journal.events) == len(told) == len(logs) == 5
    assert logs[0]["code"] == "UNKNOWN"


async def test_a_token_is_journalled_and_never_told_or_logged() -> None:
    world = World(setup(host()))
    journal, told, appliance = recorded(world)
    event = TokenIssued(id="", at=0.0, machine=MAC.hex, secret="s3cret", overlay="o", address="a", expires=9e9)
    with capture_logs() as logs:
        appliance.tell(event)
    assert [type(kept) for kept in journal.events] == [TokenIssued]
    assert told == []
    assert logs == []


async def test_what_strangers_register_is_journalled_by_their_measure() -> None:
    world = World(setup())
    journal, _, appliance = recorded(world)
    appliance.answer(ask(mac=MAC))
    with capture_logs():
        for _ in range(200):
            appliance.tell(Registered(id="", at=0.0, machine=MAC.hex, address="a", hardware=Hardware()))
    assert len(journal.events) <= 11
    await Recorder.durable(appliance._record)  # type: ignore[arg-type]


async def test_durable_waits_for_the_last_write() -> None:
    world = World(setup(host()))
    recorder = Recorder(Kept(), lambda _: None, Counter(), lambda _: "")
    await recorder.durable()
    world.appliance._record = recorder
    world.appliance.answer(ask())
    await recorder.durable()


async def test_one_machine_cannot_fill_the_journal() -> None:
    """A script again and again: tokens and boots by the hundred, answered, and journalled by measure."""
    world = World(setup(host()))
    journal, _, appliance = recorded(world)
    with capture_logs():
        for number in range(500):
            world.now += 1
            appliance.answer(ask(xid=number))
            appliance.tell(ScriptSent(id="", at=0.0, machine=MAC.hex, template="image", image=str(number)))
    assert len(journal.events) < EVENTS_AT_ONCE + 500 * EVENTS_A_SECOND + 5
    assert world.counters["events.not_journalled"] > 700
