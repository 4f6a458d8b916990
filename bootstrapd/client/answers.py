"""What came back from the network, decoded by scapy: the view that is independent of our own codec.

Owns the reading of one frame into an `Answer`. What firmware makes of it is `decide`'s, what is wrong with it
`rules`'s. RFC 2131, RFC 2132, RFC 3396 (options that come in pieces), PXE 2.1 (option 43).
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final

from msgspec import Struct
from scapy.layers.dhcp import BOOTP, DHCP, DHCPOptions
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet

NO_ADDRESS: Final = "0.0.0.0"
BROADCAST: Final = "255.255.255.255"
BOOT_REPLY: Final = 2
MESSAGE_TYPES: Final = {1: "DISCOVER", 2: "OFFER", 3: "REQUEST", 4: "DECLINE", 5: "ACK", 6: "NAK", 7: "RELEASE"}
_ADDRESSES: Final = frozenset({1, 3, 6, 28, 50, 54})
_NUMBERS: Final = frozenset({51, 53, 57, 58, 59, 93})
# What scapy raises on bytes it cannot make sense of; it promises nothing.
_SCAPY_GIVES_UP: Final = (struct.error, ValueError, IndexError, KeyError, TypeError, AttributeError, OSError)


class Answer(Struct, frozen=True, kw_only=True):
    """One BOOTREPLY. Addresses are dotted quads ("0.0.0.0" = none), `at_s` counts from the first question."""

    at_s: float
    source: str
    source_port: int
    target: str
    target_port: int
    source_mac: str
    size: int  # bytes of BOOTP, without UDP's header
    xid: int
    flags: int
    your_address: str
    next_server: str
    client_address: str
    relay: str
    server_name: str
    header_file: str  # the header's `file` field
    options: tuple[tuple[int, bytes], ...]  # in wire order; pieces of a long option are not yet joined
    pads: int = 0  # pad bytes between options
    broken: str = ""  # what scapy could not read

    def option(self, code: int) -> bytes | None:
        """The option's bytes, pieces joined (RFC 3396); None when it is not there."""
        pieces = [value for have, value in self.options if have == code]
        return b"".join(pieces) if pieces else None

    @property
    def message_type(self) -> int:
        return int.from_bytes(self.option(53) or b"", "big")

    @property
    def server_id(self) -> str:
        """Option 54, NO_ADDRESS when absent or no address."""
        value = self.option(54) or b""
        return str(ipaddress.IPv4Address(value)) if len(value) == 4 else NO_ADDRESS

    @property
    def server(self) -> str:
        """Who sent it, for a person: option 54, which survives a relay, else the sender's address."""
        return self.source if self.server_id == NO_ADDRESS else self.server_id

    @property
    def vendor_class(self) -> str:
        return _text(self.option(60) or b"")

    @property
    def gives_address(self) -> bool:
        return self.your_address != NO_ADDRESS

    @property
    def boot_file(self) -> str:
        """Option 67, else the header's field unless option 52 says that holds options (D6, D8)."""
        if name := self.option(67):
            return _text(name)
        is_overloaded = int.from_bytes(self.option(52) or b"", "big") & 1
        return "" if is_overloaded else self.header_file

    @property
    def vendor_tags(self) -> dict[int, bytes]:
        """Option 43 as PXE 2.1 tags; what is no tag list reads as far as it goes."""
        return _sub_options(self.option(43) or b"")

    @property
    def etherboot_tags(self) -> dict[int, bytes]:
        """Option 175 as iPXE's sub-options."""
        return _sub_options(self.option(175) or b"")

    @property
    def fields(self) -> list[tuple[str, str]]:
        """Every field that says something, as (name, text), in wire order."""
        header = [
            ("from", f"{self.source}:{self.source_port} ({self.source_mac})"),
            ("to", f"{self.target}:{self.target_port}"),
            ("your address (yiaddr)", self.your_address if self.gives_address else ""),
            ("next server (siaddr)", self.next_server if self.next_server != NO_ADDRESS else ""),
            ("relay (giaddr)", self.relay if self.relay != NO_ADDRESS else ""),
            ("server name (sname)", self.server_name),
            ("boot file (file)", self.header_file),
        ]
        options = [(f"{code} {_option_name(code)}", _option_text(code, value)) for code, value in self.options]
        return [*((name, text) for name, text in header if text), *options]


def read(frame: bytes, at_s: float) -> Answer | None:
    """The BOOTREPLY in an Ethernet frame; None when it holds none."""
    try:
        packet = Ether(frame)
        if UDP not in packet or IP not in packet:
            return None
        payload = bytes(packet[UDP].payload)[: max(packet[UDP].len - 8, 0)]  # without Ethernet's padding
        bootp = BOOTP(payload)
        if len(payload) < 240 or bootp.op != BOOT_REPLY:
            return None
        return _answer(packet, bootp, len(payload), at_s)
    except _SCAPY_GIVES_UP:
        return None


def _answer(packet: Packet, bootp: Packet, size: int, at_s: float) -> Answer:
    listed = bootp[DHCP].options if DHCP in bootp else []
    options = tuple(_raw(option) for option in listed if isinstance(option, tuple))
    end = listed.index("end") if "end" in listed else len(listed)
    broken = [option for option in listed if isinstance(option, bytes)]
    return Answer(
        at_s=at_s,
        source=packet[IP].src,
        source_port=packet[UDP].sport,
        target=packet[IP].dst,
        target_port=packet[UDP].dport,
        source_mac=packet[Ether].src,
        size=size,
        xid=bootp.xid,
        flags=int(bootp.flags),
        your_address=bootp.yiaddr,
        next_server=bootp.siaddr,
        client_address=bootp.ciaddr,
        relay=bootp.giaddr,
        server_name=_text(bootp.sname),
        header_file=_text(bootp.file),
        options=options,
        pads=listed[:end].count("pad"),
        broken=broken[0].hex(" ") if broken else "",
    )


def _raw(option: tuple[object, ...]) -> tuple[int, bytes]:
    """scapy's parsed option back as (code, bytes): decisions are about bytes, and scapy's names vary."""
    built = bytes(DHCP(options=[option]))
    return built[0], built[2:]


def _sub_options(data: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while len(data) >= 2 and data[0] != 255:
        if data[0] == 0:
            data = data[1:]
            continue
        found[data[0]] = data[2 : 2 + data[1]]
        data = data[2 + data[1] :]
    return found


def _text(value: bytes) -> str:
    return value.split(b"\0", 1)[0].decode("ascii", "backslashreplace")


def _option_name(code: int) -> str:
    known = DHCPOptions.get(code, {175: "etherboot"}.get(code, "option"))
    return str(getattr(known, "name", known))


def _option_text(code: int, value: bytes) -> str:
    if code in _ADDRESSES and value and len(value) % 4 == 0:
        return ", ".join(str(ipaddress.IPv4Address(value[at : at + 4])) for at in range(0, len(value), 4))
    if code == 53 and value:
        return MESSAGE_TYPES.get(value[0], str(value[0]))
    if code in _NUMBERS:
        return str(int.from_bytes(value, "big"))
    printable = value.rstrip(b"\0")
    if printable and all(32 <= byte < 127 for byte in printable):
        return printable.decode("ascii")
    return value.hex(" ")
