"""The fleet as a module for nix-topology (github:oddlama/nix-topology), which adds what NixOS itself knows.

Of its options it sets `networks.<id>.{name,cidrv4}` and `nodes.<id>.{name,deviceType,deviceIcon,hardware.info,
renderer.preferredType,interfaces}`. A host's node has the host's name, as nix-topology names a NixOS host by
default, so that both are one node.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import chain, count
from typing import Final

from bootstrapd.model import Host, Network, Switch
from bootstrapd.policy.topology import Fleet, Section, clean, switch_of

HEAD: Final = """\
# The fleet for nix-topology, made by `bootstrapd topology --format nix`. A module of its top level:
#   topology.<system> = import nix-topology { inherit pkgs; modules = [ ./topology.nix ]; };"""
_INDENT: Final = "  "

_BARE: Final = re.compile("(?!(?:assert|else|if|in|inherit|let|or|rec|then|with)$)[A-Za-z_][A-Za-z0-9_-]*")

Value = str | list["Value"] | dict[str, "Value"]


def nix(fleet: Fleet) -> str:
    """The fleet as the text of a Nix file."""
    names = {host.name for host in fleet.hosts}
    switches = {switch.name: switch for switch in fleet.all_switches}
    nodes = {name: _free(names, name, f"switch-{name}") for name in switches}
    appliance = _free(names, "bootstrapd", "bootstrapd-appliance")
    ports: dict[str, dict[str, Value]] = {name: {} for name in switches}
    tree: dict[str, Value] = {
        host.name: _host(host, section, fleet, nodes, ports)
        for section in fleet.sections
        for host in section.hosts
    }
    for switch in switches.values():
        if switch.uplink:
            _connect(switch, nodes, ports)
    tree |= {nodes[switch.name]: _switch(switch, ports[switch.name]) for switch in switches.values()}
    if any(network.appliance for network in fleet.networks):
        tree[appliance] = _appliance(fleet)
    module: dict[str, Value] = {"networks": {n.name: _network(n) for n in fleet.networks}, "nodes": tree}
    return f"{HEAD}\n{{ ... }}:\n{_written(module, '')}\n"


def _free(taken: set[str], name: str, instead: str) -> str:
    """What nobody's node is called yet: the name, or the one instead, numbered if need be. It is taken then."""
    names = chain((name, instead), (f"{instead}-{number}" for number in count(2)))
    found = next(each for each in names if each not in taken)
    taken.add(found)
    return found


def _network(network: Network) -> dict[str, Value]:
    vlan = f" (VLAN {network.vlan})" if network.vlan else ""
    return {"name": network.name + vlan, "cidrv4": network.subnet}


def _host(
    host: Host,
    section: Section,
    fleet: Fleet,
    nodes: Mapping[str, str],
    ports: Mapping[str, dict[str, Value]],
) -> dict[str, Value]:
    rack = host.labels.get("rack", "")
    first: dict[str, Value] = {}
    if host.address:
        first["addresses"] = [host.address.partition("/")[0]]
    if section.network:
        first["network"] = section.network.name
        if section.network.gateway:
            first["gateways"] = [section.network.gateway]
    switch, port = map(clean, switch_of(host))  # what looks alike is one port: an attribute stands there once
    if switch in ports:
        first["physicalConnections"] = [{"node": nodes[switch], "interface": port}]
        ports[switch].setdefault(port, {})
    interfaces: dict[str, Value] = {f"nic{at}": {"mac": str(mac)} for at, mac in enumerate(host.macs, 1)}
    if first or interfaces:
        mac = interfaces.get("nic1", {})
        interfaces["nic1"] = (mac if isinstance(mac, dict) else {}) | first
    info = ", ".join(filter(None, (host.profile, f"rack {rack}" if rack else "")))
    node: dict[str, Value] = {"name": host.name, "deviceType": "nixos"}
    if fleet.profiles[host.profile].is_darwin:
        kind: dict[str, Value] = {"deviceType": "device", "deviceIcon": "devices.desktop"}
        node |= kind | {"renderer": {"preferredType": "card"}}
    return node | {"hardware": {"info": info}, "interfaces": interfaces}


def _connect(switch: Switch, nodes: Mapping[str, str], ports: Mapping[str, dict[str, Value]]) -> None:
    """The cable between a switch and the one above it."""
    below = f"to {switch.name}"
    ports[switch.uplink].setdefault(below, {})
    ports[switch.name]["uplink"] = {"physicalConnections": [{"node": nodes[switch.uplink], "interface": below}]}


def _switch(switch: Switch, ports: dict[str, Value]) -> dict[str, Value]:
    """nix-topology lets the ports of a switch share one network; one that carries several must not."""
    if len(switch.networks) != 1:
        apart: dict[str, Value] = {"sharesNetworkWith": []}
        ports = {name: (port if isinstance(port, dict) else {}) | apart for name, port in ports.items()}
    carries = f"carries {', '.join(switch.networks)}" if switch.networks else ""
    info = ", ".join(filter(None, (switch.description, carries)))
    return {"name": switch.name, "deviceType": "switch", "hardware": {"info": info}, "interfaces": ports}


def _appliance(fleet: Fleet) -> dict[str, Value]:
    interfaces: dict[str, Value] = {
        network.name: {"addresses": [network.appliance], "network": network.name}
        for network in fleet.networks
        if network.appliance
    }
    return {
        "name": "bootstrapd",
        "deviceType": "nixos",
        "hardware": {"info": "the appliance that boots and installs the hosts"},
        "interfaces": interfaces,
    }


def _written(value: Value, indent: str) -> str:
    deeper = indent + _INDENT
    match value:
        case dict():
            rows = [f"{deeper}{_key(key)} = {_written(item, deeper)};\n" for key, item in value.items()]
            return f"{{\n{''.join(rows)}{indent}}}" if rows else "{ }"
        case list():
            return " ".join(["[", *(_written(item, indent) for item in value), "]"])
        case str():
            return _string(value)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _string(name)


def _string(text: str) -> str:
    return '"' + clean(text).replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${") + '"'
