"""networks.toml: what it may say, every mistake at once with its key, and what it says beside the hosts."""

from __future__ import annotations

from pathlib import Path

import pytest
from hosts_folder import put
from hypothesis import given
from hypothesis import strategies as st

from bootstrapd.config import parse_hosts
from bootstrapd.edge.hostdir_files import marks, read
from bootstrapd.errors import ConfigError
from bootstrapd.model import Host, Network, Switch
from bootstrapd.policy.network import network_of, notes

FLEET = """\
[network.boot]
subnet = "10.1.0.0/24"
vlan = 10
gateway = "10.1.0.1"
dns = ["10.1.0.1", "9.9.9.9"]
appliance = "10.1.0.2"
description = "machines boot here"
[network.storage]
subnet = "10.2.0.0/23"
[switch.core]
[switch.rack4]
networks = ["boot", "storage"]
uplink = "core"
description = "top of rack"
"""


def host(address: str) -> str:
    return f'profile = "minimal"\n[network]\naddress = "{address}"\n'


def mistakes(networks: str, **hosts: str) -> list[str]:
    files = {f"{name}/host.toml": text for name, text in hosts.items()} | {"networks.toml": networks}
    try:
        parse_hosts(files)
    except ConfigError as error:
        return list(error.mistakes)
    return []


def test_everything_it_can_say() -> None:
    book = parse_hosts({"networks.toml": FLEET})
    assert book.networks == {
        "boot": Network(
            name="boot",
            subnet="10.1.0.0/24",
            vlan=10,
            gateway="10.1.0.1",
            dns=("10.1.0.1", "9.9.9.9"),
            appliance="10.1.0.2",
            description="machines boot here",
        ),
        "storage": Network(name="storage", subnet="10.2.0.0/23"),
    }
    assert book.switches == {
        "core": Switch(name="core"),
        "rack4": Switch(name="rack4", networks=("boot", "storage"), uplink="core", description="top of rack"),
    }


def test_a_folder_without_it_has_no_networks_and_no_notes() -> None:
    book = parse_hosts({"a/host.toml": host("10.9.0.1/24")})
    assert (book.networks, book.switches, list(notes(book))) == ({}, {}, [])


def test_every_mistake_at_once_with_file_and_key() -> None:
    text = """\
colour = "red"
[network.boot]
subnet = "10.1.0.5/24"
gateway = "10.2.0.1"
appliance = "10.1.0.255"
vlan = 5000
[network.lab]
vlan = 7
[network.wide]
subnet = "10.0.0.0/8"
vlan = 8
[network.twin]
subnet = "10.3.0.0/16"
vlan = 8
dns = ["one"]
[switch.a]
networks = ["boot", "bot", "boot"]
uplink = "b"
[switch.b]
uplink = "a"
[switch.c]
uplink = "aa"
"""
    assert sorted(mistakes(text)) == sorted(
        [
            'hosts/networks.toml: colour: unknown key "colour"; known: network, switch',
            "hosts/networks.toml: network.boot.vlan: expected a VLAN from 1 to 4094, found 5000",
            (
                'hosts/networks.toml: network.twin.dns[0]: expected an IPv4 address such as "10.1.0.1", '
                'found "one"'
            ),
            (
                "hosts/networks.toml: network.boot.subnet: 10.1.0.5/24 is an address in a network: "
                'did you mean "10.1.0.0/24"?'
            ),
            (
                "hosts/networks.toml: network.boot.gateway: expected an address in 10.1.0.0/24, found "
                "10.2.0.1, which is outside 10.1.0.0/24"
            ),
            (
                "hosts/networks.toml: network.boot.appliance: expected an address in 10.1.0.0/24, found "
                "10.1.0.255, which is the broadcast address of 10.1.0.0/24"
            ),
            (
                'hosts/networks.toml: network.lab.subnet: expected an IPv4 network such as "10.1.0.0/24", '
                "found nothing"
            ),
            (
                "hosts/networks.toml: network.boot.subnet: 10.1.0.0/24 overlaps 10.0.0.0/8 of network wide: "
                "an address is in one of them"
            ),
            (
                "hosts/networks.toml: network.twin.subnet: 10.3.0.0/16 overlaps 10.0.0.0/8 of network wide: "
                "an address is in one of them"
            ),
            "hosts/networks.toml: network.wide.vlan: VLAN 8 is that of network twin too",
            'hosts/networks.toml: switch.a.networks[1]: unknown network "bot"; did you mean "boot"?',
            "hosts/networks.toml: switch.a.networks[2]: boot is named twice",
            "hosts/networks.toml: switch.a.uplink: leads back to a: a -> b -> a",
            "hosts/networks.toml: switch.b.uplink: leads back to b: b -> a -> b",
            (
                'hosts/networks.toml: switch.c.uplink: unknown switch "aa"; did you mean "a"? '
                "(a switch without more to say is [switch.aa])"
            ),
        ]
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("network = 3", "network: expected a table, found 3"),
        ("[network]\nboot = 3", "network.boot: expected a table, found 3"),
        ('[network.boot]\nsubnet = "10.1.0.0"', "network.boot.subnet: expected an IPv4 network"),
        ('[network.boot]\nsubnet = "10.01.0.0/24"', "network.boot.subnet: expected an IPv4 network"),
        ('[network.boot]\nsubnet = "fd00::/64"', "network.boot.subnet: expected an IPv4 network"),
        ('[network."a b"]\nsubnet = "10.1.0.0/24"', 'network."a b": expected a name'),
        (
            '[network.boot]\nsubnet = "10.1.0.0/24"\ndescription = "a\\nb"',
            "network.boot.description: expected one",
        ),
        ('[network.boot]\nsubnet = "10.1.0.0/24"\ngateway = "10.1.0.0"', "network.boot.gateway: expected an"),
        ('[switch.a]\nuplink = "a"', "switch.a.uplink: leads back to a: a -> a"),
        ("[network", "is not TOML"),
    ],
)
def test_one_mistake(text: str, expected: str) -> None:
    (mistake,) = mistakes(text)
    assert mistake.startswith(f"hosts/networks.toml: {expected}")


def test_a_point_to_point_network_has_two_usable_addresses() -> None:
    assert mistakes('[network.p2p]\nsubnet = "10.1.0.0/31"\ngateway = "10.1.0.0"\nappliance = "10.1.0.1"') == []


def test_two_things_with_one_address_name_both_files() -> None:
    assert mistakes(FLEET, a=host("10.1.0.11/24"), b=host("10.1.0.11/16")) == [
        "hosts/b/host.toml: network.address: 10.1.0.11/16 is the address of hosts/a/host.toml too"
    ]
    assert mistakes(FLEET, a=host("10.1.0.1/24"), b=host("10.1.0.2/24")) == [
        (
            "hosts/a/host.toml: network.address: 10.1.0.1/24 is the address of hosts/networks.toml "
            "(network.boot.gateway) too"
        ),
        (
            "hosts/b/host.toml: network.address: 10.1.0.2/24 is the address of hosts/networks.toml "
            "(network.boot.appliance) too"
        ),
    ]
    assert mistakes("", a=host("10.1.0.11/24"), b=host("10.1.0.11/24")) != []


def test_a_host_belongs_to_the_network_its_address_is_in() -> None:
    networks = parse_hosts({"networks.toml": FLEET}).networks

    def of(address: str) -> Network | None:
        return network_of(Host(name="a", profile="minimal", address=address), networks)

    assert of("10.1.0.255/24") == networks["boot"]
    assert of("10.2.1.9/24") == networks["storage"]
    assert of("10.2.2.0/23") is None
    assert of("") is None


def test_what_is_odd_is_noted_and_no_mistake() -> None:
    hosts = {"a": "10.9.0.1/24", "b": "10.2.0.9/24", "c": "10.1.0.9/24"}
    files = {f"{name}/host.toml": host(address) for name, address in hosts.items()}
    assert list(notes(parse_hosts({**files, "networks.toml": FLEET}))) == [
        "hosts/a/host.toml: network.address: 10.9.0.1/24 is in no network of networks.toml",
        (
            "hosts/b/host.toml: network.address: 10.2.0.9/24 has prefix /24, and its network storage "
            "(10.2.0.0/23) /23"
        ),
    ]


def test_the_file_is_read_and_watched_with_the_folder(tmp_path: Path) -> None:
    put(tmp_path, "networks.toml", FLEET)
    put(tmp_path, "a/host.toml", host("10.1.0.9/24"))
    before = marks(tmp_path)
    assert parse_hosts(read(tmp_path)).networks["boot"].vlan == 10
    put(tmp_path, "networks.toml", FLEET.replace("10\n", "11\n"))
    assert marks(tmp_path) != before


SUBNETS = st.builds(
    lambda start, prefix: f"10.{start >> 8}.{start & 255}.0/{prefix}", st.integers(0, 65535), st.integers(8, 24)
)


@given(st.lists(SUBNETS, max_size=6))
def test_whatever_the_subnets_no_address_is_left_in_two(subnets: list[str]) -> None:
    """What passes has no overlap; what is refused is refused in words."""
    text = "".join(f'[network.n{at}]\nsubnet = "{subnet}"\n' for at, subnet in enumerate(subnets))
    if mistakes(text):
        return
    book = parse_hosts({"networks.toml": text})
    for network in book.networks.values():
        at = Host(name="a", profile="minimal", address=network.subnet)
        assert network_of(at, book.networks) == network
