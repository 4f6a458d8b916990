"""Addresses and the networks they are in: arithmetic on IPv4 text whose form `config` has checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from bootstrapd.model import Host, HostBook, Network


@lru_cache(maxsize=16384)
def address(text: str) -> IPv4Address:
    """`10.1.0.11` of "10.1.0.11" or "10.1.0.11/24"."""
    return IPv4Interface(text).ip


@lru_cache(maxsize=4096)
def subnet(text: str) -> IPv4Network:
    """The network, also where an address within it stands before the prefix."""
    return IPv4Network(text, strict=False)


def unusable(text: str, network: IPv4Network) -> str:
    """Why nobody in this network can have this address, as words after "it is"; "" when somebody can."""
    found = address(text)
    if found not in network:
        return f"outside {network}"
    if network.prefixlen < 31 and found == network.network_address:
        return f"the name of {network} itself"
    if network.prefixlen < 31 and found == network.broadcast_address:
        return f"the broadcast address of {network}"
    return ""


def network_of(host: Host, networks: Mapping[str, Network]) -> Network | None:
    """The network whose subnet the host's address is in; None without an address, or in none of them."""
    if not host.address:
        return None
    found = address(host.address)
    return next((network for network in networks.values() if found in subnet(network.subnet)), None)


def overlaps(networks: Iterable[Network]) -> Iterator[tuple[Network, Network]]:
    """Each network with one that begins before it and reaches into it."""
    by_start = sorted(networks, key=lambda network: subnet(network.subnet))
    widest: Network | None = None
    for network in by_start:
        if widest is not None and subnet(widest.subnet).overlaps(subnet(network.subnet)):
            yield widest, network
        else:
            widest = network


def notes(book: HostBook) -> Iterator[str]:
    """What is odd about the hosts' addresses and still no mistake. Nothing where no network is described."""
    for _, host in sorted(book.hosts.items()):
        if not host.address or not book.networks:
            continue
        network = network_of(host, book.networks)
        if network is None:
            yield f"{host.source}: network.address: {host.address} is in no network of networks.toml"
        elif (prefix := host.address.partition("/")[2]) != (own := network.subnet.partition("/")[2]):
            yield (
                f"{host.source}: network.address: {host.address} has prefix /{prefix}, and its network "
                f"{network.name} ({network.subnet}) /{own}"
            )
