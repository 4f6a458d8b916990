"""appliance.nix: monitoring on loopback, figures and logs that arrive; with NIXPKGS, whole systems of NixOS."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
from nix_tools import ROOT, evaluate, given

from bootstrapd.model import encode
from bootstrapd.model.view import ListenerView, StatusView

from .rendered import appliance, unit_text, without_hashes
from .test_unit import UNITS

SITE: Final = {
    "interfaces": ["enp3s0"],
    "settings": {"nats": {"leaf_of": ["nats-leaf://hub.example.org:7422"]}},
}
LOOPBACK: Final = "127.0.0.1"
WHOLE: Final = """
  { services }:
  let
    lib = import ./tests/nix/lib.nix;
    package = derivation { name = "bootstrapd"; system = "x"; builder = "x"; };
    inherit ((import ./tests/nix/system.nix {
      specialArgs.utils = import ./tests/nix/utils.nix { inherit lib; };
      modules = [
        ./nixos-appliance/appliance.nix
        { services.bootstrapd = services // { inherit package; }; }
      ];
    })) config;
  in
  {
    inherit (config.services.prometheus) listenAddress port scrapeConfigs;
    node = { inherit (config.services.prometheus.exporters.node) enable listenAddress port; };
    grafana = { inherit (config.services.grafana) settings provision; };
    loki = config.services.loki.configuration;
    alloy = {
      inherit (config.services.alloy) extraFlags;
      inherit (config.environment.etc."alloy/config.alloy") text;
    };
    firewall = { inherit (config.networking.firewall) enable allowedTCPPorts interfaces; };
    targets = config.systemd.services.bootstrapd-targets.serviceConfig.ExecStart.text;
    leaf = config.services.bootstrapd.settings.nats.leaf_of;
    nats = config.services.nats.enable;
  }
"""


@pytest.fixture(scope="module")
def whole() -> Any:
    return evaluate(WHOLE, services=SITE)


def test_monitoring_listens_on_loopback_alone(whole: Any) -> None:
    assert whole["listenAddress"] == whole["node"]["listenAddress"] == LOOPBACK
    assert whole["grafana"]["settings"]["server"]["http_addr"] == LOOPBACK
    assert {whole["loki"]["server"][f"{kind}_listen_address"] for kind in ("http", "grpc")} == {LOOPBACK}
    assert f"--server.http.listen-addr={LOOPBACK}:12345" in whole["alloy"]["extraFlags"]
    assert whole["firewall"]["allowedTCPPorts"] == []
    assert whole["firewall"]["interfaces"]["enp3s0"]["allowedTCPPorts"] == [80, 8080]


def test_figures_and_logs_arrive_where_they_are_asked_for(whole: Any) -> None:
    """One end names the other's port."""
    sources = {
        each["uid"]: each["url"]
        for each in whole["grafana"]["provision"]["datasources"]["settings"]["datasources"]
    }
    assert sources == {
        "prometheus": f"http://{LOOPBACK}:{whole['port']}",
        "loki": f"http://{LOOPBACK}:{whole['loki']['server']['http_listen_port']}",
    }
    assert f'url = "{sources["loki"]}/loki/api/v1/push"' in whole["alloy"]["text"]
    jobs = {job["job_name"]: job for job in whole["scrapeConfigs"]}
    assert jobs["node"]["static_configs"] == [{"targets": [f"{LOOPBACK}:{whole['node']['port']}"]}]
    [found] = jobs["bootstrapd"]["file_sd_configs"]
    assert found["files"] == ["/run/bootstrapd-targets/bootstrapd.json"]
    [provider] = whole["grafana"]["provision"]["dashboards"]["settings"]["providers"]
    assert provider["options"]["path"].endswith("-dashboards")


def test_loki_can_start(whole: Any) -> None:
    """Without a schema and a place to store it does not; retention needs a compactor that may delete."""
    [schema] = whole["loki"]["schema_config"]["configs"]
    assert (schema["store"], schema["schema"], schema["index"]["period"]) == ("tsdb", "v13", "24h")
    assert schema["object_store"] in whole["loki"]["storage_config"]
    assert whole["loki"]["compactor"]["delete_request_store"] == schema["object_store"]
    assert whole["loki"]["limits_config"]["retention_period"]


def test_alloys_components_are_wired(whole: Any) -> None:
    text = whole["alloy"]["text"]
    made = {f"{kind}.{name}" for kind, name in re.findall(r'^([a-z.]+) "(\w+)" \{', text, re.MULTILINE)}
    used = {match[0] for match in re.findall(r"((?:loki)\.\w+(?:\.\w+)?)\.(receiver|rules)\b", text)}
    assert used == {"loki.write.local", "loki.relabel.journal"}
    assert used < made
    assert text.count("{") == text.count("}")


def test_the_own_nats_server_is_the_leaf_node(whole: Any) -> None:
    assert whole["leaf"] == ["nats-leaf://hub.example.org:7422"]
    assert whole["nats"] is False


def test_prometheus_is_told_where_the_boot_listener_is(whole: Any, tmp_path: Path) -> None:
    """The unit's own script, with a status as the daemon gives it."""
    if shutil.which("jq") is None:
        pytest.skip("needs jq: .ci/install test")
    listeners = tuple(
        ListenerView(door=door, address=address, port=port, interface="enp3s0")
        for address in ("10.1.0.2", "10.2.0.2")
        for door, port in (("dhcp", 67), ("http", 8080))
    )
    status = StatusView(
        version="1", pid=1, started=0, hosts=0, profiles=0, images=0, machines=0, listeners=listeners
    )
    (tmp_path / "status").write_bytes(encode(status))
    (tmp_path / "bootstrapd").write_text(f"#!/bin/sh\ncat {tmp_path}/status\n")
    (tmp_path / "bootstrapd").chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"
    script = ("sh", "-c", whole["targets"])
    subprocess.run(script, cwd=tmp_path, env={"PATH": path}, check=True)
    written = (tmp_path / "bootstrapd.json").read_text()
    assert re.sub(r"\s", "", written) == '[{"targets":["10.1.0.2:8080"]}]'  # each link counts the same
    (tmp_path / "bootstrapd").write_text("#!/bin/sh\nexit 3\n")
    subprocess.run(script, cwd=tmp_path, env={"PATH": path}, check=True)
    assert (tmp_path / "bootstrapd.json").read_text() == written


REAL: Final = """
  { nixpkgs, services, image }:
  let
    images = import ./nixos-appliance/image.nix;
    base = if image == null then ./nixos-appliance/appliance.nix else images.${image};
    system = import (nixpkgs + "/nixos/lib/eval-config.nix") {
      lib = import (nixpkgs + "/lib");
      system = null;
      modules = [
        base
        { nixpkgs.hostPlatform = "x86_64-linux"; inherit services; }
        (if image != null then { } else {
          boot.loader.grub.enable = false;
          fileSystems."/".device = "/dev/disk/by-label/nixos";
          system.stateVersion = "25.05";
          documentation.enable = false;
        })
      ];
    };
    inherit (system.config.system) build;
  in
  {
    toplevel = build.toplevel.drvPath;
    image = if image == null then null else (build.isoImage or build.raw).drvPath;
    warnings = system.config.warnings;
    units = {
      bootstrapd = system.config.systemd.units."bootstrapd.service".text;
      bootstrapd-images = system.config.systemd.units."bootstrapd-images.service".text;
    };
  }
"""


@pytest.mark.parametrize("image", [None, "iso", "raw"])
def test_a_whole_system_evaluates(image: str | None) -> None:
    real = evaluate(REAL, nixpkgs=given("NIXPKGS"), services={"bootstrapd": SITE}, image=image, timeout_s=600)
    assert real["toplevel"].endswith(".drv")
    assert (real["image"] or "").endswith("" if image is None else ".drv")
    assert real["warnings"] == []


def test_nixos_writes_the_units_as_we_think_it_does() -> None:
    """What the goldens, systemd and its judge were given is what NixOS makes."""
    services = {"bootstrapd": {"enable": True} | SITE}
    real = evaluate(REAL, nixpkgs=given("NIXPKGS"), services=services, image=None, timeout_s=600)["units"]
    ours = appliance(SITE)["units"]
    for name in UNITS:
        theirs = re.sub(r'^Environment=".*"\n', "", real[name], flags=re.MULTILINE)
        assert settings_of(theirs) == settings_of(unit_text(ours[name]))


def settings_of(text: str) -> set[str]:
    """The lines, without what differs between two stores: hashes, and where the package is."""
    plain = re.sub(r"/nix/store/bootstrapd(-[0-9.]+)?/", "/nix/store/bootstrapd/", without_hashes(text))
    return {re.sub(r"-[0-9][0-9.]*/bin/", "/bin/", line) for line in plain.splitlines() if line}


def test_a_flake_of_real_inputs_has_its_packages() -> None:
    expression = """
      { nixpkgs, disko }:
      let flake = import ./tests/nix/flake.nix { inherit nixpkgs disko; }; in
      {
        package = flake.packages.x86_64-linux.bootstrapd.drvPath;
        iso = flake.packages.x86_64-linux.iso.drvPath;
        raw = flake.packages.x86_64-linux.raw.drvPath;
        appliance = flake.nixosConfigurations.appliance.config.system.build.toplevel.drvPath;
      }
    """
    made = evaluate(expression, nixpkgs=given("NIXPKGS"), disko=given("DISKO"), timeout_s=600)
    assert all(path.endswith(".drv") for path in made.values())
    assert (ROOT / "nixos-appliance/flake.nix").exists()
