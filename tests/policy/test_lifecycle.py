"""The table of moves is whole: every event has a row, every state can be left, nothing waits for ever."""

from __future__ import annotations

from typing import get_args

from bootstrapd.model import AnyEvent, State
from bootstrapd.policy.lifecycle import DEADLINES_S, MOVES


def test_every_event_has_a_row() -> None:
    assert set(MOVES) == set(get_args(AnyEvent))


def test_every_state_can_be_left() -> None:
    """`ready` by a person's word only: `machines forget`, which takes the whole record."""
    for state in set(State) - {State.READY}:
        assert any(moves.get(state, state) is not state for moves in MOVES.values()), state


def test_nothing_on_the_wire_and_nothing_in_a_file_ends_ready() -> None:
    assert all(State.READY not in moves for moves in MOVES.values())


def test_what_waits_on_the_machine_has_a_deadline() -> None:
    assert set(DEADLINES_S) == {State.NETBOOTING}
