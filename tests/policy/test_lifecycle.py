"""The table of moves is whole: every event has a row, every state can be left, nothing waits for ever."""

from __future__ import annotations

from typing import get_args

from bootstrapd.model import AnyEvent, State
from bootstrapd.policy.lifecycle import DEADLINES_S, MOVES


def test_every_event_has_a_row() -> None:
    assert set(MOVES) == set(get_args(AnyEvent))


def test_every_state_can_be_left() -> None:
    for state in State:
        assert any(moves.get(state, state) is not state for moves in MOVES.values()), state


def test_ready_is_left_only_by_a_person() -> None:
    leaving = {
        event.__name__
        for event, moves in MOVES.items()
        if moves.get(State.READY, State.READY) is not State.READY
    }
    assert leaving == {"Enrolled"}, "only another host.toml, written by a person, ends ready"


def test_what_waits_on_the_machine_has_a_deadline() -> None:
    assert set(DEADLINES_S) == {State.NETBOOTING}
