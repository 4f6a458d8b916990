"""Every Nix file of the repository: it parses, and names no option that NixOS has renamed or removed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from nix_tools import ROOT, NixError, nix_files, parse


class Renamed(NamedTuple):
    pattern: str  # what is looked for in the code, comments left out
    old: str  # an example of it
    now: str  # what is written today


RENAMED: Final = (
    Renamed(
        r"\bhardware\.opengl\b|\bopengl\s*[.=]", "hardware.opengl.enable = true;", "hardware.graphics.enable"
    ),
    Renamed(r"\bdriSupport(32Bit)?\b", "driSupport32Bit = true;", "hardware.graphics.enable32Bit"),
    Renamed(r"\bdhcpd4\b", "services.dhcpd4.enable = true;", "services.kea.dhcp4.settings"),
    Renamed(r"\bdhcpMode\b", 'dhcpMode = "proxy";', "services.pixiecore.dhcpNoBind"),
    Renamed(r"\blistenAddr\b", 'listenAddr = "::";', "services.pixiecore.listen"),
    Renamed(
        r"\bnvidia-docker\b|\benableNvidia\b",
        "docker.enableNvidia = true;",
        "hardware.nvidia-container-toolkit.enable",
    ),
    Renamed(
        r"\bnats\.leafnode\b|\bleafnode\s*[.=]", "leafnode = { };", "services.nats.settings.leafnodes.remotes"
    ),
    Renamed(
        r"\bnats\.jetstream\s*(=\s*\{|\.)", "services.nats.jetstream = { };", "services.nats.settings.jetstream"
    ),
    Renamed(r"\bexporters\.nvidia\b", "exporters.nvidia.enable = true;", "a unit of prometheus-dcgm-exporter"),
    Renamed(
        r"\bservices\.dcgm-exporter\b", "services.dcgm-exporter = { };", "a unit of prometheus-dcgm-exporter"
    ),
    Renamed(r"\bkvmgt\b", "virtualisation.kvmgt.enable = true;", "vfio-pci"),
    Renamed(
        r"\bprovision\.datasources\s*=\s*\[",
        "provision.datasources = [ ];",
        "services.grafana.provision.datasources.settings.datasources",
    ),
    Renamed(
        r"\bprovision\.dashboards\s*=\s*\[",
        "provision.dashboards = [ ];",
        "…provision.dashboards.settings.providers",
    ),
    Renamed(r"\bservices\.cim(-autoscaler)?\b", "services.cim.enable = true;", "a module of the CIM project"),
    Renamed(r"\bdeployment\.targetHost\b", 'deployment.targetHost = "a";', "nothing: bootstrapd installs"),
    Renamed(r"\bnix-daemon\.enable\b", "services.nix-daemon.enable = true;", "nix.enable"),
    Renamed(r"\bpmset\b", "pmset -a sleep 0", "power.sleep.computer"),
    Renamed(r"\bcleanTmpDir\b|\btmpOnTmpfs\b", "boot.cleanTmpDir = true;", "boot.tmp.cleanOnBoot"),
    Renamed(
        r"\bopenssh\.(permitRootLogin|passwordAuthentication)\b", 'openssh.permitRootLogin = "no";', "…settings"
    ),
    Renamed(r"\brouteConfig\b", "routeConfig.Gateway = g;", "routes = [ { Gateway = …; } ]"),
    Renamed(r"\bnix\.(trustedUsers|useSandbox)\b", "nix.trustedUsers = [ ];", "nix.settings"),
    Renamed(r"\bgrub\.version\b", "boot.loader.grub.version = 2;", "nothing: there is only 2"),
    Renamed(r"\bsystemd\.extraConfig\b", 'systemd.extraConfig = "";', "systemd.settings.Manager"),
    Renamed(r"\bisoImage\.isoName\b|\bisoName\s*=", 'isoImage.isoName = "a";', "image.fileName"),
)


def obsolete(text: str) -> list[str]:
    """What the text says that is obsolete, with what to write."""
    code = re.sub(r"/\*.*?\*/|#[^\n]*", "", text, flags=re.DOTALL)
    return [f"{found[0]}: now {row.now}" for row in RENAMED if (found := re.search(row.pattern, code))]


def test_every_nix_file_parses() -> None:
    files = nix_files()
    assert ROOT / "hosts" / "layouts" / "single-disk.nix" in files
    parse(files)


def test_a_file_that_does_not_parse_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.nix").write_text("{ a = unheard; }\n", "utf-8")
    with pytest.raises(NixError, match=r"bad\.nix") as refused:
        parse([tmp_path / "bad.nix"])
    assert "undefined variable 'unheard'" in refused.value.message


def test_no_nix_file_names_an_obsolete_option() -> None:
    found = {
        str(path.relative_to(ROOT)): mistakes
        for path in nix_files()
        if (mistakes := obsolete(path.read_text("utf-8")))
    }
    assert found == {}


@pytest.mark.parametrize("row", RENAMED, ids=lambda row: row.old)
def test_the_lint_finds(row: Renamed) -> None:
    assert obsolete(f"{{ {row.old} }}") == [f"{re.search(row.pattern, row.old)[0]}: now {row.now}"]  # type: ignore[index]


def test_the_lint_lets_current_names_and_comments_through() -> None:
    current = """{
      # hardware.opengl is gone
      hardware.graphics.enable = true;
      services.nats.jetstream = true;
      services.nats.settings.leafnodes.remotes = [ ];
      services.grafana.provision.datasources.settings.datasources = [ ];
      services.openssh.settings.PermitRootLogin = "no";
    }"""
    assert obsolete(current) == []
