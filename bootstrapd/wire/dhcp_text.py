"""DHCP option values as text for a person: `explain`, `probe`, the goldens. What is broken is shown as hex."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from bootstrapd.errors import WireError
from bootstrapd.model import ARCHES
from bootstrapd.wire.dhcp_options import (
    IPXE_OPTIONS,
    MESSAGES,
    OPTIONS,
    PXE_OPTIONS,
    RELAY_OPTIONS,
    Option,
    architectures,
    dotted,
    machine_uuid,
    sub_options,
    user_classes,
)


def text(value: bytes) -> str:
    """ASCII as it is, any other byte as `\\x..`, so that a trailing NUL is seen (D7)."""
    return "".join(chr(byte) if chr(byte) in _PRINTABLE else f"\\x{byte:02x}" for byte in value)


_PRINTABLE: Final = frozenset(string.digits + string.ascii_letters + string.punctuation + " ") - {"\\"}
_BUSES: Final = {1: "PCI", 2: "ISA"}
_OVERLOADS: Final = {1: "options in file", 2: "options in sname", 3: "options in file and sname"}
_DISCOVERY_BITS: Final = (
    "no broadcast discovery",
    "no multicast discovery",
    "only servers of the list",
    "take this offer's file",
)


def _addresses(value: bytes) -> str:
    if not value or len(value) % 4:
        raise WireError(f"{len(value)} bytes are no list of IPv4 addresses")
    return " ".join(dotted(value[at : at + 4]) for at in range(0, len(value), 4))


def _number(size: int) -> Callable[[bytes], str]:
    def read(value: bytes) -> str:
        if len(value) != size:
            raise WireError(f"{len(value)} bytes are no {size * 8}-bit number")
        return str(int.from_bytes(value, "big"))

    return read


def _message(value: bytes) -> str:
    if len(value) != 1:
        raise WireError(f"option 53 is {len(value)} bytes long, not 1")
    return f"{MESSAGES.get(value[0], 'unknown')} ({value.hex()})"


def _arches(value: bytes) -> str:
    return ", ".join(f"{code} {ARCHES.get(code, 'unknown')}" for code in architectures(value))


def _client(value: bytes) -> str:
    return value[1:].hex(":") if len(value) == 7 and value[0] == 1 else value.hex(" ")


def _interface(value: bytes) -> str:
    if len(value) != 3:
        raise WireError(f"option 94 is {len(value)} bytes long, not 3")
    return f"{'UNDI' if value[0] == 1 else f'type {value[0]}'} {value[1]}.{value[2]}"


def _bus(value: bytes) -> str:
    if len(value) != 5:
        raise WireError(f"175.177 is {len(value)} bytes long, not 5")
    return f"{_BUSES.get(value[0], f'bus {value[0]}')} {value[1:3].hex()}:{value[3:].hex()}"


def _discovery(value: bytes) -> str:
    if len(value) != 1:
        raise WireError(f"43.6 is {len(value)} bytes long, not 1")
    words = [word for bit, word in enumerate(_DISCOVERY_BITS) if value[0] & 1 << bit]
    return f"0x{value[0]:02x} {', '.join(words) or 'boot server discovery'}"


FORMATS: Final[Mapping[str, Callable[[bytes], str]]] = {
    "arches": _arches,
    "bits": _discovery,
    "bus": _bus,
    "classes": lambda value: ", ".join(text(name) for name in user_classes(value)),
    "client": _client,
    "codes": lambda value: " ".join(map(str, value)),
    "flag": lambda value: value.hex(" ") or "yes",
    "hex": lambda value: value.hex(" "),
    "interface": _interface,
    "ip": _addresses,
    "machine": machine_uuid,
    "message": _message,
    "overload": lambda value: _OVERLOADS.get(int.from_bytes(value, "big"), value.hex(" ")),
    "seconds": lambda value: f"{_number(4)(value)} s",
    "text": text,
    "u8": _number(1),
    "u16": _number(2),
    "u32": _number(4),
    "version": lambda value: ".".join(map(str, value)),
}

NESTED: Final[Mapping[str, Mapping[int, Option]]] = {
    "pxe": PXE_OPTIONS,
    "relay": RELAY_OPTIONS,
    "ipxe": IPXE_OPTIONS,
}


def describe_option(
    code: int, value: bytes, table: Mapping[int, Option] = OPTIONS, prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """("54 server identifier", "10.0.0.2"), one pair a sub-option where there are any; broken ones as hex."""
    row = table.get(code) or Option(code, "unknown", "hex", "")
    name = f"{prefix}{code} {row.name}"
    try:
        if row.format in NESTED:
            inner = sub_options(value)
            for sub_code, sub_value in inner.items():
                yield from describe_option(sub_code, sub_value, NESTED[row.format], f"{prefix}{code}.")
            if not inner:
                yield name, value.hex(" ")
        else:
            yield name, FORMATS[row.format](value)
    except WireError as error:
        yield name, f"{value.hex(' ')} ({error})"
