"""hosts/layouts/*.nix: what each makes of its disks, that an install of it passes the appliance's checks, and
that its machine starts from its own disk. With NIXPKGS and DISKO: the real NixOS, the real disko's script.

A golden that changed on purpose: BOOTSTRAPD_GOLDEN=write .venv/bin/pytest tests/nix/test_layouts.py
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Final

import pytest
from install_values import job
from nix_fleet import LAYOUTS, host_of, roles, write
from nix_tools import ROOT, NixError, evaluate, given

from bootstrapd.model import ChosenDisk
from bootstrapd.policy.install_facts import judge_layout

GOLDEN: Final = ROOT / "tests" / "golden" / "layouts"
LOOK: Final = """{ folder, real }:
let
  config = ((import ./tests/nix/fleet.nix real) { inherit folder; }).nixosConfigurations.w1.config;
in
"""


def path(role: str) -> str:
    return f"/dev/disk/by-id/virtio-{role}"


def folder(tmp_path: Path, layout: str, *, esp_label: str = "ESP", arch: str = "x86_64") -> Path:
    disks = "".join(f'[disk.{role}]\nserial = "{role}"\n' for role in roles(layout))
    write(
        tmp_path,
        {
            "w1/host.toml": host_of("p", mac=1) + disks,
            "w1/disks.json": json.dumps({role: path(role) for role in roles(layout)}),
            "profiles/p.toml": f'image = {{ {arch} = "x" }}\nlayout = "{layout}"\nesp_label = "{esp_label}"\n',
            "authorized_keys": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEl4YW1wbGU me\n",
        },
    )
    return tmp_path


def real() -> dict[str, Path]:
    return {"nixpkgs": given("NIXPKGS"), "disko": given("DISKO")}


def files_of(value: Any) -> list[dict[str, Any]]:
    """Every table in it that has a type."""
    if isinstance(value, list):
        return [found for item in value for found in files_of(item)]
    if isinstance(value, dict):
        here = [value] if "type" in value else []
        return here + [found for item in value.values() for found in files_of(item)]
    return []


GOLDEN_OF: Final = """{
  inherit (config.disko) devices;
  grub = { inherit (config.boot.loader.grub) devices mirroredBoots efiSupport efiInstallAsRemovable; };
  inherit (config.boot.loader.systemd-boot) enable;
}"""


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_what_its_golden_says(tmp_path: Path, layout: str) -> None:
    found = evaluate(LOOK + GOLDEN_OF, folder=folder(tmp_path, layout), real={})
    golden = GOLDEN / f"{layout}.json"
    if os.environ.get("BOOTSTRAPD_GOLDEN") == "write":
        golden.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    assert found == json.loads(golden.read_text())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_its_disks_are_the_chosen_ones_and_no_other(tmp_path: Path, layout: str) -> None:
    script = evaluate(LOOK + "config.system.build.diskoScript.text", folder=folder(tmp_path, layout), real={})
    check_disks(script, layout)


def check_disks(script: str, layout: str) -> None:
    chosen = tuple(ChosenDisk(role=role, path=path(role), size_bytes=1) for role in roles(layout))
    assert judge_layout(job(disks=chosen), script) is None
    fewer = judge_layout(
        job(disks=(ChosenDisk(role="main", path="/dev/disk/by-id/other", size_bytes=1),)), script
    )
    assert fewer is not None


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_esp_has_the_label_of_the_profile_and_holds_the_kernels(tmp_path: Path, layout: str) -> None:
    """What the check before the reboot looks for, and what iPXE starts a ready machine from (rule I15)."""
    devices = evaluate(
        LOOK + "config.disko.devices", folder=folder(tmp_path, layout, esp_label="EFIBOOT"), real={}
    )
    esps = [table["content"] for table in files_of(devices) if table["type"] == "EF00"]
    assert [esp["mountpoint"] for esp in esps] == (
        ["/boot", "/boot-mirror"] if "mirror" in roles(layout) else ["/boot"]
    )
    for esp in esps:
        assert esp["format"] == "vfat"
        assert esp["extraArgs"][-2:] == ["-n", "EFIBOOT"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_disk_of_it_boots_by_bios_too_and_no_passphrase_is_asked_for(tmp_path: Path, layout: str) -> None:
    devices = evaluate(LOOK + "config.disko.devices", folder=folder(tmp_path, layout), real={})
    kinds = [table["type"] for table in files_of(devices)]
    assert kinds.count("EF02") == kinds.count("EF00")
    for luks in (table for table in files_of(devices) if table["type"] == "luks"):
        assert luks["settings"]["keyFile"].startswith("/dev/disk/by-partlabel/disk-key-")
        assert luks["settings"]["keyFileSize"] > 0
        assert not luks["settings"].get("fallbackToPassword", False)


def test_the_page_on_files_tells_which_disks_each_layout_needs() -> None:
    page = (ROOT / "docs" / "config.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([a-z0-9-]+)` \| ((?:`[a-z]+`(?:, )?)+) \|", page, re.MULTILINE))
    assert {layout: tuple(re.findall(r"`([a-z]+)`", names)) for layout, names in rows.items()} == {
        layout: roles(layout) for layout in LAYOUTS
    }


@pytest.mark.parametrize(
    ("what", "by", "said"),
    [
        ("disko.devices.disk", "disko.devices.disks", "The option `disko.devices.disks' does not exist"),
        ("services.btrfs", "services.btrsf", "The option `services.btrsf' does not exist"),
    ],
)
def test_a_wrong_attribute_in_a_layout_is_an_error(tmp_path: Path, what: str, by: str, said: str) -> None:
    """The mutations that this file is for."""
    text = (ROOT / "hosts" / "layouts" / "btrfs.nix").read_text()
    assert what in text
    write(folder(tmp_path, "btrfs"), {"layouts/btrfs.nix": text.replace(what, by)})
    with pytest.raises(NixError) as refused:
        evaluate(LOOK + "config.system.build.toplevel.drvPath", folder=tmp_path, real={})
    assert said in refused.value.message


# -- by the real NixOS and the real disko

REAL: Final = """{
  failed = map (one: one.message) (builtins.filter (one: !one.assertion) config.assertions);
  inherit (config) warnings;
  toplevel = config.system.build.toplevel.drvPath;
  script = config.system.build.diskoScript.text or (builtins.readFile config.system.build.diskoScript);
  fileSystems = builtins.mapAttrs (_: one: one.fsType) config.fileSystems;
  loaders = map (one: { inherit (one) path devices; }) config.boot.loader.grub.mirroredBoots;
  luks = builtins.mapAttrs (_: one: one.keyFile) config.boot.initrd.luks.devices;
}"""


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_real_nixos_and_disko_take_it(tmp_path: Path, layout: str) -> None:
    found = evaluate(LOOK + REAL, folder=folder(tmp_path, layout), real=real())
    assert (found["failed"], found["warnings"]) == ([], [])
    assert "/" in found["fileSystems"]
    check_disks(found["script"], layout)
    booted = {device for loader in found["loaders"] for device in loader["devices"]}
    assert booted == {path(role) for role in roles(layout) if role in {"main", "mirror"}}
    assert "promptSecret" not in found["script"], "nobody is there to type"
    if "key" in roles(layout):
        made = found["script"].index("dd if=/dev/urandom")
        assert made < found["script"].index("luksFormat"), "the key is there before what it opens"
        assert found["luks"] == {"root": "/dev/disk/by-partlabel/disk-key-luks"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_real_one_installs_no_bios_loader_where_there_is_no_bios(tmp_path: Path, layout: str) -> None:
    found = evaluate(LOOK + REAL, folder=folder(tmp_path, layout, arch="aarch64"), real=real())
    assert found["failed"] == []
    assert {device for loader in found["loaders"] for device in loader["devices"]} == {"nodev"}
    paths = [loader["path"] for loader in found["loaders"]]
    assert sorted(paths) == sorted(set(paths)), "no ESP gets two loaders"
