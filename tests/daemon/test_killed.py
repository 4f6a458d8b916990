"""kill -9 of the appliance at random moments of a four-machine install: the real journal, the real installer.

`BOOTSTRAPD_KILLS` says how many kills (a few without it), `BOOTSTRAPD_SEED` repeats the moments of a run.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import killed_judge as judge
import pytest
from killed_rack import TURN_S, Rack
from nats_stream import everything, in_order_and_once, running

from bootstrapd.edge import journal_file
from bootstrapd.model import Armed, Disarmed, EraseStarted, Failed, Reported
from bootstrapd.wire.envelope import PRIVATE

KILLS: Final = int(os.environ.get("BOOTSTRAPD_KILLS", "4"))
SEED: Final = int(os.environ.get("BOOTSTRAPD_SEED", "0")) or random.randrange(1, 10**9)
KILLS_A_ROUND: Final = 6
POWER_CUTS: Final = 0.15  # how often a machine loses its power with the appliance
STOPS: Final = 0.15  # how often it is being stopped in peace when it is killed
STOP_S: Final = 0.3
SLOW_DISKS: Final = 0.35  # how often no event of the last moments before the kill got onto the disk
SLOW_S: Final = 1.0
CRUEL: Final = 0.25  # how often a round kills as soon as a disk is written on: budgets are used up
CRUEL_S: Final = 10.0
MOODS: Final = ("", "", "slow", "slow", "deaf")  # of a machine's disko: it takes long, or hears no TERM either
ROUNDS_MAX: Final = KILLS * 3


@pytest.fixture
def rack(tmp_path: Path) -> Iterator[Rack]:
    rack = Rack(tmp_path)
    try:
        rack.start()
        yield rack
    finally:
        rack.close()


class Killer(threading.Thread):
    """Kills and starts the appliance when the dice say so, `kills` times at most, until it is called off."""

    def __init__(self, rack: Rack, dice: random.Random, usual_s: float, kills: int) -> None:
        super().__init__(daemon=True)
        self.moments: Counter[str] = Counter()
        self._rack = rack
        self._dice = dice
        self._usual_s = usual_s
        self._is_cruel = dice.random() < CRUEL
        self._kills = min(kills, KILLS_A_ROUND if self._is_cruel else dice.randint(1, KILLS_A_ROUND))
        self._called_off = threading.Event()

    def run(self) -> None:
        for number in range(self._kills):
            self._wait(self._dice.uniform(0, self._usual_s / (2 if number else 1)))
            if self._called_off.is_set():
                return
            self.moments[self._moment()] += 1
            self._kill()
            if self._dice.random() < POWER_CUTS:
                self._dice.choice(self._rack.machines).switch()
            self._rack.start()

    def _wait(self, seconds: float) -> None:
        """That long; in a cruel round until the next disk is being written on."""
        until = time.monotonic() + (CRUEL_S if self._is_cruel else seconds)
        written = self._rack.written()
        while time.monotonic() < until and not self._called_off.wait(TURN_S):
            if self._is_cruel and self._rack.written() > written:
                return

    def _kill(self) -> None:
        """At once; or as it stops, or as its disk has kept it waiting for a while."""
        with contextlib.ExitStack() as until_killed:
            if (way := self._dice.random()) < STOPS:
                self._rack.ask_to_stop()
                self._called_off.wait(self._dice.uniform(0, STOP_S))
            elif way < STOPS + SLOW_DISKS:
                until_killed.enter_context(self._rack.slow_disk())
                self._called_off.wait(self._dice.uniform(0, SLOW_S))
            self._rack.kill()

    def call_off(self) -> int:
        """How many kills there were."""
        self._called_off.set()
        self.join()
        return self.moments.total()

    def _moment(self) -> str:
        """What most of the machines were at; "starting" where there was no appliance to ask."""
        found = Counter(host["phase"] or host["state"] for host in self._rack.hosts())
        return " ".join(sorted(found)) or "starting"


def arm_all(rack: Rack) -> None:
    for machine in rack.machines:
        rack.arm(machine)
        if machine.state == "off":
            machine.switch()


async def test_kill_9_at_random_moments_of_an_install(rack: Rack) -> None:
    sys.stdout.write(f"\nBOOTSTRAPD_SEED={SEED} BOOTSTRAPD_KILLS={KILLS}\n")
    dice = random.Random(SEED)
    began = time.monotonic()
    arm_all(rack)
    rack.until_rest()
    usual_s = time.monotonic() - began
    faultless(rack, f"seed {SEED}, before the first kill")
    kills, rounds, moments = 0, 0, Counter[str]()
    while kills < KILLS and rounds < ROUNDS_MAX:
        rounds += 1
        dice.choice(rack.machines).write("mood", dice.choice(MOODS))
        killer = Killer(rack, dice, usual_s, KILLS - kills)
        killer.start()
        try:
            arm_all(rack)
            rack.until_rest()
        finally:
            kills += killer.call_off()
        rack.until_rest()
        moments += killer.moments
        faultless(rack, f"seed {SEED}, round {rounds}, {kills} kills")
    tell(rack, kills, rounds, moments, time.monotonic() - began)
    assert kills == KILLS
    await the_stream_is_the_journal(rack)


def faultless(rack: Rack, when: str) -> None:
    mistakes = judge.everything(rack)
    assert not mistakes, "\n".join([when, *mistakes])


def tell(rack: Rack, kills: int, rounds: int, moments: Counter[str], took_s: float) -> None:
    story = judge.read(rack)
    count = Counter(type(event) for event in story.events)
    exhausted = sum(isinstance(event, Disarmed) for event in story.events)
    lines = (
        f"{kills} kills in {rounds} rounds, {took_s:.0f} s, {len(story.events)} events",
        f"{count[Armed]} arms, {exhausted} of them used up; {count[EraseStarted]} erases",
        f"{count[Failed]} failures, {count[Reported]} reports, {len(rack.acknowledged)} acknowledgements",
        f"killed while: {dict(moments.most_common(12))}",
    )
    sys.stdout.write("\n".join(lines) + "\n")


async def the_stream_is_the_journal(rack: Rack) -> None:
    """Each published event once, each machine's in order; and nothing of the appliance is left."""
    rack.until(lambda: rack.api("/v1/status")[1]["nats"]["lag"] == 0)
    assert rack.stop() == 0
    assert rack.left() == {}
    events = journal_file.read(rack.state / "journal.db")
    async with running(rack.state / "nats", "killed") as server:
        published = await everything(server)
    in_order_and_once(published, [event.id for event in events if not isinstance(event, PRIVATE)])
