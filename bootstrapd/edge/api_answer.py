"""What the operator's API answers with: views as JSON, and each kind of failure as its status code.

Refused 409, configuration 400, environment 503, not there 404, our bug 500.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from aiohttp import web

from bootstrapd.errors import BootstrapdError, ConfigError, EdgeError, RefusedError
from bootstrapd.model import decoder, encode
from bootstrapd.model.view import Failure

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)


class NotThereError(Exception):
    """404, with its sentence; aiohttp's own would put what a peer typed into the status line."""


def there(found: T | None, otherwise: str) -> T:
    """What was found; a 404 with the sentence `otherwise`."""
    if found is None:
        raise NotThereError(otherwise)
    return found


def answer(value: object, status: int = 200) -> web.Response:
    """Any value of the model as JSON."""
    return web.Response(body=encode(value), status=status, content_type="application/json")


def failed(status: int, error: str, code: str, mistakes: tuple[str, ...] = ()) -> web.Response:
    """Every answer that is no success."""
    return answer(Failure(error=error, code=code, mistakes=mistakes), status)


def body(data: bytes, kind: type[T]) -> T:
    """A request's body; ConfigError says what is wrong with it."""
    try:
        return decoder(kind).decode(data)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the request's body is not what this route takes: {error}") from None


def word(kind: type[E], text: str | None) -> E | None:
    """One of the words of `kind`, None for none; ConfigError lists them."""
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        choices = ", ".join(member.value for member in kind)
        raise ConfigError(f"{text!r} is not a {kind.__name__.lower()}: expected one of {choices}") from None


def blame(error: BootstrapdError) -> tuple[int, str, str, tuple[str, ...]]:
    """Status, sentence, code and mistakes: whose fault it is."""
    match error:
        case RefusedError():
            return 409, str(error), error.code, ()
        case ConfigError():
            return 400, str(error), "CONFIG", error.mistakes
        case EdgeError():
            return 503, str(error), "ENVIRONMENT", ()
    return 500, str(error), "BUG", ()
