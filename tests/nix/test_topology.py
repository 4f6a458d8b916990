"""`bootstrapd topology --format nix` is a module for nix-topology: parsed always, its options where given."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleets import files, large, small
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from nix_tools import evaluate, parse
from nix_tools import given as folder_given

from bootstrapd.config import parse_hosts
from bootstrapd.model import HostBook
from bootstrapd.policy.topology import fleet
from bootstrapd.policy.topology_nix import nix

MODULE = "{ file }: import file { }"
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30) | st.sampled_from(
    ['${builtins.abort "x"}', '"; evil = 1; a = "', "\\", "''", "$${x}", "\\${x}", "a\\"]
)


def written(tmp_path: Path, book: HostBook) -> Path:
    file = tmp_path / "topology.nix"
    file.write_text(nix(fleet(book)), "utf-8")
    parse([file])
    return file


def test_the_small_fleet_as_a_module(tmp_path: Path) -> None:
    module = evaluate(MODULE, file=written(tmp_path, small()))
    assert module["networks"]["boot"] == {"name": "boot (VLAN 10)", "cidrv4": "10.1.0.0/24"}
    assert set(module["nodes"]) == {"w-1", "w-2", "w-10", "mac-1", "core", "rack4", "bootstrapd"}
    assert module["nodes"]["w-1"]["interfaces"]["nic1"] == {
        "mac": "52:54:00:00:01:01",
        "addresses": ["10.1.0.11"],
        "network": "boot",
        "gateways": ["10.1.0.1"],
        "physicalConnections": [{"node": "rack4", "interface": "Eth1/1"}],
    }
    assert set(module["nodes"]["rack4"]["interfaces"]) == {"Eth1/1", "Eth1/2", "uplink"}
    assert module["nodes"]["mac-1"]["deviceType"] == "device"


def test_a_switch_or_a_host_with_a_name_that_is_taken_gets_a_node_of_its_own(tmp_path: Path) -> None:
    hosts = dict.fromkeys(("rack4/host.toml", "bootstrapd/host.toml"), 'profile = "node"\n')
    nodes = evaluate(MODULE, file=written(tmp_path, parse_hosts({**files(), **hosts})))["nodes"]
    assert {"rack4", "switch-rack4", "bootstrapd", "bootstrapd-appliance"} <= set(nodes)
    assert nodes["switch-rack4"]["deviceType"] == "switch"
    assert nodes["w-1"]["interfaces"]["nic1"]["physicalConnections"][0]["node"] == "switch-rack4"


def test_no_node_takes_the_place_of_another(tmp_path: Path) -> None:
    """Also where what a switch or the appliance would be called instead is somebody's name."""
    names = ("core", "switch-core", "switch-core-2", "bootstrapd")
    hosts = {f"{name}/host.toml": f'profile = "node"\nmatch.port = "core/{name}"\n' for name in names}
    hosts |= {"core/host.toml": 'profile = "node"\nmatch.port = "switch-core/·"\n'}
    hosts |= {"w-2/host.toml": 'profile = "node"\nmatch.port = "switch-core/\\u202e"\n'}
    # those two are one port, as they are shown
    switches = "".join(f"[switch.{name}]\n" for name in ("core", "switch-core", "bootstrapd-appliance"))
    networks = f'[network.boot]\nsubnet = "10.1.0.0/24"\nappliance = "10.1.0.2"\n{switches}'
    book = parse_hosts({**files(), **hosts, "networks.toml": networks})
    nodes = evaluate(MODULE, file=written(tmp_path, book))["nodes"]
    assert len(nodes) == len(book.hosts) + len(book.switches) + 1, "and the appliance"
    assert all(nodes[name]["hardware"]["info"].startswith(("node", "desk")) for name in book.hosts)
    ports = {
        (link["node"], link["interface"])
        for name in book.hosts
        for nic in nodes[name]["interfaces"].values()
        for link in nic.get("physicalConnections", [])
    }
    assert all(port in nodes[node]["interfaces"] for node, port in ports)
    assert len(ports) == len(names)  # three of core, and one that two hosts are on


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=8, max_size=8))
def test_strings_come_back_as_they_went_in(texts: list[tuple[str, str]]) -> None:
    import tempfile

    book = small()
    w1 = book.hosts["w-1"]
    many = {
        f"h{at}": replace(w1, name=f"h{at}", port=f"rack4/{port or 1}", labels={"rack": rack})
        for at, (rack, port) in enumerate(texts)
    }
    with tempfile.TemporaryDirectory() as folder:
        nodes = evaluate(MODULE, file=written(Path(folder), replace(book, hosts=many)))["nodes"]
    for at, (rack, port) in enumerate(texts):
        shown = "".join(char if char.isprintable() else "·" for char in rack)
        assert nodes[f"h{at}"]["hardware"]["info"] == f"node, rack {shown}" if rack else "node"
        (link,) = nodes[f"h{at}"]["interfaces"]["nic1"]["physicalConnections"]
        assert link["interface"] in nodes["rack4"]["interfaces"], port


@pytest.mark.parametrize("count", [0, 60])
def test_nix_topology_takes_it(tmp_path: Path, count: int) -> None:
    """Its own options, assertions and warnings, over the real nixpkgs lib; no renderer runs."""
    real, lib = folder_given("NIX_TOPOLOGY"), folder_given("NIXPKGS")
    book = large(count) if count else small()
    expression = """
    { real, lib, file }:
    let
      l = import (lib + "/lib");
      own = name: import (real + "/options/${name}.nix") (module: module);
      checked = l.evalModules {
        modules = map own [ "icons" "interfaces" "networks" "nodes" ] ++ [
          file
          {
            options = {
              assertions = l.mkOption { type = l.types.listOf l.types.attrs; default = [ ]; };
              warnings = l.mkOption { type = l.types.listOf l.types.str; default = [ ]; };
              lib = l.mkOption { type = l.types.attrsOf l.types.attrs; default = { }; };
              topology.isMainModule = l.mkOption { type = l.types.bool; default = true; };
            };
          }
        ];
      };
    in
    {
      wrong = map (a: a.message) (l.filter (a: !a.assertion) checked.config.assertions);
      inherit (checked.config) warnings;
      nodes = l.mapAttrs (_: n: { inherit (n) name deviceType deviceIcon; inherit (n.renderer) preferredType;
        nets = l.mapAttrs (_: i: i.network) n.interfaces; }) checked.config.nodes;
    }
    """
    found = evaluate(expression, real=real, lib=lib, file=written(tmp_path, book))
    assert (found["wrong"], found["warnings"]) == ([], [])
    assert set(book.hosts) | set(book.switches) < set(found["nodes"])
    assert found["nodes"]["core"]["deviceIcon"] == "devices.switch"
    if not count:
        assert found["nodes"]["w-1"]["nets"] == {"nic1": "boot", "nic2": None}
        assert found["nodes"]["rack4"]["nets"]["Eth1/2"] == "boot"
        assert found["nodes"]["mac-1"]["preferredType"] == "card"
