"""The iPXE templates: complete, safe against what machines and files say, and never a plain exit."""

from __future__ import annotations

import re

import pytest
from jinja2 import UndefinedError

from bootstrapd import shipped
from bootstrapd.policy.render import Scripts, said

SOURCES = {file.name: file.read_text() for file in (shipped.netboot() / "ipxe").glob("*.ipxe.j2")}
VALUES = {
    "base": "http://10.77.0.2",
    "host": "cim-1",
    "reason": "because",
    "image": "installer",
    "kernel": "bzImage",
    "initrds": ["initrd0", "overlay"],
    "paths": ["/images/installer/initrd", "/overlay/x.cpio"],
    "cmdline": "console=ttyS0",
    "esp_label": "ESP",
}


def rendered(template: str, **values: str) -> str:
    return Scripts(SOURCES).render(template, {**VALUES, **values}).decode()


@pytest.mark.parametrize("template", ["boot", "image", "wait", "disk"])
def test_every_script_begins_as_one_and_leaves_with_a_status(template: str) -> None:
    """I14, I15: never an iPXE shell, never a plain exit."""
    script = rendered(template)
    assert script.startswith("#!ipxe\n")
    exits = re.findall(r"^exit.*$", script, re.MULTILINE)
    assert exits
    assert set(exits) == {"exit 1"}
    assert "shell" not in script


def test_I13_every_initrd_is_named_on_the_kernel_line() -> None:
    script = rendered("image")
    kernel = next(line for line in script.splitlines() if line.startswith("kernel"))
    assert "initrd=initrd0 initrd=overlay" in kernel
    assert "initrd --name initrd0 http://10.77.0.2/images/installer/initrd" in script
    assert "initrd --name overlay http://10.77.0.2/overlay/x.cpio" in script


def test_I14_a_failed_load_frees_its_images() -> None:
    assert re.search(r":failed\n.*\nimgfree\n.*\nexit 1", rendered("image"))


def test_I15_the_disk_script_starts_the_disk_itself() -> None:
    """BIOS: drive by drive. UEFI: whatever disk has the volume; a build without --label goes on to chain."""
    lines = rendered("disk", esp_label="BOOT").splitlines()
    drives = [line for line in lines if line.startswith("sanboot")]
    *bios, uefi = drives
    assert bios == [f"sanboot --no-describe --drive 0x8{number} ||" for number in range(4)]
    assert (
        uefi
        == r"sanboot --no-describe --drive 0 --label BOOT --filename \EFI\BOOT\BOOT${bootstrapd_cpu}.EFI ||"
    )
    assert "chain file://BOOT/EFI/BOOT/BOOT${bootstrapd_cpu}.EFI ||" in lines[lines.index(uefi) :]


def test_I15_systemd_boot_is_not_started_by_an_ipxe_that_does_not_tell_it_its_volume() -> None:
    lines = rendered("disk").splitlines()
    at = lines.index("imgfetch file://ESP/EFI/systemd/systemd-boot${bootstrapd_cpu}.efi && goto failed ||")
    assert lines[at + 1].startswith("chain file://")


def test_I9_the_stub_asks_for_an_address_where_ipxe_has_none_yet() -> None:
    lines = rendered("boot").splitlines()
    at = lines.index("isset ${netX/ip} || dhcp ||")
    assert lines[at - 1] == ":ask"
    assert lines[at + 1].startswith("chain ")


def test_I7_the_stub_says_who_the_machine_is() -> None:
    script = rendered("boot")
    for variable in ("netX/mac:hexhyp", "uuid", "serial:uristring", "buildarch", "efi/SecureBoot"):
        assert "${" + variable in script


def test_a_missing_value_is_an_error_not_an_empty_word() -> None:
    with pytest.raises(UndefinedError):
        Scripts(SOURCES).render("image", {"base": "http://x"})


@pytest.mark.parametrize("evil", ["a\nreboot", "${boot}", "x || reboot", "a && b", "`id`", "\0", "ünïcode"])
def test_nothing_said_can_become_a_command(evil: str) -> None:
    for template in ("image", "wait", "disk"):
        lines = rendered(template, reason=evil, host=evil).splitlines()
        assert len(lines) == len(rendered(template).splitlines())
        assert not any("${boot}" in line or "`" in line for line in lines)
    assert said(evil).isascii()
