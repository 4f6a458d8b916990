"""Would the checks notice? The module is copied and broken in one place, and the very check must fail."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pytest
from nix_tools import NixError, evaluate

from bootstrapd.config import Config

from .checks import EXPOSURE_MAX, capability_mistakes, exposure, firewall_mistakes
from .rendered import APPLIANCE, appliance, built_config, unit_text
from .test_unit import NEEDS_ANALYZE

PXE: Final = "          settings.dhcp.pxe_port\n"
TFTP: Final = "          settings.tftp.port\n        ];\n"
SERVICES: Final = {"interfaces": ["enp3s0"], "openFirewall": True}


class Mutation(NamedTuple):
    name: str
    file: str
    old: str
    new: str
    holds: Callable[[Any], object]  # the check: false where it fails


def parity(made: Any) -> bool:
    return bool(made["settings"] == json.loads(msgspec.json.encode(Config(interfaces=("enp3s0",)))))


MUTATIONS: Final = (
    Mutation("a renamed setting", "settings.nix", "max_blksize =", "max_block_size =", parity),
    Mutation("another default", "settings.nix", "port 4011", "port 4012", parity),
    Mutation(
        "PXE as TCP",
        "module.nix",
        f"{PXE}{TFTP}        allowedTCPPorts = settings",
        f"{TFTP}        allowedTCPPorts = [ settings.dhcp.pxe_port ] ++ settings",
        lambda made: not firewall_mistakes(made),
    ),
    Mutation(
        "ports on every link",
        "module.nix",
        "networking.firewall.interfaces = mkIf",
        "networking.firewall.allowedUDPPorts = [ 67 ];\n    networking.firewall.interfaces = mkIf",
        lambda made: not firewall_mistakes(made),
    ),
    Mutation(
        "a missing capability",
        "module.nix",
        '        AmbientCapabilities = [\n          "CAP_NET_BIND_SERVICE"\n          "CAP_NET_RAW"',
        '        AmbientCapabilities = [\n          "CAP_NET_BIND_SERVICE"',
        lambda made: not capability_mistakes(made),
    ),
    Mutation(
        "a capability too many",
        "module.nix",
        '          "CAP_NET_RAW"\n        ];\n        CapabilityBoundingSet',
        '          "CAP_NET_RAW"\n          "CAP_SYS_ADMIN"\n        ];\n        CapabilityBoundingSet',
        lambda made: not capability_mistakes(made),
    ),
)


def broken(folder: Path, mutation: Mutation) -> Path:
    """A copy of the module with the mutation in it; it must be there to be made."""
    copy = folder / "nixos-appliance"
    shutil.copytree(APPLIANCE, copy)
    file = copy / mutation.file
    text = file.read_text()
    assert mutation.old in text, f"{mutation.file} has changed: {mutation.name} is not made any more"
    file.write_text(text.replace(mutation.old, mutation.new, 1))
    return copy


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.name)
def test_a_broken_module_is_noticed(mutation: Mutation, tmp_path: Path) -> None:
    assert mutation.holds(appliance(SERVICES))
    assert not mutation.holds(appliance(SERVICES, broken(tmp_path, mutation)))


@NEEDS_ANALYZE
@pytest.mark.parametrize("old", ["  ProtectSystem =", "  NoNewPrivileges =", '    "@system-service"'])
def test_a_lesser_sandbox_is_noticed(old: str, tmp_path: Path) -> None:
    mutation = Mutation("a lesser sandbox", "hardening.nix", old, f"#{old}", bool)
    text = unit_text(appliance(SERVICES, broken(tmp_path, mutation))["units"]["bootstrapd"])
    assert exposure(text, tmp_path) > EXPOSURE_MAX


def test_a_build_without_the_check_is_noticed(tmp_path: Path) -> None:
    """The mistake that ends the build passes where check-config is left out."""
    wrong = {"settings": {"tftp": {"blksize": 512}}}
    with pytest.raises(NixError):
        built_config(wrong)
    mutation = Mutation("no check", "module.nix", "bootstrapd check-config ${config}", "true", bool)
    assert "blksize = 512" in built_config(wrong, broken(tmp_path, mutation)).read_text()


def test_the_mutations_stand_in_the_module_as_it_is() -> None:
    assert evaluate("builtins.pathExists ./nixos-appliance/module.nix") is True
    for mutation in MUTATIONS:
        assert (APPLIANCE / mutation.file).read_text().count(mutation.old) == 1, mutation.name
