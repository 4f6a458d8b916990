"""TFTP packets, the names machines ask for, and what of their options we take (RFC 1350, 2347-2349, 7440).

`parse` and `build` turn datagrams into values and back; `clean_path` makes one harmless path of the many forms
that firmware sends; `negotiate` answers the options of a read request. The sending itself is `tftp_transfer`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from bootstrapd.errors import WireError

RRQ, WRQ, DATA, ACK, ERROR, OACK = range(1, 7)

# Codes of an ERROR packet (RFC 1350 appendix, RFC 2347).
UNDEFINED, NOT_FOUND, ACCESS_VIOLATION, _DISK_FULL, ILLEGAL_OPERATION = range(5)

HEADER_BYTES: Final = 4  # of DATA and ACK
DEFAULT_BLKSIZE: Final = 512
MIN_BLKSIZE: Final = 8  # RFC 2348
MAX_WINDOWSIZE: Final = 65535  # RFC 7440

Options = tuple[tuple[str, str], ...]


class Rrq(Struct, frozen=True):
    """A read request. `options` are name and value as sent, in order; names compare without case (T3)."""

    file: bytes
    mode: str = "octet"
    options: Options = ()


class Wrq(Struct, frozen=True):
    """A write request; never granted (T14)."""

    file: bytes
    mode: str = "octet"
    options: Options = ()


class Data(Struct, frozen=True):
    block: int
    payload: bytes


class Ack(Struct, frozen=True):
    block: int


class Error(Struct, frozen=True):
    code: int
    text: str = ""


class Oack(Struct, frozen=True):
    options: Options


Packet = Rrq | Wrq | Data | Ack | Error | Oack


def parse(data: bytes) -> Packet:
    """The packet in a datagram; WireError for anything else. Bytes after an ACK or an ERROR are let be."""
    if len(data) < 2:
        raise WireError(f"{len(data)} bytes are no TFTP packet")
    opcode = int.from_bytes(data[:2], "big")
    reader = _READERS.get(opcode)
    if reader is None:
        raise WireError(f"TFTP has no opcode {opcode}")
    return reader(data)


def build(packet: Packet) -> bytes:
    """The packet as a datagram."""
    match packet:
        case Rrq(file, mode, options):
            return _head(RRQ) + _strings(file, mode.encode("latin-1"), *_flat(options))
        case Wrq(file, mode, options):
            return _head(WRQ) + _strings(file, mode.encode("latin-1"), *_flat(options))
        case Data(block, payload):
            return _head(DATA, block) + payload
        case Ack(block):
            return _head(ACK, block)
        case Error(code, text):
            return _head(ERROR, code) + _strings(text.encode("latin-1", "replace"))
        case Oack(options):
            return _head(OACK) + _strings(*_flat(options))


def _head(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(2, "big") for number in numbers)


def _strings(*values: bytes) -> bytes:
    return b"".join(value + b"\0" for value in values)


def _flat(options: Options) -> Iterable[bytes]:
    return (text.encode("latin-1") for option in options for text in option)


def _read_rrq(data: bytes) -> Rrq:
    return Rrq(*_request(data))


def _read_wrq(data: bytes) -> Wrq:
    return Wrq(*_request(data))


def _request(data: bytes) -> tuple[bytes, str, Options]:
    file, *rest = data[2:].split(b"\0")
    if len(rest) < 2:  # the end of the mode is a NUL too, so an empty string follows it
        raise WireError("a TFTP request without file name and mode")
    return file, rest[0].decode("latin-1"), _pairs(rest[1:])


def _pairs(strings: list[bytes]) -> Options:
    """Names and values in turn. A name without a value, and padding, end the list."""
    texts = [text.decode("latin-1") for text in strings[:-1]]
    pairs = zip(texts[::2], texts[1::2], strict=False)
    return tuple(pair for pair in pairs if pair[0])


def _number(data: bytes) -> int:
    if len(data) < HEADER_BYTES:
        raise WireError("a TFTP packet without its number")
    return int.from_bytes(data[2:4], "big")


def _read_error(data: bytes) -> Error:
    return Error(_number(data), data[4:].partition(b"\0")[0].decode("latin-1"))


_READERS: Final[dict[int, Callable[[bytes], Packet]]] = {
    RRQ: _read_rrq,
    WRQ: _read_wrq,
    DATA: lambda data: Data(_number(data), data[4:]),
    ACK: lambda data: Ack(_number(data)),
    ERROR: _read_error,
    OACK: lambda data: Oack(_pairs(data[2:].split(b"\0"))),
}


# edk2 puts a whole URL into its read request when DHCP gave it one.
_URL: Final = re.compile(r"\A[a-z][a-z0-9+.-]*://[^/]*", re.IGNORECASE)


def clean_path(raw: bytes) -> str:
    """The path asked for, relative to our root whatever its form (T10, T11): `a/b.efi`, "" for the root itself.

    Some ROMs append the byte after DHCP option 67, the end mark 0xFF, to the name. What is not UTF-8 or not
    printable becomes U+FFFD: such a name is in no table of ours, and is safe in a log.
    """
    text = _URL.sub("", raw.rstrip(b"\xff").decode("utf-8", "replace").replace("\\", "/"))
    steps: list[str] = []
    for step in text.split("/"):
        if step == "..":
            del steps[-1:]
        elif step not in ("", "."):
            steps.append(step)
    path = "/".join(steps)
    if path.isprintable():
        return path
    return "".join(char if char.isprintable() else "\ufffd" for char in path)


class Caps(Struct, frozen=True):
    """The most that we take of what a client may ask for. `windowsize` 1 turns windows off."""

    blksize: int
    windowsize: int


class Agreed(Struct, frozen=True):
    """How a transfer goes. Empty `oack`: nothing was agreed, so DATA 1 is the answer (T5)."""

    blksize: int = DEFAULT_BLKSIZE
    windowsize: int = 1
    timeout_s: int = 0  # 0: ours
    oack: Options = ()
    knows_size: bool = False  # the OACK has tsize


def negotiate(asked: Options, size: int, caps: Caps) -> Agreed:
    """What of the options asked for we take: each we can honour and none unasked (T2), the first of doubles.

    An impossible value (`blksize` 7, `abc`) is left out of the OACK, as RFC 2347 asks of options that cannot
    be taken: the client then gets the default, and boots. ERROR 8 would end its boot. A value too large gets
    ours, smaller, where the option's RFC allows that (2348 and 7440 do; 2349's timeout is taken or left).
    """
    taken: dict[str, int] = {}
    oack: list[tuple[str, str]] = []
    for spelling, text in asked:
        name = spelling.lower()
        rule = _OPTIONS.get(name)
        value = rule(_decimal(text), size, caps) if rule and name not in taken else None
        if value is not None:
            taken[name] = value
            oack.append((spelling, str(value)))
    return Agreed(
        blksize=taken.get("blksize", DEFAULT_BLKSIZE),
        windowsize=taken.get("windowsize", 1),
        timeout_s=taken.get("timeout", 0),
        oack=tuple(oack),
        knows_size="tsize" in taken,
    )


def _decimal(text: str) -> int:
    """-1 for what is no number."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else -1


def _blksize(value: int, _size: int, caps: Caps) -> int | None:
    return min(value, caps.blksize) if value >= MIN_BLKSIZE else None


def _windowsize(value: int, _size: int, caps: Caps) -> int | None:
    """Windows off means that we never heard of RFC 7440: every firmware knows such servers."""
    if caps.windowsize == 1 < value:
        return None
    return min(value, caps.windowsize) if 1 <= value <= MAX_WINDOWSIZE else None


def _timeout(value: int, _size: int, _caps: Caps) -> int | None:
    return value if 1 <= value <= 255 else None


def _tsize(_value: int, size: int, _caps: Caps) -> int | None:
    return size


_OPTIONS: Final[dict[str, Callable[[int, int, Caps], int | None]]] = {
    "blksize": _blksize,
    "tsize": _tsize,
    "timeout": _timeout,
    "windowsize": _windowsize,
}
