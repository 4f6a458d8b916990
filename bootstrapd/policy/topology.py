"""What a drawing of the fleet shows, whoever draws it: networks with their hosts, switches with those below.

A host is in the network that its address is in; without an address, in the only network of the switch that its
`[match] port` names. Everything else stands aside, named as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from bootstrapd.model import Host, HostBook, Network, Profile, Switch
from bootstrapd.policy.network import network_of


class Section(Struct, frozen=True, kw_only=True):
    """One network and its hosts by name; network None = the hosts that are in none."""

    network: Network | None
    hosts: tuple[Host, ...]
    switches: tuple[str, ...] = ()  # those that carry it


class Tree(Struct, frozen=True, kw_only=True):
    """A switch and the switches below it."""

    switch: Switch
    below: tuple[Tree, ...] = ()


class Fleet(Struct, frozen=True, kw_only=True):
    """The whole of it. `profiles` are those that hosts have, by name."""

    sections: tuple[Section, ...]
    switches: tuple[Tree, ...]
    profiles: dict[str, Profile]

    @property
    def hosts(self) -> list[Host]:
        return [host for section in self.sections for host in section.hosts]

    @property
    def all_switches(self) -> list[Switch]:
        """Each before those below it."""
        found: list[Switch] = []
        trees = list(reversed(self.switches))
        while trees:
            tree = trees.pop()
            found.append(tree.switch)
            trees += reversed(tree.below)
        return found

    @property
    def networks(self) -> list[Network]:
        return [section.network for section in self.sections if section.network]


def fleet(book: HostBook) -> Fleet:
    """The book as a drawing has it. Hosts by name, numbers in a name by size."""
    within: dict[str, list[Host]] = {name: [] for name in book.networks}
    aside: list[Host] = []
    for host in sorted(book.hosts.values(), key=lambda host: natural(host.name)):
        network = network_of(host, book.networks) or _by_port(host, book)
        (within[network.name] if network else aside).append(host)
    sections = [
        Section(
            network=network,
            hosts=tuple(within[name]),
            switches=tuple(sorted((s.name for s in book.switches.values() if name in s.networks), key=natural)),
        )
        for name, network in book.networks.items()
    ]
    if aside:
        sections.append(Section(network=None, hosts=tuple(aside)))
    used = sorted({host.profile for host in book.hosts.values()})
    return Fleet(
        sections=tuple(sections),
        switches=_trees("", book.switches.values()),
        profiles={name: book.profiles[name] for name in used},
    )


def switch_of(host: Host) -> tuple[str, str]:
    """Name of the switch and of its port, of `[match] port`: "rack4-sw1/Eth1/12"; ("", "") if it has none."""
    switch, _, port = host.port.partition("/")
    return (switch, port) if switch and port else ("", "")


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A key that sorts w-2 before w-10."""
    parts = re.findall(r"([0-9]{1,18})|([^0-9]+)", name)
    return [(bool(text), int(digits or 0), text) for digits, text in parts]


def clean(text: str) -> str:
    """One line that shows what it is: whatever is not printed, or turns the rest around, is a dot."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "·" for char in text)


def _by_port(host: Host, book: HostBook) -> Network | None:
    switch = book.switches.get(switch_of(host)[0])
    if host.address or switch is None or len(switch.networks) != 1:
        return None
    return book.networks[switch.networks[0]]


def _trees(uplink: str, switches: Iterable[Switch]) -> tuple[Tree, ...]:
    """The switches right below `uplink`; that none leads back to itself is seen to by `config/networks.py`."""
    switches = tuple(switches)
    return tuple(
        Tree(switch=switch, below=_trees(switch.name, switches))
        for switch in sorted(switches, key=lambda switch: natural(switch.name))
        if switch.uplink == uplink
    )
