"""networks.toml's text -> networks and switches, or every mistake in it.

What the file says of itself is checked here; what it says beside the hosts (two that have one address) is too,
since only `parse_hosts` sees both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct

from bootstrapd.config.check import Report, read, toml, unknown
from bootstrapd.config.tables import NetworksTable, SubnetTable, SwitchTable
from bootstrapd.model import Host, Network, Switch
from bootstrapd.policy import network as addresses

FILE: Final = "networks.toml"


class Networks(Struct, frozen=True, kw_only=True):
    """What networks.toml says."""

    networks: dict[str, Network] = {}
    switches: dict[str, Switch] = {}
    source: str = FILE


def parse_networks(text: str, source: str, report: Report) -> Networks | None:
    """The file's networks and switches; None after a syntax error. Every mistake is reported with its key."""
    table = toml(text, report)
    if table is None:
        return None
    said = read(NetworksTable, table, report)
    for name, network in said.network.items():
        if network.subnet:
            _check_addresses(f"network.{name}", network, report)
            if network.tagged and not network.vlan:
                report(f"network.{name}.tagged", "expected vlan beside it, the number that frames carry")
        elif "subnet" not in table["network"][name]:
            report(f"network.{name}.subnet", 'expected an IPv4 network such as "10.1.0.0/24", found nothing')
    networks = {name: _network(name, network) for name, network in said.network.items() if network.subnet}
    _check_between(networks.values(), report)
    _check_switches(said.switch, said.network, report)
    switches = {
        name: Switch(name=name, networks=switch.networks, uplink=switch.uplink, description=switch.description)
        for name, switch in said.switch.items()
    }
    return Networks(networks=networks, switches=switches, source=source)


def taken_addresses(hosts: Iterable[Host], networks: Networks) -> Iterator[str]:
    """A sentence for each host whose address another host, a gateway or the appliance has."""
    taken = {
        addresses.address(text): f"{networks.source} (network.{network.name}.{key})"
        for network in networks.networks.values()
        for key in ("gateway", "appliance")
        if (text := getattr(network, key))
    }
    for host in hosts:
        if host.address:
            first = taken.setdefault(addresses.address(host.address), host.source)
            if first is not host.source:
                yield f"{host.source}: network.address: {host.address} is the address of {first} too"


def _network(name: str, table: SubnetTable) -> Network:
    return Network(
        name=name,
        subnet=str(addresses.subnet(table.subnet)),
        vlan=table.vlan,
        tagged=table.tagged,
        gateway=table.gateway,
        dns=table.dns,
        appliance=table.appliance,
        description=table.description,
    )


def _check_addresses(key: str, table: SubnetTable, report: Report) -> None:
    subnet = addresses.subnet(table.subnet)
    if str(subnet) != table.subnet:
        report(f"{key}.subnet", f'{table.subnet} is an address in a network: did you mean "{subnet}"?')
    for name in ("gateway", "appliance"):
        text = getattr(table, name)
        if text and (wrong := addresses.unusable(text, subnet)):
            report(f"{key}.{name}", f"expected an address in {subnet}, found {text}, which is {wrong}")
    if table.gateway and table.gateway == table.appliance:
        report(f"{key}.appliance", f"{table.appliance} is the gateway's address: the appliance routes nothing")


def _check_between(networks: Iterable[Network], report: Report) -> None:
    networks = sorted(networks, key=lambda network: network.name)  # as Nix, which knows no order of tables
    for first, second in addresses.overlaps(networks):
        report(
            f"network.{second.name}.subnet",
            f"{second.subnet} overlaps {first.subnet} of network {first.name}: an address is in one of them",
        )
    vlans: dict[int, Network] = {}
    for network in networks:
        first = vlans.setdefault(network.vlan, network) if network.vlan else network
        if first is not network:
            report(f"network.{network.name}.vlan", f"VLAN {network.vlan} is that of network {first.name} too")


def _check_switches(
    switches: Mapping[str, SwitchTable], networks: Mapping[str, SubnetTable], report: Report
) -> None:
    for name, switch in switches.items():
        for at, network in enumerate(switch.networks):
            if network not in networks:
                report(f"switch.{name}.networks[{at}]", unknown("network", network, networks))
            elif network in switch.networks[:at]:
                report(f"switch.{name}.networks[{at}]", f"{network} is named twice")
        if switch.uplink and switch.uplink not in switches:
            hint = unknown("switch", switch.uplink, set(switches) - {name})
            report(
                f"switch.{name}.uplink", f"{hint} (a switch without more to say is [switch.{switch.uplink}])"
            )
        elif name in (above := _above(name, switches)):
            report(f"switch.{name}.uplink", f"leads back to {name}: {' -> '.join([name, *above])}")


def _above(name: str, switches: Mapping[str, SwitchTable]) -> list[str]:
    """The switches on the way up from this one, each once."""
    found: dict[str, None] = {}
    while (uplink := switches[name].uplink) and uplink in switches and uplink not in found:
        found[uplink] = None
        name = uplink
    return list(found)
