"""`bootstrapd lifecycle`: the diagram says what `policy.lifecycle` does."""

from __future__ import annotations

import json
import re

from bootstrapd.cli.lifecycle import diagram
from bootstrapd.model import State
from bootstrapd.policy.lifecycle import DEADLINES_S, MOVES

from .conftest import Run

ARROW = re.compile(r"^    (\S+) --> (\S+): (.*)$", re.MULTILINE)


def arrows() -> set[tuple[str, str, str]]:
    return {
        (event.split()[0], before, after)
        for before, after, events in ARROW.findall(diagram())
        for event in events.split(", ")
        if before != "[*]"
    }


def test_every_move_of_the_table_is_an_arrow_and_no_other_but_one() -> None:
    moves = {(e.__name__, before, after) for e, moves in MOVES.items() for before, after in moves.items()}
    assert arrows() - moves == {("ScriptSent", "netbooting", "enrolled")}  # a script that is no image's
    assert moves - arrows() == set()


def test_every_state_can_be_reached_and_left() -> None:
    assert {after for _, after, _ in ARROW.findall(diagram())} == set(State)
    assert {before for _, before, _ in arrows()} == set(State)


def test_every_deadline_is_noted() -> None:
    assert all(f"note right of {state}: at most" in diagram() for state in DEADLINES_S)


def test_it_is_printed_and_told_as_json(run: Run) -> None:
    assert run("lifecycle").out == diagram()
    told = json.loads(run("lifecycle", "--json").out)
    assert {"event": "Claimed", "before": "live", "after": "claimed"} in told["moves"]
    assert told["deadlines_s"]["rebooting"] == DEADLINES_S[State.REBOOTING]
