"""The stories of vm-tests/nixos: found by their files, in step with our layouts, hosts and settings.

They run where Nix has a binary cache (vm-tests/nixos/README.md). What is proved here needs no nixpkgs; that the
test drivers evaluate asks for NIXPKGS and DISKO, and is skipped without.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
from nix_tools import ROOT, _run, evaluate, given
from nixos_stories import STORIES, nodes, stories

from bootstrapd.config import parse_hosts
from bootstrapd.config.settings import parse_config
from bootstrapd.model import Host

LAYOUTS: Final = sorted(file.stem for file in (ROOT / "hosts" / "layouts").glob("*.nix"))


@cache
def fleet() -> Mapping[str, Host]:
    folder = STORIES / "hosts"
    texts = {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*.toml")}
    return parse_hosts(texts, str(folder)).hosts


def test_each_file_is_a_story_of_its_name() -> None:
    files = {file.stem for file in (STORIES / "stories").glob("*.nix")}
    assert {"boot_and_register", "appliance_restart", "install", "ready_is_not_reinstalled"} <= files
    assert {file.stem for file in (STORIES / "stories").glob("*.py")} == files
    assert all(any(name == file or name.startswith(f"{file}_") for name in stories()) for file in files)
    for name, story in stories().items():
        assert story["name"] == name
        assert {"appliance", "site"} < set(story["nodes"])
        assert "serve()" in story["testScript"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_installed(layout: str) -> None:
    name = layout.replace("-", "_")
    assert f"install_{name}_uefi" in stories()
    can_bios = "EF02" in (ROOT / "hosts" / "layouts" / f"{layout}.nix").read_text()
    assert (f"install_{name}_bios" in stories()) == can_bios


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_machine_of_a_layout_has_the_disks_that_its_host_asks_for(layout: str) -> None:
    host = fleet()[layout]
    text = (ROOT / "hosts" / "layouts" / f"{layout}.nix").read_text()
    asked = set(re.findall(r"\bdisks\.([a-z0-9_-]+)", re.sub(r"#.*", "", text)))
    chosen = json.loads((STORIES / "hosts" / layout / "disks.json").read_text())
    serials = {role: disk.serial for role, disk in host.disk.items()}
    assert asked == set(serials), "the roles of the layout, and of the host that proves it"
    # What the appliance will write there too: the outer evaluation comes to the same closure with it.
    assert chosen == {role: f"/dev/disk/by-id/virtio-{serial}" for role, serial in serials.items()}
    assert max(map(len, serials.values())) <= 20, "a virtio disk's serial has 20 characters"


def test_a_blank_machine_is_what_its_host_says() -> None:
    blank = nodes()["install_single_disk_uefi"]["machines"]["blank"]
    mac = fleet()["single-disk"].macs[0]
    assert any(f"mac={mac},bootindex=0" in option for option in blank["qemu"]["networkingOptions"])
    assert [drive["deviceExtraOpts"]["serial"] for drive in blank["qemu"]["drives"]] == ["single-disk-main"]
    assert len(blank["emptyDiskImages"]) == 1
    assert not blank["directBoot"]["enable"]  # its firmware boots it
    assert blank["useEFIBoot"]
    assert not nodes()["install_single_disk_bios"]["machines"]["blank"]["useEFIBoot"]


def test_what_an_install_needs_is_in_the_appliances_store() -> None:
    appliance = nodes()["appliance_restart"]["appliance"]
    assert len(appliance["store"]) == 2
    assert all("single-disk" in path for path in appliance["store"])
    assert appliance["substituters"] == []
    assert f'CLOSURE = "{appliance["store"][0]}"' in stories()["appliance_restart"]["testScript"]


FLAKES: Final = {
    "nixpkgs": ("flake.nix", "{ outputs = _: { lib.x = 20; }; }"),
    "disko": (
        "flake.nix",
        """{
          inputs.nixpkgs.url = "github:nobody/nothing";
          outputs = { nixpkgs, ... }: { inherit (nixpkgs) lib; };
        }""",
    ),
    "bootstrapd": (
        "hosts/default.nix",
        """{ nixpkgs, disko }: { folder }:
          { sum = nixpkgs.lib.x + disko.lib.x + import (folder + "/two.nix"); }""",
    ),
}


def test_the_appliances_flake_needs_no_network(tmp_path: Path) -> None:
    """All that it names is in the store, though an input of an input is on the Internet: nothing is fetched."""
    inputs = {}
    for name, (file, text) in FLAKES.items():
        source = tmp_path / name / "source"  # the name that a flake has in the store
        (source / file).parent.mkdir(parents=True)
        (source / file).write_text(text)
        path = _run(["nix-store", "--add", str(source)], 60).strip()
        inputs[name] = {"outPath": path, "narHash": _run(["nix", "hash", "path", path], 60).strip()}
    made = evaluate(
        """{ inputs }: import ./vm-tests/nixos/offline.nix ({ lib = import ./tests/nix/lib.nix; } // inputs)""",
        inputs=inputs,
    )
    hosts = tmp_path / "hosts"
    hosts.mkdir()
    (hosts / "two.nix").write_text("2")
    (hosts / "flake.nix").write_text(made["flake"])
    (hosts / "flake.lock").write_text(made["lock"])
    options = ("--extra-experimental-features", "flakes", "--no-update-lock-file", "--offline")
    said = _run(["nix", "eval", *options, f"path:{hosts}#sum"], 60)
    assert said.strip() == "42"
    assert (hosts / "flake.lock").read_text() == made["lock"]


def test_the_settings_are_the_appliances_own() -> None:
    for story in nodes().values():
        lines = [*toml(story["appliance"]["settings"])]
        config = parse_config("\n".join(lines), "config.toml")
        assert config.interfaces == ("eth1",)
        assert story["appliance"]["images"] == ["installer"]


def toml(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from toml(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} = {json.dumps(value)}"


def test_the_drivers_evaluate() -> None:
    """With the real framework: every option of every node is a real one, and no assertion fails."""
    expression = "import ./tests/nix/drivers.nix"
    found = evaluate(expression, nixpkgs=given("NIXPKGS"), disko=given("DISKO"), timeout_s=1500)
    assert set(found) == set(stories())
    for name, story in found.items():
        assert "serve()" in story["script"]
        for node, facts in story["nodes"].items():
            assert not facts["failed"], (name, node)
            assert facts["units"] > 50
    install = found["install_single_disk_uefi"]["nodes"]
    assert [drive["serial"] for drive in install["blank"]["drives"]] == ["single-disk-main"]
    assert not any("user" in option for option in install["blank"]["qemu"]), "only the rack's network"
