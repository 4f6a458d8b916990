"""The model as JSON: strict decoders, and an encoder that knows `Mac` and `Path`."""

from __future__ import annotations

import contextlib
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from bootstrapd.errors import WireError
from bootstrapd.model.hardware import Registration, Report
from bootstrapd.model.identity import Mac
from bootstrapd.model.life import AnyEvent, WaitingArm

T = TypeVar("T")


def _encode_other(value: object) -> object:
    if isinstance(value, (Mac, Path)):
        return str.__str__(value) if isinstance(value, Mac) else str(value)
    raise TypeError(f"{type(value).__name__} is not part of the model")


def _decode_other(kind: type, value: object) -> object:
    if kind is Mac and isinstance(value, str):
        return Mac.parse(value)
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"{kind.__name__} is not part of the model")


_JSON: Final = msgspec.json.Encoder(enc_hook=_encode_other)


def encode(value: object) -> bytes:
    """Any value of the model as JSON."""
    return _JSON.encode(value)


def decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """A strict JSON decoder for one type; it raises `msgspec.ValidationError` with the path of the mistake."""
    return msgspec.json.Decoder(kind, dec_hook=_decode_other)


def plain(value: object) -> Any:  # noqa: ANN401 - JSON's own shape, for templates and `--json`
    """The value as dicts, lists and scalars."""
    return msgspec.to_builtins(value, enc_hook=_encode_other, str_keys=True)


def indented(value: object) -> str:
    """The value as JSON for a terminal or a pipe: two blanks a step, and nothing but printable ASCII."""
    with contextlib.suppress(UnicodeEncodeError):  # a path of other bytes
        text = msgspec.json.format(encode(value), indent=2).decode()
        if text.isascii() and "\x7f" not in text:
            return text
    import json

    return json.dumps(plain(value), indent=2)  # ten times as slow, but it escapes


def _as_written(kind: type, value: object) -> object:
    """A MAC as it once came off the wire, however odd: it must not keep a journal from being read."""
    if kind is Mac:
        return Mac(value)
    raise TypeError(f"{kind.__name__} is in no event")


def written(kind: type[T]) -> msgspec.json.Decoder[T]:
    """A decoder for what we wrote ourselves: the journal and its snapshots."""
    return msgspec.json.Decoder(kind, dec_hook=_as_written)


@cache
def event_decoder() -> msgspec.json.Decoder[AnyEvent]:
    """Made when first wanted, as the ones below: a command that lists hosts reads no event."""
    return msgspec.json.Decoder(AnyEvent, dec_hook=_as_written)


@cache
def _registrations() -> msgspec.json.Decoder[Registration]:
    return decoder(Registration)


def read_registration(body: bytes) -> Registration:
    """The body of `POST /v1/register`; WireError says what is wrong with it and where."""
    return _read(_registrations(), body, "registration")


def read_report(body: bytes) -> Report:
    """The body of `POST /v1/report`; WireError says what is wrong with it and where."""
    return _read(decoder(Report), body, "report")


def read_waiting_arm(body: bytes) -> WaitingArm:
    """The content of an arm's file; WireError says what is wrong with it and where."""
    return _read(decoder(WaitingArm), body, "arm")


def _read(kind: msgspec.json.Decoder[T], body: bytes, what: str) -> T:
    try:
        return kind.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise WireError(f"the {what} cannot be read: {error}") from None
