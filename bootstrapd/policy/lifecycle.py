"""The life of a machine: every legal move as one literal table, with deadlines.

`step` is the only way a state changes, in live traffic and in replay alike. Booting is legal in every state and
never an act; nothing here erases. Rows for claiming and installing come with the install.
"""

from __future__ import annotations

from typing import Final

from bootstrapd.model import (
    Adopted,
    BootAsked,
    ChainSent,
    Enrolled,
    Event,
    Forgotten,
    ImageSent,
    LocalBoot,
    Merged,
    NicSeen,
    Noticed,
    Refused,
    Registered,
    ScriptSent,
    State,
    TimedOut,
    TokenIssued,
)

SEEN, ENROLLED, NETBOOTING, LIVE, READY = State

# event -> {state before: state after}; a state that is missing keeps the machine where it is.
MOVES: Final[dict[type[Event], dict[State, State]]] = {
    BootAsked: {NETBOOTING: ENROLLED, LIVE: ENROLLED},
    Enrolled: {SEEN: ENROLLED},  # a renamed host is the same machine: ready ends by a person's word only
    Adopted: {SEEN: ENROLLED},
    ChainSent: {ENROLLED: NETBOOTING},
    ScriptSent: {ENROLLED: NETBOOTING},
    ImageSent: {ENROLLED: NETBOOTING},
    Registered: {ENROLLED: LIVE, NETBOOTING: LIVE},
    TimedOut: {NETBOOTING: ENROLLED},
    LocalBoot: {},
    Refused: {},
    Noticed: {},
    TokenIssued: {},
    NicSeen: {},
    Merged: {},
    Forgotten: {},
}

# How long a machine may stay in a state before `TimedOut` moves it on, in seconds. Others wait for a person or
# for the machine's next boot, and say so in `hosts why`.
DEADLINES_S: Final[dict[State, float]] = {NETBOOTING: 600.0}


def born(event: Event) -> State:
    """The state of a machine whose first event this is."""
    if isinstance(event, BootAsked):
        return ENROLLED if event.host else SEEN
    return SEEN


def step(before: State, event: Event) -> State:
    """The state after `event`; the same one where the table has no move."""
    if isinstance(event, Adopted) and event.ready:
        return READY
    if isinstance(event, ScriptSent) and event.template == "wait":
        return ENROLLED if before is NETBOOTING else before  # it asks again and again: no deadline runs
    return MOVES[type(event)].get(before, before)
