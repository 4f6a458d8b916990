"""A range of hosts from one line: `cim-worker-{:02}`, how many, their MACs and addresses. Text -> values.

Every mistake is collected: a rack is typed once, and corrected once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Interface
from typing import Final

from bootstrapd.errors import ConfigError
from bootstrapd.model import Mac
from bootstrapd.policy.network import unusable

_PLACE: Final = re.compile(r"\{(?::0?([1-9]))?\}")


def is_pattern(name: str) -> bool:
    """Whether this name means several hosts: no host's name has a brace."""
    return "{" in name or "}" in name


def names(pattern: str, start: int, count: int) -> list[str]:
    """`w-{:02}`, 1, 3 -> w-01, w-02, w-03. ConfigError: there is not exactly one `{}`, `{:02}`, … in it."""
    places = list(_PLACE.finditer(pattern))
    rest = _PLACE.sub("", pattern)
    if len(places) != 1 or is_pattern(rest):
        raise ConfigError(
            f'--name "{pattern}": expected one place for the number, as in "cim-worker-{{:02}}" (01, 02, …) '
            'or "cim-worker-{}" (1, 2, …)'
        )
    width = int(places[0][1] or 0)
    return [_PLACE.sub(f"{number:0{width}}", pattern) for number in range(start, start + count)]


def addresses(first: str, count: int) -> list[str]:
    """`count` addresses with their prefix, counted up from the first. ConfigError: they leave its network."""
    try:
        begin = IPv4Interface(first)
    except ValueError:
        begin = None
    if begin is None or "/" not in first:
        raise ConfigError(
            f'--address "{first}": expected an IPv4 address with its prefix such as "10.1.0.11/24"'
        )
    room = int(begin.network.broadcast_address) - int(begin.ip) + (begin.network.prefixlen >= 31)
    if count > room:
        raise ConfigError(
            f"--address {first}: {count} hosts are to be counted up, and {begin.network} has {room} left"
        )
    if wrong := unusable(first, begin.network):
        raise ConfigError(f"--address {first}: it would be the first host's, and is {wrong}")
    return [f"{begin.ip + step}/{begin.network.prefixlen}" for step in range(count)]


def macs(text: str, count: int) -> tuple[list[tuple[Mac, ...]], list[str]]:
    """A host's MACs from each line that is neither blank nor a comment, and every mistake among them.

    No such line: no MACs, for any host. A MAC that is said twice is the first one's.
    """
    found: list[tuple[Mac, ...]] = []
    mistakes: list[str] = []
    lines: dict[Mac, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if words:
            found.append(_line(words, number, lines, mistakes))
    if found and len(found) != count:
        mistakes.append(f"stdin: expected a line for each of {count} hosts (--count), found {len(found)}")
    return found, mistakes


def _line(words: Sequence[str], number: int, lines: dict[Mac, int], mistakes: list[str]) -> tuple[Mac, ...]:
    macs: list[Mac] = []
    for word in words:
        try:
            mac = Mac.parse(word)
        except ConfigError as error:
            mistakes.append(f"stdin, line {number}: {error}")
            continue
        first = lines.setdefault(mac, number)
        if mac in macs:
            mistakes.append(f"stdin, line {number}: {mac} is in it twice")
        elif first != number:
            mistakes.append(f"stdin, line {number}: {mac} is in line {first} too")
        else:
            macs.append(mac)
    return tuple(macs)
