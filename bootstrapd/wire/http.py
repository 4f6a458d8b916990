"""The bits of HTTP that the boot listener reads itself: request targets, byte ranges, entity tags.

Everything else of the protocol is aiohttp's. Follows RFC 9112 3.2 (targets) and RFC 9110 13.1, 14.1 (tags,
ranges). Nothing here opens a file: a path that is safe to look up comes out, or WireError.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, unquote_to_bytes

from msgspec import Struct

from bootstrapd.errors import WireError

MAX_QUERY_FIELDS: Final = 32

_ABSOLUTE: Final = re.compile(r"https?://[^/?]*", re.IGNORECASE)
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f\\]")
_RANGE: Final = re.compile(r"bytes=[ \t]*([0-9]{0,20})-([0-9]{0,20})[ \t]*", re.IGNORECASE)


class Target(Struct, frozen=True):
    """What a request names. `path` has no leading slash, no empty part, no `..`, nothing percent-encoded."""

    path: str
    query: dict[str, str] = {}


def read_target(raw: str) -> Target:
    """The target of a request line, also as proxies send it; `//` and `/./` are one slash (rule H7).

    WireError: it climbs (`..`), or holds a NUL, a control character, a backslash or bytes that are not UTF-8.
    """
    path, _, query = _ABSOLUTE.sub("", raw, count=1).partition("?")
    try:
        text = unquote_to_bytes(path).decode()
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError as error:
        raise WireError("the path is not UTF-8, or has too many query fields") from error
    if not raw.startswith("/") and path == raw:
        raise WireError("the path does not begin with a slash")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts or _UNSAFE.search(text):
        raise WireError("the path climbs, or holds a control character or a backslash")
    return Target("/".join(parts), dict(fields))


class Selection(Struct, frozen=True):
    """What of a file answers a request: 200 all of it, 206 a part, 304 nothing new, 416 no such part."""

    status: int
    part: range = range(0)


def select(method: str, headers: Mapping[str, str], size: int, etag: str) -> Selection:
    """What of a file of `size` bytes with this strong tag (quotes and all) a GET or HEAD is given."""
    if matches(headers.get("If-None-Match", ""), etag):
        return Selection(304)
    whole = Selection(200, range(size))
    if method != "GET" or headers.get("If-Range", etag) != etag:  # only a GET has ranges (RFC 9110 14.2)
        return whole
    part = read_range(headers.get("Range", ""), size)
    if part is None:
        return whole
    return Selection(206, part) if part else Selection(416)


def read_range(header: str, size: int) -> range | None:
    """The bytes that a Range header asks of a file of `size` bytes; an empty range cannot be had (416).

    None: no header, another unit, several ranges, nonsense: the whole file is the answer (RFC 9110 14.2).
    """
    found = _RANGE.fullmatch(header)
    if not found or found[0].endswith("=-"):
        return None
    first, last = found[1], found[2]
    if not first:
        return range(max(0, size - int(last)), size) if last else None
    if last and int(last) < int(first):
        return None
    return range(int(first), min(int(last) + 1, size) if last else size)


def matches(header: str, etag: str) -> bool:
    """Is `etag` (with its quotes) in an If-None-Match list? Compared weakly, as RFC 9110 13.1.2 wants it."""
    tags = (tag.strip().removeprefix("W/") for tag in header.split(","))
    return any(tag in ("*", etag) for tag in tags)
