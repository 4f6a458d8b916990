"""Fleets to draw: a small one that is a golden, and one of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bootstrapd.config import parse_hosts
from bootstrapd.model import HostBook

GOLDEN: Final = Path(__file__).parent / "golden" / "topology"
_PROFILES: Final = {
    "profiles/node.toml": 'image = "installer"\nlayout = "single-disk"\n',
    "profiles/desk.toml": 'system = "darwin"\n',
}


def files(**networks: str) -> dict[str, str]:
    """The small fleet's hosts folder."""
    return {
        "networks.toml": (GOLDEN / "networks.toml").read_text(),
        **_PROFILES,
        "w-1/host.toml": _host("node", 1, "10.1.0.11/24", 'port = "rack4/Eth1/1"', '[labels]\nrack = "4"\n'),
        "w-10/host.toml": _host("node", 2, "10.2.0.10/23"),
        "w-2/host.toml": 'profile = "node"\n[match]\nport = "rack4/Eth1/2"\n',
        "mac-1/host.toml": _host("desk", 3, "192.168.7.9/24"),
        **networks,
    }


def small() -> HostBook:
    return parse_hosts(files())


def large(count: int) -> HostBook:
    """Hosts in two racks and two networks."""
    hosts = {
        f"cim-worker-{at:03}/host.toml": _host(
            "node",
            at,
            f"10.{1 + at % 2}.{at >> 8}.{at & 255}/16",
            f'port = "rack{4 + at % 2}/Eth1/{at}"',
            f'[labels]\nrack = "{4 + at % 2}"\n',
        )
        for at in range(3, count + 3)
    }
    networks = """\
[network.boot]
subnet = "10.1.0.0/16"
appliance = "10.1.0.1"
[network.storage]
subnet = "10.2.0.0/16"
vlan = 20
[switch.core]
[switch.rack4]
networks = ["boot", "storage"]
uplink = "core"
[switch.rack5]
networks = ["boot", "storage"]
uplink = "core"
"""
    return parse_hosts({**_PROFILES, **hosts, "networks.toml": networks})


def _host(profile: str, number: int, address: str, match: str = "", rest: str = "") -> str:
    macs = ", ".join(f'"52:54:00:{number >> 8:02x}:{number & 255:02x}:0{nic}"' for nic in (1, 2))
    return f'profile = "{profile}"\n[match]\nmac = [{macs}]\n{match}\n[network]\naddress = "{address}"\n{rest}'
