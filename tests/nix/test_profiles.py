"""The profiles that ship: what they ask of a machine, and the system that they make of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

import pytest
from nix_tools import ROOT, NixError, evaluate, given

from bootstrapd.config import parse_hosts
from bootstrapd.model import Disk, Gpu, Hardware, Nic, Profile
from bootstrapd.policy.disks import choose
from bootstrapd.policy.requirements import shortfalls

FOLDER: Final = ROOT / "hosts" / "profiles"
GPUS: Final = {
    "RTX A6000": "10de:2230",
    "RTX 3060 12GB": "10de:2504",
    "RTX 4090": "10de:2684",
    "A100 PCIe": "10de:20f1",
}
PASSTHROUGH: Final = {"cim": {"passthrough": {"gpus": ["10de:2230", "10de:1aef"]}}}


def profile(name: str) -> Profile:
    return parse_hosts({}).profiles[name]


def node(gpu: str, **fields: Any) -> Hardware:
    """A machine that a CIM node may be."""
    own: dict[str, Any] = {
        "cpu_threads": 32,
        "memory_bytes": 64 << 30,
        "disks": (nvme("nvme0n1", 2 * 10**12), nvme("nvme1n1", 10**12)),
        "nics": (Nic(name="eth0", mac="52:54:00:aa:bb:01", speed_mbps=10_000, has_link=True),),
        "gpus": (Gpu(pci_id=gpu),),
    }
    return Hardware(**{**own, **fields})


def nvme(name: str, size_bytes: int) -> Disk:
    return Disk(
        name=name, size_bytes=size_bytes, type="nvme", serial=f"S-{name}", by_id=f"/dev/disk/by-id/{name}"
    )


def system(name: str, **args: Any) -> dict[str, Any]:
    found: dict[str, Any] = evaluate("import ./tests/nix/profile.nix", name=name, **args)
    return found


def test_each_profile_has_its_system_beside_it_and_its_layout() -> None:
    files = {file.stem for file in FOLDER.glob("*.toml")}
    assert files == {file.stem for file in FOLDER.glob("*.nix")}
    assert files == set(parse_hosts({}).profiles)
    for each in parse_hosts({}).profiles.values():
        assert not each.layout or (ROOT / f"hosts/layouts/{each.layout}.nix").exists()


@pytest.mark.parametrize("gpu", GPUS, ids=str)
def test_a_cim_node_is_taken(gpu: str) -> None:
    wanted = profile("cim-node")
    assert shortfalls(node(GPUS[gpu]), wanted.requires, wanted.name) == []


def test_a_machine_that_is_no_cim_node_hears_every_reason() -> None:
    small = node("10de:2182", cpu_threads=16, memory_bytes=32 << 30, disks=(nvme("nvme0n1", 10**12),))
    wanted = profile("cim-node")
    reasons = shortfalls(small, wanted.requires, wanted.name)
    assert len(reasons) == 4
    for part in ("16 CPU threads", "32 GB memory", "2 TB", "GTX 1660"):
        assert part in str(reasons)


@pytest.mark.parametrize("name", ["cim-node", "cim-node-passthrough"])
def test_its_disks_are_chosen_without_a_word_in_host_toml(name: str) -> None:
    choice = choose(profile(name).disk, node("10de:2230"))
    assert {one.role: one.name for one in choice.disks} == {"main": "nvme1n1", "data": "nvme0n1"}


def test_a_cim_node() -> None:
    check_node(system("cim-node"))


def check_node(found: dict[str, Any]) -> None:
    assert found["failures"] == []
    assert (found["videoDrivers"], found["graphics"], found["nvidia"], found["containers"]) == (
        ["nvidia"],
        True,
        True,
        True,
    )
    nats = found["nats"]
    assert (nats["enable"], nats["jetstream"], nats["serverName"]) == (True, True, "node-1")
    assert nats["settings"]["jetstream"]["domain"] == "node-1"
    assert nats["settings"]["host"] == "127.0.0.1"
    assert nats["settings"]["leafnodes"]["remotes"] == []
    assert found["exporters"] == {"nats": True, "node": True}
    assert found["dcgm"]["library"] == "/run/opengl-driver/lib"
    assert found["dcgm"]["serviceConfig"]["ExecStart"].endswith("/bin/dcgm-exporter --address :9400")
    assert not {7777, 9100, 9400} & set(found["ports"])
    assert found["mayInstall"] == [True, True, True, False]


def test_a_cim_node_as_a_leaf_of_the_hub() -> None:
    own = {
        "hub": ["tls://hub.example.org:7422"],
        "credentialsFile": "/var/lib/secrets/leaf.creds",
        "domain": "rack-4",
        "openFirewall": True,
    }
    found = system("cim-node", extra={"cim": {"node": own}})
    assert found["nats"]["settings"]["leafnodes"]["remotes"] == [
        {"url": "tls://hub.example.org:7422", "credentials": "/run/credentials/nats.service/leaf.creds"}
    ]
    assert found["nats"]["credentials"] == "leaf.creds:/var/lib/secrets/leaf.creds"
    assert found["nats"]["settings"]["jetstream"]["domain"] == "rack-4"
    assert {7777, 9100, 9400} <= set(found["ports"])


def test_a_host_of_virtual_machines_gives_its_gpus_away() -> None:
    found = system("cim-node-passthrough", extra=PASSTHROUGH)
    assert found["extraModprobeConfig"].strip() == "options vfio-pci ids=10de:2230,10de:1aef"
    assert {"intel_iommu=on", "iommu=pt"} <= set(found["kernelParams"])
    assert found["libvirt"]
    assert found["videoDrivers"] == []


def test_which_gpus_has_to_be_said() -> None:
    with pytest.raises(NixError, match="expected the PCI ids of the GPUs") as refused:
        system("cim-node-passthrough")
    assert "bootstrapd machines show" in refused.value.message


def test_minimal_speaks_on_both_consoles() -> None:
    found = system("minimal")
    assert found["kernelParams"] == ["console=ttyS0,115200n8", "console=tty0"]
    assert not found["nats"]["enable"]


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("hardware.graphics.enable", "hardware.opengl.enable", "opengl"),
        (
            "hardware.nvidia-container-toolkit.enable = true",
            "services.nvidia-docker.enable = true",
            "nvidia-docker",
        ),
        ("jetstream = true", "jetstream = { domain = cfg.domain; }", "jetstream"),
        ("nvidiaSettings = false", "nvidiaSetting = false", "nvidiaSetting"),
        ("leafnodes.remotes", "leafnode.remotes", ""),
        ("pkgs.prometheus-dcgm-exporter", "pkgs.dcgm-exporter", "dcgm-exporter"),
    ],
    ids=lambda text: text[:30],
)
def test_a_wrong_attribute_in_a_profile_is_noticed(tmp_path: Path, good: str, bad: str, said: str) -> None:
    shutil.copytree(FOLDER, tmp_path / "profiles")
    file = tmp_path / "profiles" / "cim-node.nix"
    text = file.read_text("utf-8")
    assert text.count(good) == 1
    file.write_text(text.replace(good, bad), "utf-8")
    with pytest.raises((NixError, AssertionError, KeyError)) as refused:
        check_node(system("cim-node", profiles=tmp_path / "profiles"))
    assert said in str(refused.value)


@pytest.mark.parametrize("name", ["minimal", "cim-node", "cim-node-passthrough"])
def test_all_of_nixos_takes_it(name: str) -> None:
    extra = PASSTHROUGH if name.endswith("passthrough") else {}
    found = system(name, extra=extra, nixpkgs=given("NIXPKGS"))
    assert found["failures"] == []
    if name == "cim-node":
        check_node(found)


def check_mac(found: dict[str, Any]) -> None:
    daemons = found["daemons"]
    assert daemons["nats"]["KeepAlive"] is True
    assert daemons["nats"]["ProgramArguments"][1] == "--config"
    assert daemons["nats"]["SoftResourceLimits"]["NumberOfFiles"] == 524288
    assert daemons["limit-maxfiles"]["ProgramArguments"][:3] == ["/bin/launchctl", "limit", "maxfiles"]
    assert daemons["cim"]["ProgramArguments"] == ["/opt/cim/bin/cim-agent"]
    assert found["sleep"] == {"computer": "never", "harddisk": "never"}
    assert found["restarts"] == [True, True]


def test_a_mac() -> None:
    check_mac(evaluate("import ./tests/nix/mac.nix { }"))


def test_nix_darwin_takes_the_mac() -> None:
    """Its own modules: what launchd will have."""
    check_mac(evaluate("import ./tests/nix/mac.nix", darwin=given("DARWIN"), nixpkgs=given("NIXPKGS")))
