"""The fleet as it is drawn: which hosts hang on which network, in which order. HostBook -> `Fleet`.

`topology_svg`, `topology_mermaid` and `topology_nix` draw this. A host is where its `[network] address` is; an
address that networks.toml does not know makes a network of its own prefix, so that a folder without that file
is drawn, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from bootstrapd.model import Host, HostBook, Network, Switch
from bootstrapd.policy.network import address, network_of, subnet

NOWHERE: Final = "no address"

_DIGITS: Final = re.compile(r"(\d+)")


class Segment(Struct, frozen=True, kw_only=True):
    """One network and the hosts that are in it, by rack, address and name."""

    network: Network  # its subnet is "" for the hosts that have no address
    hosts: tuple[Host, ...] = ()
    is_declared: bool = True  # it stands in networks.toml


class Fleet(Struct, frozen=True, kw_only=True):
    segments: tuple[Segment, ...] = ()
    switches: tuple[tuple[int, Switch], ...] = ()  # (depth below the topmost, switch), each below its uplink
    darwin: frozenset[str] = frozenset()  # the profiles of Macs


def fleet(book: HostBook) -> Fleet:
    """What there is to draw: declared networks by subnet, then others, then the hosts without an address."""
    hosts = sorted(book.hosts.values(), key=_place)
    declared = sorted(book.networks.values(), key=lambda network: subnet(network.subnet))
    inside: dict[str, list[Host]] = {network.name: [] for network in declared}
    others: dict[str, list[Host]] = {}
    nowhere = [host for host in hosts if not host.address]
    for host in hosts:
        if network := network_of(host, book.networks):
            inside[network.name].append(host)
        elif host.address:
            others.setdefault(str(subnet(host.address)), []).append(host)
    segments = [Segment(network=network, hosts=tuple(inside[network.name])) for network in declared]
    for text in sorted(others, key=subnet):
        network = Network(name=text, subnet=text)
        segments.append(Segment(network=network, hosts=tuple(others[text]), is_declared=False))
    if nowhere:
        network = Network(name=NOWHERE, subnet="")
        segments.append(Segment(network=network, hosts=tuple(nowhere), is_declared=False))
    darwin = frozenset(name for name, profile in book.profiles.items() if profile.is_darwin)
    return Fleet(segments=tuple(segments), switches=tuple(_tree(book.switches.values())), darwin=darwin)


def switch_port(host: Host, fleet: Fleet) -> tuple[str, str]:
    """(`rack4-sw1`, `Eth1/12`) of the host's `[match] port`, where it begins with a switch that is known."""
    name, _, port = host.port.partition("/")
    is_known = any(switch.name == name for _, switch in fleet.switches)
    return (name, port) if port and is_known else ("", "")


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """A key by which rack 10 comes after rack 9."""
    words = _DIGITS.split(text)
    return tuple((int(word), "") if word.isdecimal() else (-1, word) for word in words)


def _place(host: Host) -> tuple[tuple[tuple[int, str], ...], int, tuple[tuple[int, str], ...]]:
    number = int(address(host.address)) if host.address else 0
    return natural(host.labels.get("rack", "")), number, natural(host.name)


def _tree(switches: Iterable[Switch]) -> list[tuple[int, Switch]]:
    below: dict[str, list[Switch]] = {}
    for switch in sorted(switches, key=lambda switch: natural(switch.name)):
        below.setdefault(switch.uplink, []).append(switch)
    found: list[tuple[int, Switch]] = []
    waiting = [(0, switch) for switch in reversed(below.get("", []))]
    while waiting:
        depth, switch = waiting.pop()
        found.append((depth, switch))
        waiting += [(depth + 1, child) for child in reversed(below.get(switch.name, []))]
    return found
