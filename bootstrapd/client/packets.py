"""The questions of a persona as bytes, built with scapy.

Owns the filling in of what is the machine's own: MAC, UUID, transaction, address. The options and their order
are `personas`'s.
"""

from __future__ import annotations

from typing import Final

from scapy.layers.dhcp import BOOTP
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from bootstrapd.client.answers import BROADCAST, NO_ADDRESS
from bootstrapd.client.personas import Family, Fill, Options, Persona
from bootstrapd.model import Mac

COOKIE: Final = b"\x63\x82\x53\x63"
NO_UUID: Final = bytes(16)  # what a machine without SMBIOS identity sends: junk to every server


def discover(persona: Persona, mac: Mac, xid: int, uuid: bytes = NO_UUID) -> bytes:
    """The DISCOVER as an Ethernet frame, broadcast."""
    payload = bootp(persona.discover, mac, xid, uuid, flags=persona.flags, secs=persona.secs)
    ip = IP(src=NO_ADDRESS, dst=BROADCAST) / UDP(sport=68, dport=67)
    return bytes(Ether(src=str(mac), dst="ff:ff:ff:ff:ff:ff") / ip / Raw(payload))


def boot_server_request(
    persona: Persona, mac: Mac, xid: int, address: str, *, extra: Options = (), uuid: bytes = NO_UUID
) -> bytes:
    """The REQUEST to 4011 without UDP: `address` goes into ciaddr, `extra` to where that firmware puts it."""
    options = persona.boot_server + extra
    if persona.family is Family.EDK2_PXE:  # it sorts them by number: 43 comes before 53
        options = tuple(sorted(options, key=lambda option: option[0]))
    return bootp(
        options,
        mac,
        xid,
        uuid,
        flags=persona.boot_server_flags,
        secs=persona.boot_server_secs,
        address=address,
    )


def bootp(
    options: Options, mac: Mac, xid: int, uuid: bytes, *, flags: int, secs: int, address: str = NO_ADDRESS
) -> bytes:
    """BOOTP with DHCP's options: what follows the UDP header."""
    header = BOOTP(op=1, xid=xid, secs=secs, flags=flags, ciaddr=address, chaddr=mac.octets, options=COOKIE)
    filled = (_option(code, value, mac, uuid) for code, value in options)
    return bytes(header / Raw(b"".join(filled) + b"\xff"))


def _option(code: int, value: bytes | Fill, mac: Mac, uuid: bytes) -> bytes:
    if value is Fill.CLIENT_ID:
        value = b"\x01" + mac.octets
    elif value is Fill.UUID:
        value = b"\x00" + uuid
    assert isinstance(value, bytes)
    return bytes((code, len(value))) + value
