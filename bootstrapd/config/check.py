"""TOML text into typed values, collecting every mistake instead of stopping at the first.

msgspec converts the whole table at once, and fast; only when that fails is the table walked key by key, so that
one run tells a person everything. Every field of a type read here has a default, so a value always comes out.
A constrained type says in words what it expects: `Annotated[int, Meta(ge=1, description="a port number")]`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable
from types import UnionType
from typing import Annotated, Any, Final, Literal, TypeVar, cast, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from bootstrapd.errors import ConfigError
from bootstrapd.model import Mac

T = TypeVar("T", bound=Struct)
Table = dict[str, Any]  # what tomllib gives
Report = Callable[[str, str], None]  # takes one mistake: the dotted key ("" = the whole file) and a sentence

_BARE_KEY: Final = re.compile("[A-Za-z0-9_-]+")
_OMIT: Final = object()
_WORDS: Final[dict[object, str]] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "a table",
    list: "a list",
    tuple: "a list",
    Mac: "a MAC address as text",
}


def toml(text: str, report: Report) -> Table | None:
    """The text as a table; None after a syntax error, which is reported with its line."""
    try:
        return tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, and int()'s limit of digits
        report("", f"is not TOML: {error}")
    except RecursionError:
        report("", "is nested too deeply to be read")
    return None


def read(kind: type[T], table: Table, report: Report) -> T:
    """The table as `kind`; wrong and unknown keys are reported and left at their defaults."""
    try:
        return msgspec.convert(table, kind, dec_hook=_decode_other)
    except (msgspec.ValidationError, ConfigError):
        return _salvage_struct(kind, table, "", report)


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """'unknown key "prot"; did you mean "port"?', or the list of what is known when nothing is near."""
    from difflib import get_close_matches

    known = sorted(known)
    near = get_close_matches(name, known, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(known) or 'none'}"
    return f"unknown {what} {_as_toml(name)}; {hint}"


def _decode_other(kind: type, value: object) -> object:
    if kind is Mac and isinstance(value, str):
        return Mac.parse(value)
    raise TypeError(f"not {_WORDS.get(kind, kind.__name__)}")


def _salvage(kind: object, value: object, key: str, report: Report) -> object:
    if get_origin(kind) is UnionType and get_args(kind)[1:] == (type(None),):
        kind = get_args(kind)[0]  # a table that may be left out: here it is
    origin = get_origin(kind) or kind
    if isinstance(origin, type) and isinstance(value, dict) and issubclass(origin, Struct):
        return _salvage_struct(origin, value, key, report)
    if origin is tuple and isinstance(value, list):
        item_kind = get_args(kind)[0]
        items = [_salvage(item_kind, item, f"{key}[{at}]", report) for at, item in enumerate(value)]
        kept = tuple(item for item in items if item is not _OMIT)
        return kept if kept or not value else _OMIT  # not an empty list, which nobody wrote
    if origin is dict and isinstance(value, dict):
        return _salvage_dict(kind, value, key, report)
    return _salvage_leaf(kind, value, key, report)


def _salvage_dict(kind: object, table: Table, key: str, report: Report) -> object:
    key_kind, item_kind = get_args(kind)
    kept = {}
    for name, item in table.items():
        path = _path(key, name)
        if _salvage_leaf(key_kind, name, path, report) is not _OMIT:
            kept[name] = _salvage(item_kind, item, path, report)
    return {name: item for name, item in kept.items() if item is not _OMIT}


def _salvage_struct(kind: type[T], table: Table, key: str, report: Report) -> T:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    kept = {}
    for name, item in table.items():
        path = _path(key, name)
        if name in fields:
            kept[fields[name].name] = _salvage(fields[name].type, item, path, report)
        else:
            report(path, unknown("key", name, fields))
    return kind(**{name: item for name, item in kept.items() if item is not _OMIT})


def _salvage_leaf(kind: object, value: object, key: str, report: Report) -> object:
    try:
        return msgspec.convert(value, cast("type", kind), dec_hook=_decode_other)
    except ConfigError as error:
        report(key, str(error))
    except msgspec.ValidationError:
        report(key, f"expected {_expectation(kind)}, found {_as_toml(value)}")
    return _OMIT


def _path(key: str, name: str) -> str:
    step = name if _BARE_KEY.fullmatch(name) else _as_toml(name)
    return f"{key}.{step}" if key else step


def _expectation(kind: object) -> str:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        words = (note.description for note in args[1:] if isinstance(note, Meta))
        return next((text for text in words if text), None) or _expectation(args[0])
    if origin is Literal:
        return f"one of {', '.join(_as_toml(arg) for arg in args if arg)}"
    if origin is UnionType:
        return " or ".join(_expectation(arg) for arg in args if arg is not type(None))
    return _WORDS.get(origin or kind, "a table")


def _as_toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return '"' + value.encode("unicode_escape").decode()[:80].replace('"', '\\"') + '"'
        case dict():
            return "a table"
        case list():
            return "a list"
        case int() if value.bit_length() > 128:
            return "a very large number"
        case _:
            return str(value)[:80]
