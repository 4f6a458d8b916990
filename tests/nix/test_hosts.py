"""hosts/default.nix: a folder of a person's files becomes whole systems, over stub options."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Final

import pytest
from nix_fleet import NETWORKS, host_of, write
from nix_tools import NixError, evaluate, given

KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEl4YW1wbGU me@desk"


def look(folder: Path, host: str, what: str, through: str = "") -> Any:
    """What the host's configuration has there, or what a function makes of it."""
    fleet = "(import ./tests/nix/fleet.nix { }) { inherit folder; }"
    return evaluate(f'{{ folder }}: {through} ({fleet}).nixosConfigurations."{host}".{what}', folder=folder)


def refusal(folder: Path, host: str, what: str = "config.system.build.toplevel.drvPath") -> str:
    with pytest.raises(NixError) as refused:
        look(folder, host, what)
    return refused.value.message


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A host with an address, in networks that are described."""
    write(
        tmp_path,
        {
            "w1/host.toml": host_of("disk", mac=1, address="10.1.0.11/24"),
            "profiles/disk.toml": 'image = { x86_64 = "installer" }\nlayout = "single-disk"\n',
            "networks.toml": NETWORKS,
            "authorized_keys": f"# the admins\n\n{KEY}\n",
        },
    )
    return tmp_path


def test_a_host_becomes_a_system(folder: Path) -> None:
    config = look(folder, "w1", "config.networking")
    assert (config["hostName"], config["useDHCP"]) == ("w1", False)
    assert len(config["hostId"]) == 8
    assert look(folder, "w1", "config.users.users.root.openssh.authorizedKeys.keys") == [KEY]
    ssh = look(folder, "w1", "config.services.openssh")
    assert ssh["enable"]
    assert not ssh["settings"]["PasswordAuthentication"]
    assert not ssh["settings"]["KbdInteractiveAuthentication"]
    assert ssh["settings"]["PermitRootLogin"] == "prohibit-password"
    assert look(folder, "w1", "warnings") == []


def test_it_reports_its_first_boot_unless_the_appliance_looks_itself(folder: Path) -> None:
    unit = "config.systemd.services ? bootstrapd-report"
    assert look(folder, "w1", unit)
    write(folder, {"profiles/disk.toml": 'image = "installer"\nlayout = "single-disk"\nreport = "ssh"\n'})
    assert not look(folder, "w1", unit)


def network(folder: Path, host: str = "w1") -> dict[str, Any]:
    keys = "{ inherit (n) matchConfig address gateway dns vlan networkConfig linkConfig dhcpV4Config; }"
    networks = f"builtins.mapAttrs (_: n: {keys}) network.networks"
    of = f"(network: {{ networks = {networks}; inherit (network) netdevs; }})"
    found: dict[str, Any] = look(folder, host, "config.systemd.network", of)
    return found


CARD: Final = {"MACAddress": "52:54:00:00:00:01", "Kind": "!*"}


def test_its_address_is_on_the_card_of_its_mac_with_what_the_network_has(folder: Path) -> None:
    networks = network(folder)["networks"]
    card = networks["10-w1"]
    assert card["matchConfig"] == CARD
    assert (card["address"], card["gateway"], card["dns"]) == (["10.1.0.11/24"], ["10.1.0.1"], ["10.1.0.1"])
    assert card["networkConfig"] == {"DHCP": "no"}
    assert card["linkConfig"] == {"RequiredForOnline": "routable"}
    assert networks["90-dhcp"]["linkConfig"] == {"RequiredForOnline": "no"}


def test_a_vlan_is_the_switches_matter_until_a_network_says_that_it_is_tagged(folder: Path) -> None:
    """A machine boots without a tag, and whoever tags its frames on such a port is heard by nobody."""
    write(folder, {"w1/host.toml": host_of("disk", mac=1, address="10.2.0.11/24")})
    file = folder / "networks.toml"
    file.write_text(file.read_text().replace("tagged = true\n", ""))
    found = network(folder)
    assert found["networks"]["10-w1"]["address"] == ["10.2.0.11/24"]
    assert found["netdevs"] == {}


def test_a_network_that_is_tagged_is_so_and_the_card_goes_no_further_than_where_it_booted(
    folder: Path,
) -> None:
    write(folder, {"w1/host.toml": host_of("disk", mac=1, address="10.2.0.11/24")})
    found = network(folder)
    card, vlan = found["networks"]["10-w1"], found["networks"]["20-vlan20"]
    assert (card["matchConfig"], card["vlan"], card["address"]) == (CARD, ["vlan20"], [])
    assert (card["networkConfig"], card["dhcpV4Config"]["UseGateway"]) == ({"DHCP": "ipv4"}, False)
    assert (vlan["matchConfig"], vlan["address"]) == ({"Name": "vlan20"}, ["10.2.0.11/24"])
    assert vlan["gateway"] == ["10.2.0.1"]
    assert found["netdevs"]["20-vlan20"]["vlanConfig"] == {"Id": 20}
    assert found["netdevs"]["20-vlan20"]["netdevConfig"] == {"Name": "vlan20", "Kind": "vlan"}


def test_what_no_network_tells_comes_from_dhcp(folder: Path) -> None:
    write(folder, {"w1/host.toml": host_of("disk", mac=1, address="10.9.0.11/24")})
    card = network(folder)["networks"]["10-w1"]
    assert (card["address"], card["gateway"], card["networkConfig"]) == (["10.9.0.11/24"], [], {"DHCP": "ipv4"})
    write(folder, {"w1/host.toml": host_of("disk", mac=1)})
    (only,) = network(folder)["networks"].items()
    assert only[0] == "90-dhcp"
    assert (only[1]["networkConfig"], only[1]["linkConfig"]) == (
        {"DHCP": "yes"},
        {"RequiredForOnline": "routable"},
    )


def test_an_address_needs_to_know_its_card(folder: Path) -> None:
    write(folder, {"w1/host.toml": host_of("disk", address="10.1.0.11/24")})
    assert "hosts/w1/host.toml: network.address: give [match] mac too" in refusal(folder, "w1")


@pytest.mark.parametrize(
    ("image", "platform"),
    [
        ('"installer"', "x86_64-linux"),
        ('{ aarch64 = "arm" }', "aarch64-linux"),
        ('{ x86_64 = "a", aarch64 = "b" }', "x86_64-linux"),
    ],
)
def test_the_platform_is_that_of_the_one_image(folder: Path, image: str, platform: str) -> None:
    write(folder, {"profiles/disk.toml": f'image = {image}\nlayout = "single-disk"\n'})
    assert look(folder, "w1", "config.nixpkgs.hostPlatform") == platform


def test_disks_are_those_that_were_chosen_and_until_then_none_that_can_exist(folder: Path) -> None:
    device = "config.disko.devices.disk.main.device"
    assert look(folder, "w1", device) == "/dev/disk/by-id/no-disk-chosen-for-w1-main"
    write(folder, {"w1/disks.json": json.dumps({"main": "/dev/disk/by-id/nvme-X"})})
    assert look(folder, "w1", device) == "/dev/disk/by-id/nvme-X"


def test_a_layout_that_needs_another_disk_says_which(folder: Path) -> None:
    write(folder, {"profiles/disk.toml": 'image = "installer"\nlayout = "zfs-mirror"\n'})
    said = refusal(folder, "w1")
    assert "hosts/w1/host.toml: disk.mirror: missing; layout zfs-mirror.nix needs a [disk.mirror]" in said


def test_a_host_without_the_main_disk_is_told_so_too(folder: Path) -> None:
    write(folder, {"w1/host.toml": host_of("disk", mac=1) + '[disk.system]\nserial = "A"\n'})
    said = refusal(folder, "w1", "config.disko.devices.disk.main.device")
    assert "hosts/w1/host.toml: disk.main: missing; layout single-disk.nix needs a [disk.main]" in said


def test_a_disk_that_the_layout_does_not_use_is_not_erased_for_nothing(folder: Path) -> None:
    write(
        folder,
        {"w1/host.toml": host_of("disk", mac=1) + '[disk.main]\nserial = "A"\n[disk.data]\nserial = "B"\n'},
    )
    assert "hosts/w1/host.toml: layout single-disk has no use for [disk.data]" in refusal(folder, "w1")


def test_a_layout_that_is_nowhere_is_named_with_those_that_are(folder: Path) -> None:
    write(folder, {"profiles/disk.toml": 'image = "installer"\nlayout = "single-disc"\n'})
    said = refusal(folder, "w1")
    assert "hosts/profiles/disk.toml: layout: there is no hosts/layouts/single-disc.nix" in said
    assert "single-disk" in said


def test_the_folders_own_files_come_before_ours(folder: Path) -> None:
    own = '{ host, profile, disks, ... }: { time.timeZone = "${host.name} ${profile.name} ${disks.main}"; }\n'
    write(
        folder,
        {
            "layouts/single-disk.nix": own,
            "profiles/disk.nix": '{ networking.domain = "example.org"; }\n',
            "w1/configuration.nix": '{ lib, ... }: { networking.hostName = "other"; }\n',
        },
    )
    assert look(folder, "w1", "config.time.timeZone") == "w1 disk /dev/disk/by-id/no-disk-chosen-for-w1-main"
    assert look(folder, "w1", "config.networking.domain") == "example.org"
    assert look(folder, "w1", "config.networking.hostName") == "other"


def test_another_loader_takes_the_place_of_grub(folder: Path) -> None:
    loaders = "config.boot.loader.grub"
    found = look(folder, "w1", loaders)
    assert (found["enable"], found["efiSupport"], found["efiInstallAsRemovable"]) == (True, True, True)
    write(folder, {"w1/configuration.nix": "{ boot.loader.systemd-boot.enable = true; }"})
    assert not look(folder, "w1", loaders)["enable"]


def test_without_a_layout_there_is_a_system_all_the_same(folder: Path) -> None:
    write(folder, {"profiles/disk.toml": 'image = "installer"\n'})
    assert look(folder, "w1", "config.disko.devices.disk") == {}
    assert look(folder, "w1", "config.system.build.toplevel.drvPath")


def test_nobody_can_log_in_is_a_warning(folder: Path) -> None:
    (folder / "authorized_keys").unlink()
    (warning,) = look(folder, "w1", "warnings")
    assert warning.startswith("nobody can log in to w1: there is no key in hosts/authorized_keys")


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("{ hardware.opengl.enable = true; }", "The option `hardware.opengl' does not exist"),
        ('{ networking.hostname = "x"; }', "The option `networking.hostname' does not exist"),
        ("{ disko.devices.disks = { }; }", "The option `disko.devices.disks' does not exist"),
        ('{ services.openssh.enable = "yes"; }', "`services.openssh.enable' is not of type `boolean'"),
    ],
)
def test_a_wrong_option_in_a_persons_file_is_an_error(folder: Path, module: str, said: str) -> None:
    write(folder, {"w1/configuration.nix": module})
    assert said in refusal(folder, "w1", "config.services.openssh")


def test_a_mistake_in_the_folder_stops_every_host(folder: Path) -> None:
    write(folder, {"w2/host.toml": 'profile = "disk"\nprot = 1\n'})
    assert 'hosts/w2/host.toml: prot: unknown key "prot"' in refusal(folder, "w1")


def test_a_mac_needs_nix_darwin(folder: Path) -> None:
    write(folder, {"m1/host.toml": 'profile = "mac"', "profiles/mac.toml": 'system = "darwin"\n'})
    fleet = "{ folder }: (import ./tests/nix/fleet.nix { }) { inherit folder; }"
    names = evaluate(f"a: builtins.mapAttrs (_: builtins.attrNames) (({fleet}) a)", folder=folder)
    assert (names["nixosConfigurations"], names["darwinConfigurations"]) == (["w1"], ["m1"])
    with pytest.raises(NixError, match="inherit nix-darwin"):
        evaluate(f"a: (({fleet}) a).darwinConfigurations.m1.config", folder=folder)


def test_nix_darwin_takes_a_mac_of_the_folder(folder: Path) -> None:
    mac = '{ host, network, ... }: { networking.computerName = "${host.name} in ${network.name}"; }\n'
    write(
        folder,
        {
            "m1/host.toml": host_of("mac", address="10.1.0.77/24"),
            "m1/configuration.nix": mac,
            "profiles/mac.toml": 'system = "darwin"\n',
        },
    )
    expression = """{ folder, real }:
    let
      config = ((import ./tests/nix/fleet.nix real) { inherit folder; }).darwinConfigurations.m1.config;
    in
    {
      failed = map (one: one.message) (builtins.filter (one: !one.assertion) config.assertions);
      inherit (config.networking) hostName computerName;
      inherit (config.users.users.root.openssh.authorizedKeys) keys;
    }"""
    real = {"nixpkgs": given("NIXPKGS"), "darwin": given("DARWIN")}
    assert evaluate(expression, folder=folder, real=real) == {
        "failed": [],
        "hostName": "m1",
        "computerName": "m1 in boot",
        "keys": [KEY],
    }


def test_a_large_fleet_evaluates_in_seconds(tmp_path: Path) -> None:
    """What this guards against, the folder read once a host, takes minutes; here it is a few seconds."""
    hosts = {
        f"w{n}/host.toml": host_of("disk", mac=n + 1, address=f"10.1.{n // 250}.{n % 250 + 2}/16")
        for n in range(200)
    }
    write(tmp_path, {**hosts, "profiles/disk.toml": 'image = "installer"\nlayout = "single-disk"\n'})
    every = """{ folder }: let fleet = (import ./tests/nix/fleet.nix { }) { inherit folder; }; in
      builtins.length (builtins.filter (host: host.config.system.build.toplevel.drvPath != "")
      (builtins.attrValues fleet.nixosConfigurations))"""
    began = time.monotonic()
    assert evaluate(every, folder=tmp_path) == 200
    assert time.monotonic() - began < 20


@pytest.mark.parametrize(
    "text", ["[1]", '{"main": 1}', '{"main": "/dev/sda"}', '{"main": "/dev/disk/by-id/x; reboot"}']
)
def test_disks_are_named_by_what_stays(folder: Path, text: str) -> None:
    write(folder, {"w1/disks.json": text})
    said = refusal(folder, "w1", "config.disko.devices")
    assert "hosts/w1/disks.json: expected a name in /dev/disk/by-id" in said
