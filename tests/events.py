"""One event of each kind, with something in every field."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal, get_args, get_origin

import msgspec

from bootstrapd.model import AnyEvent, Event, Mac

KINDS: tuple[type[Event], ...] = get_args(AnyEvent)


def example(kind: type[Event], number: int = 1, **fields: Any) -> Any:
    """An event of this kind; its id is made of the number."""
    made = {field.name: _value(field.type, field.name) for field in msgspec.structs.fields(kind)}
    machine = {"machine": "" if kind.__name__ in {"Armed", "Disarmed"} else "525400aabb01"}
    common = {"id": f"event-{number:06}", "at": 1_700_000_000.25 + number, "boot": "", "run": ""}
    return kind(**made | machine | common | fields)


def _value(kind: Any, name: str) -> Any:
    args, origin = get_args(kind), get_origin(kind)
    if origin is tuple:
        return (_value(args[0], name),)
    if args and type(None) in args:
        return _value(args[0], name)
    if origin is Literal:
        return args[0]
    if args:  # Annotated
        return _value(args[0], name)
    if kind is Mac:
        return Mac("52:54:00:aa:bb:01")
    if issubclass(kind, Enum):
        return next(iter(kind))
    if issubclass(kind, msgspec.Struct):
        return kind(**{field.name: _value(field.type, field.name) for field in msgspec.structs.fields(kind)})
    return {str: f"some {name}", int: 3, float: 2.5, bool: True}[kind]
