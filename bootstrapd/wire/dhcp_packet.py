"""A DHCP packet: the fixed header and the options behind it, read from bytes and written to bytes.

Owns how options lie in a packet: RFC 2131 and 2132; `file` and `sname` lent to options (52); split and repeated
options RFC 3396. What they are called is `wire/dhcp_options.py`'s, what they say of the asker `wire/pxe.py`'s.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Struct

from bootstrapd.errors import WireError
from bootstrapd.model import Mac
from bootstrapd.wire.dhcp_options import END, MESSAGES, PAD, dotted
from bootstrapd.wire.dhcp_text import describe_option, text
from bootstrapd.wire.pxe import Options

REQUEST: Final = 1  # header field op
REPLY: Final = 2
NO_ADDRESS: Final = bytes(4)
MINIMUM: Final = 300  # bytes (RFC 1542 2.1); some firmware drops shorter packets (D5)

_HEADER: Final = struct.Struct("!4BIHH4s4s4s4s16s64s128sI")
_COOKIE: Final = 0x63825363
_OPTIONS_AT: Final = _HEADER.size
_ETHERNET: Final = (1, 6)
_BROADCAST_FLAG: Final = 0x8000
_USUAL: Final = 576  # bytes; longer packets are not remembered, so that hostile ones cannot fill memory
_IN_FILE: Final = 1  # bits of option 52
_IN_SNAME: Final = 2


class Packet(Struct, frozen=True):
    """A DHCP packet. Addresses are 4 bytes, `chaddr`, `sname` and `file` as long as in the header.

    `options` maps code to value, in the order of the packet, long ones joined. Where option 52 lent `file` or
    `sname` to options, these are in `options` too and the field is zero.
    """

    op: int
    xid: int = 0
    secs: int = 0
    flags: int = 0
    ciaddr: bytes = NO_ADDRESS
    yiaddr: bytes = NO_ADDRESS
    siaddr: bytes = NO_ADDRESS
    giaddr: bytes = NO_ADDRESS
    chaddr: bytes = bytes(16)
    sname: bytes = bytes(64)
    file: bytes = bytes(128)
    options: Options = msgspec.field(default_factory=Options)
    hops: int = 0

    @property
    def mac(self) -> Mac:
        return Mac.of(self.chaddr[:6])

    @property
    def message_type(self) -> int:
        """Option 53; 0 when absent or broken."""
        value = self.options.get(53, b"")
        return value[0] if len(value) == 1 else 0

    @property
    def server_id(self) -> str:
        """Option 54, which server is meant or speaks; "" when absent or broken."""
        value = self.options.get(54, b"")
        return dotted(value) if len(value) == 4 else ""

    @property
    def takes_from(self) -> str:
        """In a booting machine's REQUEST, the server whose offer it takes; "" in anything else."""
        return self.server_id if self.message_type == 3 and self.options.kind.is_boot else ""

    @property
    def vendor_class(self) -> str:
        """Option 60 as text; "" when absent."""
        return text(self.options.get(60, b""))

    @property
    def boot_file(self) -> str:
        """The file name or URL: option 67, which wins in edk2 and iPXE (D6), else the header's."""
        return text((self.options.get(67) or self.file).partition(b"\0")[0])


def parse(data: bytes) -> Packet:
    """The packet. WireError, and nothing else, for bytes that are none (D1); what follows END is ignored."""
    try:
        (
            op, htype, hlen, hops, xid, secs, flags,
            ciaddr, yiaddr, siaddr, giaddr, chaddr, sname, file, cookie,
        ) = _HEADER.unpack_from(data)  # fmt: skip
    except struct.error:
        raise WireError(f"{len(data)} bytes are too short for a DHCP packet") from None
    if cookie != _COOKIE:
        raise WireError("no DHCP magic cookie: BOOTP or not DHCP at all")
    if (htype, hlen) != _ETHERNET or op not in (REQUEST, REPLY):
        raise WireError(f"op {op}, hardware type {htype} of {hlen} bytes: not DHCP over Ethernet")
    read = _recent_options if len(data) <= _USUAL else parse_options
    options = read(data[_OPTIONS_AT:])
    if 52 in options:
        options, sname, file = _with_lent_fields(options, sname, file)
    return Packet(op, xid, secs, flags, ciaddr, yiaddr, siaddr, giaddr, chaddr, sname, file, options, hops)


@lru_cache(maxsize=2048)
def _recent_options(data: bytes) -> Options:
    """A machine asks the same several times (D14), so what its options say is read once."""
    return parse_options(data)


def parse_options(data: bytes) -> Options:
    """An options field as code -> value; a repeated option is one value in pieces (RFC 3396)."""
    options: dict[int, bytes] = {}
    at = 0
    size = len(data)
    try:
        while at < size and (code := data[at]) != END:
            if code == PAD:
                at += 1
                continue
            start = at + 2
            at = start + data[at + 1]
            if code in options:
                options[code] += data[start:at]
            else:
                options[code] = data[start:at]
    except IndexError:
        at = size + 1
    if at > size:
        raise WireError("an option runs past the end of the packet")
    return Options(options)


def _with_lent_fields(options: Options, sname: bytes, file: bytes) -> tuple[Options, bytes, bytes]:
    """Options, sname and file after option 52; `file` is read before `sname` (RFC 3396 section 5)."""
    joined = dict(options)
    lent = int.from_bytes(options[52][:1], "big")
    for bit, field in ((_IN_FILE, file), (_IN_SNAME, sname)):
        if lent & bit:
            for code, value in parse_options(field).items():
                joined[code] = joined.get(code, b"") + value
    return Options(joined), bytes(64) if lent & _IN_SNAME else sname, bytes(128) if lent & _IN_FILE else file


def build(packet: Packet) -> bytes:
    """The packet's bytes, options in their order, zeros behind END up to 300 bytes. Overloads nothing (D8)."""
    header = _HEADER.pack(
        packet.op, *_ETHERNET, packet.hops, packet.xid, packet.secs, packet.flags,
        packet.ciaddr, packet.yiaddr, packet.siaddr, packet.giaddr, packet.chaddr, packet.sname, packet.file,
        _COOKIE,
    )  # fmt: skip
    options = build_options((code, value) for code, value in packet.options.items() if code != 52)
    return (header + options + bytes((END,))).ljust(MINIMUM, b"\0")


def build_options(options: Iterable[tuple[int, bytes]]) -> bytes:
    """Options in their order, one of more than 255 bytes in pieces (RFC 3396), no END, no pads (D9, D10)."""
    return b"".join(bytes((code, len(piece))) + piece for code, value in options for piece in _pieces(value))


def _pieces(value: bytes) -> list[bytes]:
    return [value[at : at + 255] for at in range(0, len(value), 255)] or [b""]


def describe(packet: Packet) -> list[tuple[str, str]]:
    """The packet for a person: (field, value) in the order of the wire, each option named and decoded."""
    kind = MESSAGES.get(packet.message_type, "BOOTP")
    fields = [
        ("op", f"{'request' if packet.op == REQUEST else 'reply'} ({kind})"),
        ("xid", f"0x{packet.xid:08x}"),
        ("secs", str(packet.secs)),
        ("flags", f"0x{packet.flags:04x}{' broadcast' if packet.flags & _BROADCAST_FLAG else ''}"),
        *((name, dotted(getattr(packet, name))) for name in ("ciaddr", "yiaddr", "siaddr", "giaddr")),
        ("chaddr", packet.mac),
        *((name, text(getattr(packet, name).rstrip(b"\0"))) for name in ("sname", "file")),
    ]
    for code, value in packet.options.items():
        fields.extend(describe_option(code, value))
    return fields
