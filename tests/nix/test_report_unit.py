"""`services.bootstrapd-report`: the unit of netboot/agent/bootstrapd-report.service, key by key."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import units
from nix_tools import ROOT, build, evaluate, given

from bootstrapd.policy.install import REPORT_UNIT

MODEL: Final = units.read((ROOT / "netboot/agent/bootstrapd-report.service").read_text("utf-8"))
EXTRA: Final = {"system": {"stateVersion": "25.05"}}
SYSTEM: Final = """{
  system.stateVersion = "25.05";
  boot.loader.grub.enable = false;
  fileSystems."/" = { device = "/dev/vda"; fsType = "ext4"; };
}"""

# What is another thing on NixOS, and why.
DIFFERS: Final = {
    (
        "Service",
        "ExecStart",
    ): "the program is in the store: the unit brings it along, whatever the system's PATH has",
    ("Service", "Environment"): "the program sets its own PATH; NixOS adds locale and time zone files",
}


def system(**args: Any) -> dict[str, Any]:
    answer: dict[str, Any] = evaluate("import ./tests/nix/netboot.nix", module="agent/module.nix", **args)
    return answer


def differences(unit: units.Unit) -> dict[tuple[str, str], tuple[list[str], list[str]]]:
    pairs = {(section, key) for each in (MODEL, unit) for section, keys in each.items() for key in keys}
    return {
        (section, key): (ours, theirs)
        for section, key in sorted(pairs)
        if (ours := MODEL.get(section, {}).get(key, [])) != (theirs := unit.get(section, {}).get(key, []))
    }


def check(unit: units.Unit) -> None:
    assert set(differences(unit)) <= set(DIFFERS)
    (start,) = unit["Service"]["ExecStart"]
    assert start.endswith("/bin/bootstrapd-agent report")


def test_it_is_the_model_key_by_key() -> None:
    found = system(extra=EXTRA)
    check(units.of_service(found["units"]["bootstrapd-report"]))
    assert found["warnings"] == []


def test_it_is_the_model_as_nixos_writes_it() -> None:
    texts = evaluate(
        '{ nixpkgs }: (import ./tests/nix/netboot.nix { inherit nixpkgs; module = "agent/module.nix"; '
        f"extra = {SYSTEM}; }}).texts",
        nixpkgs=given("NIXPKGS"),
    )
    check(units.read(texts["bootstrapd-report.service"]))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"sshd-keygen.service"\n', "\n"),
        ("startLimitBurst = 20", "startLimitBurst = 5"),
        ('ProtectSystem = "strict";', ""),
        ("/token", "/server"),
        ('"multi-user.target"', '"default.target"'),
    ],
)
def test_a_changed_unit_is_noticed(tmp_path: Path, old: str, new: str) -> None:
    copy = tmp_path / "netboot"
    shutil.copytree(ROOT / "netboot", copy)
    file = copy / "agent/module.nix"
    assert old in file.read_text("utf-8")
    file.write_text(file.read_text("utf-8").replace(old, new), "utf-8")
    found = system(extra=EXTRA, netboot=copy)
    assert set(differences(units.of_service(found["units"]["bootstrapd-report"]))) - set(DIFFERS)


def test_switched_off_it_is_not_there() -> None:
    assert system(extra={**EXTRA, "services": {"bootstrapd-report": {"enable": False}}})["units"] == {}


def test_its_file_is_where_the_appliance_looks_for_it() -> None:
    """In the closure of a system that imports the module: without it the appliance refuses to install."""
    built = build(
        "(import ./tests/nix/system.nix { modules = [ ./netboot/agent/module.nix { system.stateVersion = "
        '"25.05"; nixpkgs.hostPlatform = "x86_64-linux"; } ]; }).config.system.build.toplevel'
    )
    assert (built / REPORT_UNIT).exists()


@pytest.fixture(scope="module")
def package() -> Path:
    """The agent's package, built by a shell."""
    return build("(import ./tests/nix/pkgs.nix { }).callPackage ./netboot/agent/package.nix { }")


def test_the_package_runs_the_agent_as_it_is(package: Path) -> None:
    agent = (ROOT / "netboot/agent/bootstrapd-agent").read_bytes()
    assert (package / "libexec/bootstrapd-agent").read_bytes() == agent
    ended = subprocess.run(
        [str(package / "bin/bootstrapd-agent"), "what"], capture_output=True, text=True, timeout=20
    )
    assert ended.returncode == 2
    assert "it takes `register`" in ended.stdout


def test_the_package_puts_what_the_agent_needs_first_in_its_path(package: Path) -> None:
    path = (package / "bin/bootstrapd-agent").read_text("utf-8").splitlines()[1]
    folders = path.removeprefix("PATH=").removesuffix("${PATH:+:$PATH}").split(":")
    names = ("coreutils", "curl", "gawk", "gnugrep", "gnused", "iproute2", "util-linux", "openssh")
    assert [folder.rpartition("store/")[2].partition("-")[2] for folder in folders] == [
        f"{name}-1.0/bin" for name in names
    ]


def test_the_unit_is_one_that_systemd_takes(package: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = units.of_service(system(extra=EXTRA)["units"]["bootstrapd-report"])
    unit["Service"]["ExecStart"] = [f"{package}/bin/bootstrapd-agent report"]
    file = tmp_path / "bootstrapd-report.service"
    file.write_text(units.text(unit), "utf-8")
    said = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, timeout=60)
    assert (said.returncode, [line for line in said.stderr.splitlines() if file.name in line]) == (0, [])
