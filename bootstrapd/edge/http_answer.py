"""How the boot listener writes an answer: heads and short bodies; and how it reads a body.

No decisions: `edge/http` makes those; files go by `http_sendfile`. Content-Length comes always, once and first;
nothing is ever chunked.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import BinaryIO, Final

from aiohttp import web
from msgspec import Struct

from bootstrapd.edge.http_connection import SERVER
from bootstrapd.edge.regular import open_regular
from bootstrapd.model import FileReply, TextReply, decoder

# By the end of the name, before the reply's own type: edk2 refuses what neither tells it (H8).
CONTENT_TYPES: Final = MappingProxyType(
    {
        ".efi": "application/efi",
        ".img": "application/vnd.efi-img",
        ".ipxe": "text/plain; charset=utf-8",
        ".iso": "application/vnd.efi-iso",
    }
)
TEXT: Final = "text/plain; charset=utf-8"
JSON: Final = "application/json"
MAX_REASON: Final = 300  # characters
_CODE: Final = re.compile("[A-Z][A-Z0-9_]{0,39}")


class _Coded(Struct):
    code: str = ""


_CODED: Final = decoder(_Coded)


def open_file(reply: FileReply) -> tuple[BinaryIO, int, str]:
    """The file, its size and its tag: the sha256 where known. OSError: not there, or not what was said."""
    try:
        file = open_regular(reply.path)
    except ValueError as error:
        raise OSError(str(error)) from None
    info = os.fstat(file.fileno())
    if reply.size not in (-1, info.st_size):
        file.close()
        raise OSError(f"expected a file of {reply.size} bytes, found {info.st_size}: replaced or cut short")
    return file, info.st_size, f'"{reply.etag or f"{info.st_mtime_ns:x}-{info.st_size:x}"}"'


def type_of(reply: FileReply | TextReply) -> str:
    """The Content-Type: by the name's ending, else the reply's own."""
    return CONTENT_TYPES.get(os.path.splitext(reply.name)[1].lower(), reply.content_type)  # noqa: PTH122 - text


def headers(request: web.BaseRequest, length: int, kind: str, *, is_last: bool = False) -> dict[str, str]:
    """Content-Length first: a shim of the 16.1 era reads the first header in its place (H10).

    iPXE keeps a connection only when it is told to (ipxe httpcore.c, HTTP_RESPONSE_KEEPALIVE).
    """
    return {
        "Content-Length": str(length),
        "Content-Type": kind,
        "Connection": "keep-alive" if request.keep_alive and not is_last else "close",
        "Server": SERVER,
    }


async def send(
    request: web.BaseRequest,
    status: int,
    body: bytes,
    kind: str,
    *,
    is_last: bool = False,
    code: str = "",
    extra: Mapping[str, str] = MappingProxyType({}),
) -> web.StreamResponse:
    """Write a whole short answer; `is_last` closes the connection behind it.

    A refusal's `code` also stands in the status line: busybox's wget shows nothing else of a 4xx.
    """
    head = headers(request, len(body), kind, is_last=is_last) | dict(extra)
    if status == 304:  # RFC 9110 15.4.5: has no body, and so no length but the file's own
        del head["Content-Length"], head["Content-Type"]
    reason = code if status >= 400 and _CODE.fullmatch(code) else None  # None: HTTP's own words
    response = web.Response(status=status, reason=reason, body=body, headers=head)
    if is_last:
        response.force_close()
    await response.prepare(request)
    await response.write_eof()
    return response


async def read_body(request: web.BaseRequest, limit: int) -> bytes | None:
    """The body; None when it is longer than `limit`."""
    if (request.content_length or 0) > limit:
        return None
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")  # else curl waits a second
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)


def code_of(answer: bytes) -> str:
    """The `code` of a JSON answer of ours, "" where it has none."""
    return _CODED.decode(answer).code


def line(text: str) -> bytes:
    """A reason as the one line of a plain text body."""
    return " ".join(text.split())[:MAX_REASON].encode() + b"\n"
