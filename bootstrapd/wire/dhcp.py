"""Booting over DHCP: which packets ask for a boot, what they say of the asker, and how an answer is written.

The face of the DHCP codec: packets themselves are `wire/dhcp_packet.py`'s, what their options say of the asker
`wire/pxe.py`'s, names of options `wire/dhcp_options.py`'s. What to answer is policy's. The rules of the wire
(D, P, I, H, R) are named where they are kept; FIRMWARE.md has what real firmware sent.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from typing import Final

from bootstrapd.errors import RefusedError
from bootstrapd.model import Ask, DhcpReply, Door, Mac
from bootstrapd.wire.dhcp_options import END, dotted
from bootstrapd.wire.dhcp_packet import (
    MINIMUM,
    NO_ADDRESS,
    REPLY,
    REQUEST,
    Packet,
    build,
    build_options,
    describe,
    parse,
)
from bootstrapd.wire.pxe import OFFER, Options

__all__ = [
    "BROADCAST",
    "REPLY",
    "REQUEST",
    "Options",
    "Packet",
    "Template",
    "build",
    "build_reply",
    "describe",
    "parse",
    "read_ask",
    "refusal",
    "reply_address",
]

SERVER_PORT: Final = 67
CLIENT_PORT: Final = 68
BROADCAST: Final = ("255.255.255.255", CLIENT_PORT)

_PXE_DOOR: Final = Door.PXE
_NO_MAC: Final = bytes(6)
_NOWHERE: Final = "0.0.0.0"


def refusal(packet: Packet, door: Door, server: str) -> str:
    """Why the packet is no boot question for this door, as a word to count; "" when it is one."""
    kind = packet.options.kind
    if packet.op != REQUEST:
        return "not_a_request"
    if not kind.is_boot:
        return "not_a_boot_client"  # D3
    if kind.door is not door:
        return "other_message"  # P5
    if door is _PXE_DOOR and kind.is_http:
        return "http_on_4011"  # H5
    if door is _PXE_DOOR and packet.server_id not in {"", server}:
        return "other_server"  # D2
    if packet.chaddr[0] & 1 or packet.chaddr.startswith(_NO_MAC):
        return "bad_mac"
    return ""


def read_ask(
    packet: Packet, door: Door, server: str, interface: str = "", source: tuple[str, int] | None = None
) -> Ask | None:
    """What the machine asks at this door (DHCP or PXE); None where that is no boot question: see `refusal`."""
    if refusal(packet, door, server):
        return None
    kind = packet.options.kind
    client = dotted(packet.ciaddr) if packet.ciaddr != NO_ADDRESS else ""
    if not client and source and source[0] != _NOWHERE:
        client = source[0]
    return Ask(
        door=door,
        mac=Mac.of(packet.chaddr[:6]),
        stage=kind.stage,
        server=server,
        arch=kind.arch,
        client=client,
        uuid=packet.options.uuid,
        xid=packet.xid,
        secs=packet.secs,
        features=kind.features,
        interface=interface,
    )


def reply_address(packet: Packet, door: Door, source: tuple[str, int]) -> tuple[str, int]:
    """Where the answer goes: (IPv4 address, port).

    A 4011 request is answered where it came from (P3: edk2 listens on 4011, ROMs and iPXE on 68), a relayed
    packet through its relay (R1), and an offer, which gives no address, by broadcast (D18).
    """
    if door is _PXE_DOOR:
        return source if source[0] != _NOWHERE else ("255.255.255.255", source[1])
    if packet.giaddr != NO_ADDRESS:
        return dotted(packet.giaddr), SERVER_PORT
    if packet.ciaddr != NO_ADDRESS:
        return dotted(packet.ciaddr), CLIENT_PORT
    return BROADCAST


class Template:
    """An answer made ready once; `fill` adds what is copied from each question.

    Its options stand in this order: 53, 54, 60, 97 echoed, the reply's others, 67, 82 (D11). `server` is our
    address on the link (54).
    """

    __slots__ = ("_after", "_after_without_name", "_before", "_is_offer", "_siaddr")

    def __init__(self, reply: DhcpReply, server: str) -> None:
        name = reply.file.encode()
        is_in_header = len(name) < _FILE_SIZE  # D8: a longer one is in option 67 only
        first, rest = _around_class(reply.options)
        self._is_offer = reply.message_type == OFFER
        self._siaddr = socket.inet_aton(reply.next_server or server)  # P7: never zero
        self._before = b"".join(
            (
                bytes(_SNAME_SIZE),
                (name if is_in_header else b"").ljust(_FILE_SIZE, b"\0"),
                _COOKIE,
                build_options(((53, bytes((reply.message_type,))), (54, socket.inet_aton(server)), *first)),
            )
        )
        bare = build_options(rest)
        self._after = bare + build_options(((67, name + b"\0"),)) if name else bare  # D6, D7
        self._after_without_name = bare if is_in_header else self._after

    def fill(self, packet: Packet) -> bytes:
        """The answer to this packet. RefusedError where the machine takes no packet as long as it (D5)."""
        options = packet.options
        echo = options.machine  # P14
        relay = build_options(((82, options[82]),)) if 82 in options else b""  # R2
        head = self._head(packet)
        data = b"".join((head, self._before, echo, self._after, relay, _END))
        if len(data) > _LEAST_TAKEN - _IP_AND_UDP:
            data = self._shortened(head, echo, relay, _limit(options))
        return data.ljust(MINIMUM, b"\0")

    def _head(self, packet: Packet) -> bytes:
        """RFC 2131 table 3: secs 0, ciaddr only in an ACK, no yiaddr from a proxy (D4)."""
        return _HEAD.pack(
            _REPLY_TO_ETHERNET,
            packet.xid,
            0,
            packet.flags,
            NO_ADDRESS if self._is_offer else packet.ciaddr,
            NO_ADDRESS,
            self._siaddr,
            packet.giaddr,
            packet.chaddr,
        )

    def _shortened(self, head: bytes, echo: bytes, relay: bytes, limit: int) -> bytes:
        """The longest form within the limit: without a second copy of the name, without the echo of 97."""
        for middle in (echo + self._after, echo + self._after_without_name, self._after_without_name):
            data = b"".join((head, self._before, middle, relay, _END))
            if len(data) <= limit:
                return data
        raise RefusedError(
            f"the answer does not fit into the {limit} bytes that the machine takes", "REPLY_TOO_LONG"
        )


def build_reply(packet: Packet, reply: DhcpReply, server: str) -> bytes:
    """The answer to this packet; see `Template` (D4-D11, P14, R2)."""
    return Template(reply, server).fill(packet)


_SNAME_SIZE: Final = 64
_FILE_SIZE: Final = 128
_COOKIE: Final = b"\x63\x82\x53\x63"
_END: Final = bytes((END,))
_HEAD: Final = struct.Struct("!4sIHH4s4s4s4s16s")
_REPLY_TO_ETHERNET: Final = bytes((REPLY, 1, 6, 0))
# Option 57 counts the IP packet (RFC 2132 9.10); everybody takes 576, and more than 1500 would be fragments.
_LEAST_TAKEN: Final = 576
_MOST_SENT: Final = 1500
_IP_AND_UDP: Final = 28


def _limit(options: Mapping[int, bytes]) -> int:
    said = int.from_bytes(options.get(57, b"")[:2], "big")
    return min(max(said, _LEAST_TAKEN), _MOST_SENT) - _IP_AND_UDP


def _around_class(
    options: tuple[tuple[int, bytes], ...],
) -> tuple[tuple[tuple[int, bytes], ...], tuple[tuple[int, bytes], ...]]:
    """The options up to the vendor class, and those behind it: 97 goes between them (D11)."""
    at = next((place for place, (code, _) in enumerate(options, 1) if code == 60), 0)
    return options[:at], options[at:]
