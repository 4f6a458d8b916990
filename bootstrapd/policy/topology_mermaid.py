"""The fleet as a Mermaid flowchart: for a page that draws it itself. Ids are our own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bootstrapd.model import Host, Network
from bootstrapd.policy.topology import Fleet, clean

# Mermaid reads entities in a label, `"` ends it, and backquotes begin Markdown.
_ESCAPES: Final = str.maketrans({char: f"#{ord(char)};" for char in '"#&<>`\\{}[]()|;'})


def mermaid(fleet: Fleet) -> str:
    """The fleet as the text of a Mermaid diagram."""
    return "\n".join(["flowchart LR", *(f"  {line}" for line in _lines(fleet)), ""])


def _lines(fleet: Fleet) -> Iterator[str]:
    networks = {network.name: f"n{at}" for at, network in enumerate(fleet.networks)}
    switches = {switch.name: f"s{at}" for at, switch in enumerate(fleet.all_switches)}
    for switch in fleet.all_switches:
        yield f"{switches[switch.name]}{{{{{_label(switch.name, switch.description)}}}}}"
        if switch.uplink:
            yield f"{switches[switch.uplink]} --- {switches[switch.name]}"
    for network in fleet.networks:
        yield f"{networks[network.name]}([{_network(network)}])"
    for switch in fleet.all_switches:
        yield from (f"{switches[switch.name]} -.- {networks[name]}" for name in switch.networks)
    for network in fleet.networks:
        if network.appliance:
            own = f"a_{networks[network.name]}"
            yield f"{own}[[{_label('bootstrapd', 'the appliance', network.appliance)}]]"
            yield f"{networks[network.name]} --- {own}"
    at = 0
    for section in fleet.sections:
        for host in section.hosts:
            yield f"h{at}[{_host(host)}]"
            if section.network:
                yield f"{networks[section.network.name]} --- h{at}"
            at += 1


def _network(network: Network) -> str:
    vlan = f"VLAN {network.vlan}" if network.vlan else ""
    gateway = f"gateway {network.gateway}" if network.gateway else ""
    return _label(network.name, network.subnet, vlan, gateway, network.description)


def _host(host: Host) -> str:
    """With its port as words: a line more a host, and Mermaid would draw no large fleet (500 at most)."""
    rack = f"rack {host.labels['rack']}" if "rack" in host.labels else ""
    return _label(
        host.name, host.profile, rack, host.address, *host.macs, f"port {host.port}" if host.port else ""
    )


def _label(*lines: str) -> str:
    return '"' + "<br/>".join(clean(line).translate(_ESCAPES) for line in lines if line) + '"'
