"""The life of a machine: every legal move as one literal table, with deadlines and the retry budget.

`step` is the only way a state changes, in live traffic and in replay alike. Booting is legal in every state and
never an act; nothing here erases, and what may erase needs an arm (`policy/arm.py`). `bootstrapd lifecycle`
prints the table as a diagram.
"""

from __future__ import annotations

from typing import Final

from bootstrapd.model import (
    Accepted,
    Adopted,
    Armed,
    BootAsked,
    Built,
    ChainSent,
    Claimed,
    Disarmed,
    Drifted,
    Enrolled,
    EraseStarted,
    Event,
    Failed,
    Forgotten,
    ImageSent,
    Installed,
    LocalBoot,
    Merged,
    NicSeen,
    Noticed,
    PhaseStarted,
    Progressed,
    Refused,
    Registered,
    Rejected,
    Reported,
    Retried,
    ScriptSent,
    State,
    TimedOut,
    TokenIssued,
)

(
    SEEN,
    ENROLLED,
    NETBOOTING,
    LIVE,
    REJECTED,
    CLAIMED,
    INSTALLING,
    REBOOTING,
    READY,
    DRIFTED,
    FAILED,
) = State

# event -> {state before: state after}; a state that is missing keeps the machine where it is.
MOVES: Final[dict[type[Event], dict[State, State]]] = {
    # Booting. What was under way in a live system that the machine left is for `Failed` to end.
    BootAsked: {NETBOOTING: ENROLLED, LIVE: ENROLLED, REJECTED: ENROLLED},
    Enrolled: {SEEN: ENROLLED},  # a renamed host is the same machine: ready ends by a person's word only
    Adopted: {SEEN: ENROLLED},
    ChainSent: {ENROLLED: NETBOOTING},
    ScriptSent: {ENROLLED: NETBOOTING, READY: NETBOOTING, DRIFTED: NETBOOTING, FAILED: NETBOOTING},
    ImageSent: {ENROLLED: NETBOOTING},
    LocalBoot: {},
    TimedOut: {NETBOOTING: ENROLLED},
    # The live system, judged.
    Registered: {ENROLLED: LIVE, NETBOOTING: LIVE, REJECTED: LIVE, FAILED: LIVE},
    Accepted: {REJECTED: LIVE},
    Rejected: {LIVE: REJECTED, FAILED: REJECTED},  # whose live system is up still
    # The install.
    Claimed: {LIVE: CLAIMED, FAILED: CLAIMED},
    PhaseStarted: {CLAIMED: INSTALLING},
    Built: {},
    EraseStarted: {},
    Progressed: {},
    Installed: {INSTALLING: REBOOTING},
    Failed: {LIVE: FAILED, CLAIMED: FAILED, INSTALLING: FAILED, REBOOTING: FAILED},
    Retried: {},
    # The system that runs from its own disk.
    Reported: {REBOOTING: READY, DRIFTED: READY, FAILED: READY},
    Drifted: {REBOOTING: DRIFTED, READY: DRIFTED, FAILED: DRIFTED},
    # What only adds to the story.
    Armed: {},
    Disarmed: {},
    Refused: {},
    Noticed: {},
    TokenIssued: {},
    NicSeen: {},
    Merged: {},
    Forgotten: {},
}

# How long a machine may stay in a state before it is moved on, in seconds (DESIGN.md, Deadlines). Where a state
# is missing, the machine's own next boot or a person is awaited, and `hosts why` says which.
DEADLINES_S: Final[dict[State, float]] = {
    NETBOOTING: 600.0,
    # Only while an install is due that cannot begin, as our own tools are missing (`Installs._too_long` looks).
    # A live system that nobody armed, or that waits for an approval, waits for a person, and may for days.
    LIVE: 60.0,
    CLAIMED: 6 * 3600.0,  # its turn among the installs
    INSTALLING: 2 * 3600.0,  # behind the phases' own, which `policy/install.py` has
    REBOOTING: 900.0,
}

RETRY_AFTER_S: Final = (60.0, 300.0, 900.0)  # after the first, second, third failure under one arm
ERASES_AN_ARM: Final = 3
ERASES_WITHIN_S: Final = 24 * 3600.0


def born(event: Event) -> State:
    """The state of a machine whose first event this is."""
    if isinstance(event, BootAsked):
        return ENROLLED if event.host else SEEN
    return SEEN


def step(before: State, event: Event) -> State:
    """The state after `event`; the same one where the table has no move."""
    if isinstance(event, Adopted) and event.ready:
        return READY
    if isinstance(event, ScriptSent) and event.template != "image":
        return ENROLLED if before is NETBOOTING else before  # it asks again and again: no deadline runs
    return MOVES[type(event)].get(before, before)
