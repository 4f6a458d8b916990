"""DHCP options as one table: code, name, format, source; and readers for the values that have a structure.

What an option says of the asker is `wire/pxe.py`'s; how options lie in a packet is `wire/dhcp_packet.py`'s; how
they read to a person is `wire/dhcp_text.py`'s.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from bootstrapd.errors import WireError

PAD: Final = 0
END: Final = 255


class Option(Struct, frozen=True):
    """One row: what an option is called, how its value reads (a key of `dhcp_text.FORMATS`), who defined it."""

    code: int
    name: str
    format: str
    source: str


def _table(*rows: tuple[int, str, str, str]) -> dict[int, Option]:
    return {code: Option(code, name, form, source) for code, name, form, source in rows}


OPTIONS: Final = _table(
    (1, "subnet mask", "ip", "RFC 2132"),
    (2, "time offset", "u32", "RFC 2132"),
    (3, "routers", "ip", "RFC 2132"),
    (4, "time servers", "ip", "RFC 2132"),
    (5, "name servers (IEN 116)", "ip", "RFC 2132"),
    (6, "DNS servers", "ip", "RFC 2132"),
    (7, "log servers", "ip", "RFC 2132"),
    (9, "LPR servers", "ip", "RFC 2132"),
    (12, "host name", "text", "RFC 2132"),
    (13, "boot file size in 512-byte blocks", "u16", "RFC 2132"),
    (15, "domain name", "text", "RFC 2132"),
    (16, "swap server", "ip", "RFC 2132"),
    (17, "root path", "text", "RFC 2132"),
    (18, "extensions path", "text", "RFC 2132"),
    (22, "largest datagram reassembled", "u16", "RFC 2132"),
    (23, "default IP TTL", "u8", "RFC 2132"),
    (26, "interface MTU", "u16", "RFC 2132"),
    (28, "broadcast address", "ip", "RFC 2132"),
    (33, "static routes", "ip", "RFC 2132"),
    (40, "NIS domain", "text", "RFC 2132"),
    (41, "NIS servers", "ip", "RFC 2132"),
    (42, "NTP servers", "ip", "RFC 2132"),
    (43, "vendor options", "pxe", "RFC 2132, PXE 2.1"),
    (44, "NetBIOS name servers", "ip", "RFC 2132"),
    (46, "NetBIOS node type", "u8", "RFC 2132"),
    (50, "requested address", "ip", "RFC 2132"),
    (51, "lease time", "seconds", "RFC 2132"),
    (52, "overload", "overload", "RFC 2132"),
    (53, "message type", "message", "RFC 2132"),
    (54, "server identifier", "ip", "RFC 2132"),
    (55, "parameters wanted", "codes", "RFC 2132"),
    (56, "message", "text", "RFC 2132"),
    (57, "largest message taken", "u16", "RFC 2132"),
    (58, "renewal time", "seconds", "RFC 2132"),
    (59, "rebinding time", "seconds", "RFC 2132"),
    (60, "vendor class", "text", "RFC 2132"),
    (61, "client identifier", "client", "RFC 2132"),
    (66, "TFTP server name", "text", "RFC 2132"),
    (67, "boot file name", "text", "RFC 2132"),
    (77, "user class", "classes", "RFC 3004"),
    (80, "rapid commit", "flag", "RFC 4039"),
    (81, "client FQDN", "hex", "RFC 4702"),
    (82, "relay agent information", "relay", "RFC 3046"),
    (90, "authentication", "hex", "RFC 3118"),
    (93, "client architecture", "arches", "RFC 4578"),
    (94, "client network interface", "interface", "RFC 4578"),
    (97, "client machine identifier", "machine", "RFC 4578"),
    (100, "POSIX time zone", "text", "RFC 4833"),
    (101, "time zone name", "text", "RFC 4833"),
    (108, "IPv6-only preferred", "seconds", "RFC 8925"),
    (114, "captive portal", "text", "RFC 8910"),
    (116, "auto-configure", "u8", "RFC 2563"),
    (118, "subnet selection", "ip", "RFC 3011"),
    (119, "domain search list", "hex", "RFC 3397"),
    (121, "classless static routes", "hex", "RFC 3442"),
    (124, "vendor-identifying class", "hex", "RFC 3925"),
    (125, "vendor-identifying options", "hex", "RFC 3925"),
    *((code, f"PXE vendor option {code}", "hex", "RFC 4578") for code in range(128, 136)),
    (150, "TFTP server addresses", "ip", "RFC 5859"),
    (175, "iPXE options", "ipxe", "ipxe dhcp.h"),
    (203, "iSCSI initiator name", "text", "ipxe dhcp.h"),
    (208, "PXELINUX magic", "hex", "RFC 5071"),
    (209, "PXELINUX configuration file", "text", "RFC 5071"),
    (210, "PXELINUX path prefix", "text", "RFC 5071"),
    (211, "PXELINUX reboot time", "seconds", "RFC 5071"),
    (249, "classless static routes (Microsoft)", "hex", "MS-DHCPE"),
    (252, "proxy auto-configuration", "text", "WPAD draft"),
)

PXE_OPTIONS: Final = _table(
    (1, "MTFTP address", "ip", "PXE 2.1"),
    (2, "MTFTP client port", "u16", "PXE 2.1"),
    (3, "MTFTP server port", "u16", "PXE 2.1"),
    (4, "MTFTP timeout", "u8", "PXE 2.1"),
    (5, "MTFTP delay", "u8", "PXE 2.1"),
    (6, "discovery control", "bits", "PXE 2.1"),
    (7, "discovery multicast address", "ip", "PXE 2.1"),
    (8, "boot servers", "hex", "PXE 2.1"),
    (9, "boot menu", "text", "PXE 2.1"),
    (10, "menu prompt", "text", "PXE 2.1"),
    (71, "boot item", "hex", "PXE 2.1"),
)

RELAY_OPTIONS: Final = _table(
    (1, "circuit id", "text", "RFC 3046"),
    (2, "remote id", "text", "RFC 3046"),
    (5, "link selection", "ip", "RFC 3527"),
    (6, "subscriber id", "text", "RFC 3993"),
    (9, "vendor", "hex", "RFC 4243"),
    (10, "flags", "u8", "RFC 5010"),
    (11, "server identifier override", "ip", "RFC 5107"),
    (12, "relay id", "hex", "RFC 6925"),
    (151, "virtual subnet", "hex", "RFC 6607"),
)

IPXE_OPTIONS: Final = _table(
    (0x01, "priority", "u8", "ipxe dhcp.h"),
    (0x08, "keep SAN", "u8", "ipxe dhcp.h"),
    (0x09, "skip SAN boot", "u8", "ipxe dhcp.h"),
    (0x10, "PXE extensions", "u8", "ipxe features.h"),
    (0x11, "iSCSI", "u8", "ipxe features.h"),
    (0x12, "AoE", "u8", "ipxe features.h"),
    (0x13, "HTTP", "u8", "ipxe features.h"),
    (0x14, "HTTPS", "u8", "ipxe features.h"),
    (0x15, "TFTP", "u8", "ipxe features.h"),
    (0x16, "FTP", "u8", "ipxe features.h"),
    (0x17, "DNS", "u8", "ipxe features.h"),
    (0x18, "bzImage", "u8", "ipxe features.h"),
    (0x19, "multiboot", "u8", "ipxe features.h"),
    (0x1A, "SLAM", "u8", "ipxe features.h"),
    (0x1B, "SRP", "u8", "ipxe features.h"),
    (0x20, "NBI", "u8", "ipxe features.h"),
    (0x21, "PXE", "u8", "ipxe features.h"),
    (0x22, "ELF", "u8", "ipxe features.h"),
    (0x23, "COMBOOT", "u8", "ipxe features.h"),
    (0x24, "EFI", "u8", "ipxe features.h"),
    (0x25, "FCoE", "u8", "ipxe features.h"),
    (0x26, "VLAN", "u8", "ipxe features.h"),
    (0x27, "menu", "u8", "ipxe features.h"),
    (0x28, "SDI", "u8", "ipxe features.h"),
    (0x29, "NFS", "u8", "ipxe features.h"),
    (0xB0, "no proxy DHCP", "u8", "ipxe dhcp.h"),
    (0xB1, "network card", "bus", "ipxe dhcp.h"),
    (0xEB, "version", "version", "ipxe dhcp.h"),
)

MESSAGES: Final = dict(
    enumerate(("DISCOVER", "OFFER", "REQUEST", "DECLINE", "ACK", "NAK", "RELEASE", "INFORM"), start=1)
)


def sub_options(value: bytes) -> dict[int, bytes]:
    """The options inside 43, 82 or 175: code, length, value, repeated. WireError where they are not such."""
    found: dict[int, bytes] = {}
    at = 0
    while at < len(value) and value[at] != END:
        if value[at] == PAD:
            at += 1
            continue
        end = at + 2 + value[at + 1] if at + 1 < len(value) else len(value) + 1
        if end > len(value):
            raise WireError(f"sub-option {value[at]} runs past the end of its option")
        found[value[at]] = value[at + 2 : end]
        at = end
    return found


def user_classes(value: bytes) -> list[bytes]:
    """Option 77: RFC 3004 says each class follows its length; iPXE sends one bare name (I1)."""
    classes = []
    at = 0
    while at < len(value):
        end = at + 1 + value[at]
        if end > len(value) or not value[at]:
            return [value]
        classes.append(value[at + 1 : end])
        at = end
    return classes


def architectures(value: bytes) -> list[int]:
    """Option 93 as RFC 4578 has it, a list of 16-bit numbers; WireError for an odd length (P11)."""
    if not value or len(value) % 2:
        raise WireError(f"option 93 is {len(value)} bytes long, not a list of 16-bit numbers")
    return [int.from_bytes(value[at : at + 2], "big") for at in range(0, len(value), 2)]


def machine_uuid(value: bytes) -> str:
    """Option 97 (type 0) as canonical text: the first three fields are little-endian on the wire (FIRMWARE 3).

    WireError for another length or type (P14). Junk is not judged here.
    """
    if len(value) != 17 or value[0]:
        raise WireError(f"option 97 is {len(value)} bytes of type {value[:1].hex() or 'none'}, not a UUID")
    digits = (value[4:0:-1] + value[6:4:-1] + value[8:6:-1] + value[9:]).hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def dotted(octets: bytes) -> str:
    """Four bytes as an IPv4 address."""
    return "%d.%d.%d.%d" % tuple(octets)  # noqa: UP031 - twice as fast as an f-string, and on the hot path
