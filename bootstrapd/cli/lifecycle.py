"""`bootstrapd lifecycle`: the table of `policy/lifecycle.py` as a Mermaid state diagram."""

from __future__ import annotations

from collections.abc import Iterator

import click

from bootstrapd.cli.site import json_option


@click.command()
@json_option
def lifecycle(*, as_json: bool) -> None:
    """Print the life of a machine as a Mermaid state diagram (docs/lifecycle.md shows it).

    \b
    bootstrapd lifecycle
    """
    from bootstrapd.cli import out

    if as_json:
        out.as_json(_table())
    else:
        click.echo(diagram(), nl=False)


def diagram() -> str:
    """The diagram, one line a move, with the events that make it."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    from bootstrapd.policy.lifecycle import DEADLINES_S

    yield "stateDiagram-v2"
    yield "    [*] --> seen: BootAsked by an unknown machine"
    yield "    [*] --> enrolled: BootAsked by a host's machine"
    events: dict[tuple[str, str], list[str]] = {}
    for event, before, after in _moves():
        events.setdefault((before, after), []).append(event)
    for (before, after), names in sorted(events.items(), key=lambda move: _order(move[0])):
        yield f"    {before} --> {after}: {', '.join(names)}"
    yield "    note right of ready: Adopted with --ready leads here from every state"
    for state, seconds in DEADLINES_S.items():
        yield f"    note right of {state}: at most {_span(seconds)}"


def _moves() -> Iterator[tuple[str, str, str]]:
    """Event, state before, state after: the table's rows, and the moves of a script that is not an image's."""
    from bootstrapd.model import ScriptSent, State
    from bootstrapd.policy.lifecycle import MOVES, step

    for event, moves in MOVES.items():
        name = "ScriptSent (image)" if event.__name__ == "ScriptSent" else event.__name__
        yield from ((name, before, after) for before, after in moves.items())
    other = ScriptSent(id="", machine="", at=0.0, template="wait")
    yield from (
        ("ScriptSent (other)", state, step(state, other)) for state in State if step(state, other) != state
    )


def _order(move: tuple[str, str]) -> tuple[int, int]:
    from bootstrapd.model import State

    states = list(State)
    return states.index(State(move[0])), states.index(State(move[1]))


def _span(seconds: float) -> str:
    return f"{seconds / 3600:g} h" if seconds >= 3600 else f"{seconds / 60:g} min"


def _table() -> dict[str, object]:
    from bootstrapd.policy.lifecycle import DEADLINES_S

    moves = [{"event": event, "before": before, "after": after} for event, before, after in _moves()]
    return {"moves": moves, "deadlines_s": {str(state): seconds for state, seconds in DEADLINES_S.items()}}
