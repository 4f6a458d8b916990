"""JSON Schemas of everything that goes over NATS, made from the model: docs/events/ holds them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from bootstrapd.model import Event, Mac
from bootstrapd.wire import command, envelope

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def schemas() -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, schema) of each event type, each command, and the reply."""
    for kind in envelope.PUBLIC:
        yield envelope.event_type(kind), _schema(_message(kind), envelope.event_type(kind), kind.__doc__)
    for subject, asked in command.SUBJECTS.items():
        if asked is not None:
            yield f"command.{subject}", _schema(asked, f"command.{subject}", asked.__doc__)
    yield "command.ack", _schema(command.Ack, "command.ack", command.Ack.__doc__)


def _message(kind: type[Event]) -> Any:  # noqa: ANN401 - a type made here
    """The envelope around what only this event has."""
    own = {field.name: field for field in msgspec.structs.fields(kind)}
    data = msgspec.defstruct(
        f"{kind.__name__}Data", [(name, own[name].type) for name in envelope.OWN_FIELDS[kind]], kw_only=True
    )
    return envelope.Envelope[data]  # type: ignore[valid-type]


def _schema(kind: Any, title: str, description: str | None) -> dict[str, Any]:  # noqa: ANN401 - any type
    made = msgspec.json.schema(kind, schema_hook=_other)
    return {"$schema": DIALECT, "title": title, "description": description or "", **_for_others(made)}


def _for_others(made: Any) -> Any:  # noqa: ANN401 - JSON
    """Without the names of Python classes, and with patterns as ECMA 262 writes them."""
    if isinstance(made, dict):
        return {
            key: _for_others(value) for key, value in made.items() if key != "title" or isinstance(value, dict)
        }
    if isinstance(made, list):
        return [_for_others(value) for value in made]
    return made.replace(r"\Z", "$") if isinstance(made, str) else made


def _other(kind: type) -> dict[str, Any]:
    if kind is Mac:
        return {"type": "string", "pattern": "^([0-9a-f]{2}:){5}[0-9a-f]{2}$"}
    if kind is Path:
        return {"type": "string"}
    if kind is msgspec.Raw:
        return {}
    raise NotImplementedError(kind)
