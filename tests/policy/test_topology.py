"""What is drawn of a fleet: who hangs where, and in which order."""

from __future__ import annotations

from bootstrapd.config import parse_hosts
from bootstrapd.policy.topology import NOWHERE, Fleet, fleet, natural, switch_port

NETWORKS = """
[network.storage]
subnet = "10.9.0.0/24"
[network.boot]
subnet = "10.1.0.0/24"
[switch.sw10]
uplink = "core"
[switch.sw9]
uplink = "core"
networks = ["boot"]
[switch.core]
[switch.attic]
"""
HOSTS = {
    "b": ("10.1.0.12/24", "10", "sw9/Eth1/2"),
    "a": ("10.1.0.110/24", "9", "elsewhere/1"),
    "c": ("10.1.0.13/24", "9", "sw9"),
    "lost": ("172.16.0.4/16", "", ""),
    "new": ("", "", ""),
}


def drawn(networks: str = NETWORKS) -> Fleet:
    files = {"networks.toml": networks}
    for name, (address, rack, port) in HOSTS.items():
        lines = ['profile = "minimal"', f'network.address = "{address}"' if address else ""]
        lines += [f'labels.rack = "{rack}"' if rack else "", f'match.port = "{port}"' if port else ""]
        files[f"{name}/host.toml"] = "\n".join(lines)
    return fleet(parse_hosts(files))


def test_hosts_hang_where_their_address_is_by_rack_then_address() -> None:
    shown = [(s.network.name, [h.name for h in s.hosts], s.is_declared) for s in drawn().segments]
    assert shown == [
        ("boot", ["c", "a", "b"], True),
        ("storage", [], True),
        ("172.16.0.0/16", ["lost"], False),
        (NOWHERE, ["new"], False),
    ]


def test_without_networks_toml_prefixes_make_the_networks() -> None:
    assert [s.network.subnet for s in drawn("").segments] == ["10.1.0.0/24", "172.16.0.0/16", ""]
    assert not any(s.is_declared for s in drawn("").segments)


def test_each_switch_stands_below_its_uplink() -> None:
    assert [(depth, s.name) for depth, s in drawn().switches] == [
        (0, "attic"),
        (0, "core"),
        (1, "sw9"),
        (1, "sw10"),
    ]


def test_a_port_is_a_switchs_only_where_the_switch_is_known() -> None:
    hosts = {host.name: host for segment in drawn().segments for host in segment.hosts}
    assert switch_port(hosts["b"], drawn()) == ("sw9", "Eth1/2")
    assert [switch_port(hosts[name], drawn()) for name in ("a", "c", "new")] == [("", "")] * 3


def test_numbers_in_names_count() -> None:
    assert sorted(["r10", "r9", "", "9", "x"], key=natural) == ["", "9", "r9", "r10", "x"]
