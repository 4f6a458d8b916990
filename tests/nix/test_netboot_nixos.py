"""The live systems with all of NixOS around them, where NIXPKGS names a nixpkgs: what stage 1, systemd, sshd
and udev get in the end. Evaluated, not built."""

from __future__ import annotations

import json
import shlex
from functools import cache
from typing import Any, Final

import pytest
import units
from nix_tools import evaluate, given

KINDS: Final = ("installer", "discovery")
SYSTEMS: Final = ("x86_64-linux", "aarch64-linux")
KERNELS: Final = {"x86_64-linux": "bzImage", "aarch64-linux": "Image"}


@cache
def nixos(kind: str, system: str = "x86_64-linux", *, has_systemd: bool = False) -> dict[str, Any]:
    answer: dict[str, Any] = evaluate(
        "import ./tests/nix/netboot.nix",
        module=f"{kind}.nix",
        system=system,
        extra={"boot": {"initrd": {"systemd": {"enable": has_systemd}}}},
        nixpkgs=given("NIXPKGS"),
        timeout_s=600,
    )
    return answer


def words_of(script: str) -> list[str]:
    (line,) = [line for line in script.splitlines() if line.startswith("kernel ")]
    return line.split()[1:]


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_assertion_fails_and_nothing_is_warned_of(kind: str, system: str) -> None:
    found = nixos(kind, system)
    assert (found["failures"], found["warnings"]) == ([], [])


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_image_boots_what_nixpkgs_own_script_boots(kind: str, system: str) -> None:
    kernel, *words = words_of(nixos(kind, system)["script"])
    manifest = json.loads(nixos(kind, system)["manifest"] + "}")
    assert manifest["kernel"] == kernel == KERNELS[system]
    assert manifest["cmdline"].split() == [
        w for w in words if not w.startswith("initrd=") and w != "${cmdline}"
    ]
    assert manifest["cmdline"].startswith("init=/nix/store/")
    assert manifest["arch"] == system.partition("-")[0]


def test_os_release_is_what_nixos_anywhere_looks_for() -> None:
    release = dict(word.split("=", 1) for word in shlex.split(nixos("installer")["release"]))
    assert (release["ID"], release["VARIANT_ID"]) == ("nixos", "installer")
    assert (
        dict(w.split("=", 1) for w in shlex.split(nixos("discovery")["release"]))["VARIANT_ID"] == "discovery"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_in_all_of_nixos_has_a_password(kind: str) -> None:
    users = nixos(kind)["users"]
    assert users["root"]["hashedPassword"] == "!"
    assert {value for user in users.values() for value in user.values()} <= {None, "!"}
    assert nixos(kind)["autologin"] is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_agents_unit_is_complete(kind: str) -> None:
    unit = units.read(nixos(kind)["texts"]["bootstrapd-agent.service"])
    path = next(value for value in unit["Service"]["Environment"] if value.startswith('"PATH='))
    for program in ("coreutils", "curl", "gawk", "gnugrep", "gnused", "iproute2", "util-linux"):
        assert f"-{program}" in path
    assert ("openssh" in path) == (kind == "installer")
    assert unit["Install"]["WantedBy"] == ["multi-user.target"]
    assert unit["Unit"]["Wants"] == ["network-online.target"]


@pytest.mark.parametrize("kind", KINDS)
def test_systemds_stage_1_has_the_unit_and_nothing_that_it_refuses(kind: str) -> None:
    found = nixos(kind, has_systemd=True)
    assert found["failures"] == []
    unit = units.read(found["stage1Texts"]["bootstrapd-overlay.service"])
    assert unit["Unit"]["RequiresMountsFor"] == ["/sysroot"]
    assert unit["Install"]["WantedBy"] == ["initrd.target"]
    assert found["stage1"]["postMountCommands"] == ""


@pytest.mark.parametrize("kind", KINDS)
def test_no_unit_and_no_rule_takes_up_old_disks(kind: str) -> None:
    found = nixos(kind)
    started = [
        name for name in found["names"] if name.startswith(("mdmonitor", "zfs-import-", "lvm2-", "bcache"))
    ]
    assert started == []
    assert "mdadm" not in found["udevPackages"]
    assert not any("bcache" in name for name in found["udevPackages"])


def test_the_discovery_image_has_no_way_in_and_no_tools() -> None:
    found = nixos("discovery")
    assert [name for name in found["names"] if name.startswith(("sshd", "nix-daemon"))] == []
    tools = {"nixos-install", "mdadm", "lvm2", "zfs", "cryptsetup", "parted", "gptfdisk", "btrfs-progs", "nix"}
    assert tools & set(found["packages"]) == set()
    assert "lvm2" not in found["udevPackages"]


def test_the_installer_has_what_nixos_anywhere_runs() -> None:
    wanted = {"nixos-install", "nixos-facter", "nix", "gnutar", "cpio", "util-linux", "openssh", "zfs", "mdadm"}
    assert wanted - set(nixos("installer")["packages"]) == set()


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_packages_of_the_flake_are_these_images(system: str) -> None:
    names = evaluate(
        "{ nixpkgs, system }: builtins.mapAttrs (_: image: image.name) "
        "(import ./netboot { inherit nixpkgs system; })",
        nixpkgs=str(given("NIXPKGS")),
        system=system,
        timeout_s=600,
    )
    cpu = system.partition("-")[0]
    assert names == {kind: f"bootstrapd-{kind}-{cpu}" for kind in KINDS}
