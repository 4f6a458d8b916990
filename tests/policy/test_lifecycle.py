"""The table of moves is whole: every event has a row, every state can be left, nothing waits for ever."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrapd.model import (
    AnyEvent,
    BootAsked,
    ChainSent,
    Claimed,
    Enrolled,
    EraseStarted,
    Event,
    ImageSent,
    Installed,
    LocalBoot,
    NicSeen,
    Noticed,
    PhaseStarted,
    Refused,
    Registered,
    ScriptSent,
    State,
    TimedOut,
    TokenIssued,
)
from bootstrapd.policy.effects import EFFECTS
from bootstrapd.policy.lifecycle import DEADLINES_S, MOVES

WIRE = (BootAsked, ChainSent, ImageSent, LocalBoot, NicSeen, Refused, TokenIssued, TimedOut, Noticed, Enrolled)
RESTING = {State.SEEN, State.ENROLLED, State.REJECTED, State.READY, State.DRIFTED, State.FAILED}
events = st.sampled_from(sorted(MOVES, key=lambda kind: kind.__name__))


def test_every_event_has_a_row_and_an_effect() -> None:
    assert set(MOVES) == set(EFFECTS) == set(get_args(AnyEvent))


def test_every_state_can_be_left() -> None:
    for state in State:
        assert any(moves.get(state, state) is not state for moves in MOVES.values()), state


@pytest.mark.parametrize("kind", [*WIRE, Registered])
def test_nothing_that_comes_over_the_wire_claims_installs_or_ends_ready(kind: type[Event]) -> None:
    """Asking, fetching and registering are never an act: whoever does it as often as he likes."""
    after = set(MOVES[kind].values())
    assert not after & {State.CLAIMED, State.INSTALLING, State.REBOOTING, State.READY}
    assert State.READY not in MOVES[kind]


def test_ready_ends_by_an_installers_script_only_which_only_a_new_consent_sends() -> None:
    """`decide` sends it to a machine with a system on its disk only under a fresh arm (test_boot)."""
    leaving = {kind for kind, moves in MOVES.items() if State.READY in moves}
    assert {kind.__name__ for kind in leaving} == {"ScriptSent", "Drifted"}
    assert ScriptSent in leaving


def test_installing_is_entered_from_claimed_only() -> None:
    into = {
        (kind, before)
        for kind, moves in MOVES.items()
        for before, to in moves.items()
        if to is State.INSTALLING
    }
    assert into == {(PhaseStarted, State.CLAIMED)}
    assert set(MOVES[Claimed]) == {State.LIVE, State.FAILED}
    assert set(MOVES[Installed]) == {State.INSTALLING}
    assert not MOVES[EraseStarted]


def test_what_does_not_rest_has_a_deadline() -> None:
    assert set(DEADLINES_S) == set(State) - RESTING


@given(st.sampled_from(State), st.lists(events, max_size=40))
def test_any_order_of_events_leads_to_a_state_of_the_table(state: State, kinds: list[type[Event]]) -> None:
    for kind in kinds:
        state = MOVES[kind].get(state, state)
    assert state in State
