"""The live systems of netboot/: who may come in, what of a boot is handed on, and what is left alone.

Over the stub options here; `test_netboot_nixos.py` is the same with all of NixOS, where NIXPKGS names it.
"""

from __future__ import annotations

import shutil
import stat
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import units
from nix_tools import ROOT, build, evaluate

KINDS: Final = ("installer", "discovery")
SCRIPTED: Final = {"boot": {"initrd": {"systemd": {"enable": False}}}}
SYSTEMD: Final = {"boot": {"initrd": {"systemd": {"enable": True}}}}
SHELLS: Final = (("dash",), ("busybox", "sh"), ("bash", "-eu"))


@cache
def plain(kind: str) -> dict[str, Any]:
    return system(kind, {})


def system(kind: str, extra: dict[str, Any], **args: Any) -> dict[str, Any]:
    answer: dict[str, Any] = evaluate(
        "import ./tests/nix/netboot.nix", module=f"{kind}.nix", extra=extra, **args
    )
    return answer


@pytest.mark.parametrize("kind", KINDS)
def test_it_evaluates_without_a_word(kind: str) -> None:
    assert (plain(kind)["failures"], plain(kind)["warnings"]) == ([], [])


def test_only_the_installer_says_that_it_is_one() -> None:
    """The appliance's probe and nixos-anywhere go by it: nothing is installed from the other image."""
    assert {kind: plain(kind)["variant"] for kind in KINDS} == {
        "installer": "installer",
        "discovery": "discovery",
    }


# Who comes in


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_has_a_password(kind: str) -> None:
    found = plain(kind)
    assert found["users"]["root"]["hashedPassword"] == "!"
    given = {value for user in found["users"].values() for value in user.values()}
    assert given <= {None, "!"}
    assert found["autologin"] is None


@pytest.mark.parametrize("option", ["password", "hashedPassword", "initialPassword", "initialHashedPassword"])
@pytest.mark.parametrize("user", ["root", "nixos"])
@pytest.mark.parametrize("word", ["", "secret"])
def test_a_password_is_refused_the_empty_one_too(user: str, option: str, word: str) -> None:
    extra = {"users": {"users": {user: {option: word}}}}
    if (user, option) == ("root", "hashedPassword"):
        extra = {"users": {"users": {user: {"initialHashedPassword": word}}}}
    (failure,) = system("installer", extra)["failures"]
    assert f"{user} would have one" in failure
    assert "give SSH keys instead" in failure


def test_an_account_that_is_locked_is_not_refused() -> None:
    extra = {"users": {"users": {"nixos": {"hashedPassword": "!"}, "other": {"hashedPassword": "*"}}}}
    assert system("installer", extra)["failures"] == []


def test_ssh_takes_keys_only_and_has_the_key_that_the_agent_registers() -> None:
    ssh = plain("installer")["ssh"]
    assert ssh == {
        "enable": True,
        "authorizedKeysInHomedir": True,
        "hostKeys": [{"path": "/etc/ssh/ssh_host_ed25519_key", "type": "ed25519"}],
        "PasswordAuthentication": False,
        "KbdInteractiveAuthentication": False,
        "PermitRootLogin": "prohibit-password",
    }
    assert not plain("discovery")["ssh"]["enable"]


def test_keys_from_the_option_are_roots() -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK operator"
    assert system("installer", {"bootstrapd": {"netboot": {"authorizedKeys": [key]}}})["rootKeys"] == [key]
    assert plain("installer")["rootKeys"] == []


# What the boot brought, handed on


def script(kind: str, stage1: dict[str, Any]) -> str:
    found = system(kind, stage1)["stage1"]
    if stage1 is SYSTEMD:
        assert found["postMountCommands"] == found["preLVMCommands"] == ""
        return str(found["services"]["bootstrapd-overlay"]["script"])
    assert found["services"] == {}
    return str(found["postMountCommands"])


class Stage1:
    """An initrd's root with the overlay in it, and the mounted system."""

    def __init__(self, folder: Path) -> None:
        self.old, self.new = folder / "initrd", folder / "system"
        for file, text, mode in (
            ("bootstrapd/server", "http://10.0.0.1\n", 0o644),
            ("bootstrapd/token", "t0ken\n", 0o600),
            ("bootstrapd/agent", "#!/bin/sh\necho $1\n", 0o755),
            ("ssh/authorized_keys", "ssh-ed25519 AAAA appliance\n", 0o600),
            ("ssh/ssh_host_note", "no key\n", 0o644),
            ("addrs.json", "[]\n", 0o644),
        ):
            path = self.old / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(mode)
        self.new.mkdir()

    def run(self, shell: tuple[str, ...], text: str) -> str:
        for mark, folder in (("/mnt-root", self.new), ("/sysroot", self.new)):
            text = text.replace(mark, str(folder))
        text = text.replace(" /bootstrapd", f" {self.old}/bootstrapd").replace(" /ssh/", f" {self.old}/ssh/")
        ended = subprocess.run(
            [*shell, "-c", f"{text}\necho goes on"], capture_output=True, text=True, timeout=20, cwd=self.old
        )
        assert ended.stdout.splitlines()[-1:] == ["goes on"], ended.stderr
        return ended.stdout

    def files(self) -> dict[str, tuple[str, str]]:
        return {
            str(path.relative_to(self.new)): (oct(stat.S_IMODE(path.stat().st_mode)), path.read_text())
            for path in sorted(self.new.rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def stage1(tmp_path: Path) -> Stage1:
    return Stage1(tmp_path)


def found_shells() -> list[tuple[str, ...]]:
    return [shell for shell in SHELLS if shutil.which(shell[0])]


OVERLAY: Final = {
    "bootstrapd/server": ("0o644", "http://10.0.0.1\n"),
    "bootstrapd/token": ("0o600", "t0ken\n"),
    "bootstrapd/agent": ("0o755", "#!/bin/sh\necho $1\n"),
}
KEYS: Final = {"root/.ssh/authorized_keys": ("0o600", "ssh-ed25519 AAAA appliance\n")}


@pytest.mark.parametrize("how", [SCRIPTED, SYSTEMD], ids=["script", "systemd"])
@pytest.mark.parametrize("shell", found_shells(), ids=lambda shell: shell[0])
def test_token_server_agent_and_keys_reach_the_installer(
    stage1: Stage1, shell: tuple[str, ...], how: dict[str, Any]
) -> None:
    stage1.run(shell, script("installer", how))
    assert stage1.files() == {**OVERLAY, **KEYS}
    for folder in ("bootstrapd", "root", "root/.ssh"):
        assert stat.S_IMODE((stage1.new / folder).stat().st_mode) == 0o700


@pytest.mark.parametrize("how", [SCRIPTED, SYSTEMD], ids=["script", "systemd"])
def test_no_key_reaches_the_discovery_image(stage1: Stage1, how: dict[str, Any]) -> None:
    stage1.run(found_shells()[0], script("discovery", how))
    assert stage1.files() == OVERLAY


@pytest.mark.parametrize("shell", found_shells(), ids=lambda shell: shell[0])
def test_a_boot_without_an_overlay_goes_on(stage1: Stage1, shell: tuple[str, ...]) -> None:
    shutil.rmtree(stage1.old)
    stage1.old.mkdir()
    stage1.run(shell, script("installer", SCRIPTED))
    assert stage1.files() == {}


@pytest.mark.parametrize("shell", found_shells(), ids=lambda shell: shell[0])
def test_a_system_that_takes_no_files_is_said_and_boots(stage1: Stage1, shell: tuple[str, ...]) -> None:
    stage1.new.rmdir()
    stage1.new.write_text("no folder")
    said = stage1.run(shell, script("installer", SCRIPTED))
    assert "could not carry the overlay over: this system cannot register" in said
    assert "could not carry root's SSH keys over" in said


def test_systemds_stage_1_does_it_before_it_leaves() -> None:
    service = system("installer", SYSTEMD)["stage1"]["services"]["bootstrapd-overlay"]
    assert service["wantedBy"] == ["initrd.target"]
    assert set(service["before"]) == {"initrd.target", "initrd-switch-root.target"}
    assert service["unitConfig"] == {"DefaultDependencies": False, "RequiresMountsFor": "/sysroot"}
    assert service["serviceConfig"] == {"Type": "oneshot"}


# The agent


def test_the_agent_starts_when_the_appliance_can_come_in() -> None:
    unit = plain("installer")["units"]["bootstrapd-agent"]
    assert {"network-online.target", "sshd.service", "sshd-keygen.service"} <= set(unit["after"])
    assert (unit["wantedBy"], unit["wants"]) == (["multi-user.target"], ["network-online.target"])
    assert unit["serviceConfig"]["DeviceAllow"] == ["block-* r", "/dev/console w"]


def test_the_agents_path_has_no_ssh_where_nobody_logs_in() -> None:
    has = {
        kind: any("openssh" in path for path in plain(kind)["units"]["bootstrapd-agent"]["path"])
        for kind in KINDS
    }
    assert has == {"installer": True, "discovery": False}


@pytest.mark.parametrize("kind", KINDS)
def test_its_unit_is_one_that_systemd_takes(kind: str, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = units.of_service(plain(kind)["units"]["bootstrapd-agent"])
    unit["Service"]["ExecStart"] = ["/bin/true"]
    file = tmp_path / "bootstrapd-agent.service"
    file.write_text(units.text(unit), "utf-8")
    said = subprocess.run(["systemd-analyze", "verify", str(file)], capture_output=True, text=True, timeout=60)
    assert (said.returncode, [line for line in said.stderr.splitlines() if file.name in line]) == (0, [])


def test_the_appliances_own_agent_goes_first_and_the_images_own_stands_in() -> None:
    start = build(
        "(import ./tests/nix/system.nix { specialArgs.modulesPath = toString ./tests/nix/nixos/modules; "
        'modules = [ ./netboot/installer.nix { nixpkgs.hostPlatform = "x86_64-linux"; } ]; }'
        ").config.systemd.services.bootstrapd-agent.serviceConfig.ExecStart"
    ).read_text("utf-8")
    first, then = [line for line in start.splitlines() if "exec" in line]
    assert first == "if [ -r /bootstrapd/agent ]; then exec /bin/sh /bootstrapd/agent register; fi"
    assert then.endswith("/bin/bootstrapd-agent register")


# What is left alone


@pytest.mark.parametrize("kind", KINDS)
def test_no_array_volume_group_or_cache_is_started(kind: str) -> None:
    found = plain(kind)
    assert (found["swraid"], found["bcache"]) == (False, False)
    assert {"raid=noautodetect", "systemd.gpt_auto=0"} <= set(found["parameters"])
    assert "activation/auto_activation_volume_list = []" in found["lvm"]
    assert "activation/volume_list = []" in found["stage1"]["preLVMCommands"]


def test_the_installer_has_what_old_and_new_disks_take() -> None:
    wanted = {
        *("btrfs-progs", "cryptsetup", "dosfstools", "e2fsprogs", "gptfdisk", "lvm2", "mdadm", "nixos-facter"),
        *("efibootmgr", "jq", "nvme-cli", "parted", "rsync", "util-linux", "xfsprogs"),
    }
    assert wanted <= set(plain("installer")["packages"])


def test_the_discovery_image_can_install_nothing_and_writes_no_disk() -> None:
    found = plain("discovery")
    assert found["packages"] == []
    assert not found["nix"]["enable"]
    rule = found["udev"]
    assert 'SUBSYSTEM=="block", KERNEL!="loop*|ram*|zram*|sr*"' in rule
    assert rule.count("blockdev --setro $devnode") == 1
    assert "setro" not in plain("installer")["udev"]


def test_nix_is_modern_and_asks_nobody() -> None:
    settings = plain("installer")["nix"]["settings"]
    assert settings["experimental-features"] == ["nix-command", "flakes"]
    assert settings["substituters"] == []


# Network and console


@pytest.mark.parametrize("kind", KINDS)
def test_the_address_is_the_firmwares(kind: str) -> None:
    network = plain(kind)["network"]
    assert (network["useNetworkd"], network["useDHCP"]) == (True, False)
    assert network["boot"]["matchConfig"] == {"Type": "ether", "Kind": "!*"}
    assert network["boot"]["networkConfig"]["DHCP"] == "yes"
    assert network["boot"]["dhcpV4Config"]["ClientIdentifier"] == "mac"
    assert network["boot"]["dhcpV4Config"]["SendHostname"] is False  # one name for a whole rack


@pytest.mark.parametrize(
    ("cpu", "consoles"),
    [
        ("x86_64", ["console=tty0", "console=ttyS0,115200n8"]),
        ("aarch64", ["console=tty0", "console=ttyAMA0,115200", "console=ttyS0,115200n8"]),
    ],
)
def test_it_speaks_on_the_screen_and_the_serial_line(cpu: str, consoles: list[str]) -> None:
    found = system("installer", {}, system=f"{cpu}-linux")
    assert [word for word in found["parameters"] if word.startswith("console=")] == consoles


def test_the_modules_are_where_the_flake_expects_them() -> None:
    for name in (
        "installer.nix",
        "discovery.nix",
        "image.nix",
        "default.nix",
        "agent/module.nix",
        "agent/package.nix",
    ):
        assert (ROOT / "netboot" / name).is_file()
