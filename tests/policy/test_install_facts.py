"""What the scripts found: is it the chosen machine, with the chosen disks and a system that is on them."""

from __future__ import annotations

from typing import Any, Final

import pytest
from install_values import BUILT, DISK, job

from bootstrapd.model import ChosenDisk
from bootstrapd.policy import install_facts as facts
from bootstrapd.policy.install import Failure
from bootstrapd.policy.install_progress import Reading

PATH: Final = DISK.path
GOOD_PROBE: Final = ["@variant\tinstaller", f"@disk\t{PATH}\twhole\t6442450944\tABC\tvda"]
ROOT: Final = "@mount\t/mnt\t/dev/vda2\text4\tchosen"
KEPT: Final = f"@hostkey\t{job().host_key}"
GOOD: Final = {
    "root": ROOT,
    "boot": "@mount\t/mnt/boot\t/dev/vda1\tvfat\tchosen",
    "esp": "@esp\t/mnt/boot\tESP",
    "loader": "@loader\t/mnt/boot\tEFI/BOOT/BOOTX64.EFI",
    "profile": f"@profile\t{BUILT.closure}\tthere",
    "mbr": f"@mbr\t{PATH}\t0",
    "server": "@report\tserver\t-rw------- 0",
    "token": "@report\ttoken\t-rw------- 0",
}


def read(*lines: str) -> Reading:
    reading = Reading("verify")
    for line in lines:
        reading.read(line)
    return reading


def cause(failure: Failure | None) -> str:
    return failure.cause if failure else ""


def test_the_machine_that_was_chosen_passes() -> None:
    assert facts.judge_probe(job(), read("motd of the machine", *GOOD_PROBE)) is None


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "no VARIANT_ID); /dev/disk/by-id/virtio-ABC is not there any more"),
        (["@variant", GOOD_PROBE[1]], "not a NixOS installer"),
        (["@variant\tdesktop", GOOD_PROBE[1]], "VARIANT_ID=desktop"),
        ([GOOD_PROBE[0], f"@disk\t{PATH}\tabsent"], "is not there any more"),
        ([GOOD_PROBE[0], f"@disk\t{PATH}\tpartition"], "is a partition"),
        ([GOOD_PROBE[0], f"@disk\t{PATH}\twhole\t1000\tABC\tvda"], "has 1000 bytes, 6442450944 when"),
        ([GOOD_PROBE[0], f"@disk\t{PATH}\twhole\t6442450944\tXYZ\tvda"], "has serial number 'XYZ', 'ABC' when"),
        ([GOOD_PROBE[0], f"@disk\t{PATH}\twhole\t6442450944\t\tvda"], "has serial number '', 'ABC' when"),
    ],
)
def test_another_machine_is_not_touched(lines: list[str], words: str) -> None:
    assert words in cause(facts.judge_probe(job(), read(*lines)))


def test_a_disk_without_a_serial_number_is_known_by_its_size() -> None:
    disk = ChosenDisk(role="main", path=PATH, size_bytes=6442450944)
    assert facts.judge_probe(job(disks=(disk,)), read(*GOOD_PROBE)) is None


def test_an_install_into_ram_is_caught_before_it_starts() -> None:
    """NIXOS.md 1: `--phases install` with nothing on /mnt ends with 0 (transcript 18)."""
    assert cause(facts.judge_mounted(job(), read())) == "Nothing is mounted on /mnt"
    assert "is a tmpfs in RAM" in cause(facts.judge_mounted(job(), read("@mount\t/mnt\ttmpfs\ttmpfs\tunknown")))
    assert facts.judge_mounted(job(), read(ROOT)) is None
    zfs = "@mount\t/mnt\trpool/root\tzfs\t"
    assert facts.judge_mounted(job(), read(zfs + "chosen")) is None
    unknown = cause(facts.judge_mounted(job(), read(zfs + "unknown")))
    assert unknown == "/mnt is on rpool/root, and it is not known which disks that is on"


def test_a_root_on_another_disk_is_not_installed_on() -> None:
    found = facts.judge_mounted(job(), read("@mount\t/mnt\t/dev/sdb2\text4\telsewhere"))
    assert cause(found) == "/mnt is on /dev/sdb2, which is not on the chosen disks alone"


@pytest.mark.parametrize("target", ["/mnt/nix", "/mnt/nix/store"])
@pytest.mark.parametrize(
    ("mount", "words"),
    [
        ("/dev/sdb2\text4\telsewhere", "which is not on the chosen disks alone"),
        ("nas:/nix\tnfs4\tunknown", "not known which disks"),
        ("tmpfs\ttmpfs\tunknown", "is a tmpfs in RAM"),
        ("/dev/vda3\tbtrfs\tchosen", ""),
    ],
)
def test_the_store_is_on_a_chosen_disk_too(target: str, mount: str, words: str) -> None:
    found = cause(facts.judge_mounted(job(), read(ROOT, f"@mount\t{target}\t{mount}")))
    assert words in found
    assert bool(found) == bool(words)


def test_a_good_install_passes() -> None:
    assert facts.judge_installed(job(), read(*GOOD.values()), BUILT) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"loader": ""}, "The ESP on /mnt/boot has no boot loader"),
        ({"loader": "@loader\t/mnt/other\tEFI/BOOT/BOOTX64.EFI"}, "The ESP on /mnt/boot has no boot loader"),
        ({"boot": GOOD["boot"].replace("chosen", "elsewhere")}, "The ESP on /mnt/boot is not on the chosen"),
        ({"boot": GOOD["boot"].replace("chosen", "unknown")}, "The ESP on /mnt/boot is not on the chosen"),
        ({"boot": ""}, "The ESP on /mnt/boot is not on the chosen"),
        ({"esp": ""}, "there is no ESP"),
        ({"esp": "@esp\t/mnt/boot\tBOOT"}, "No ESP has the label 'ESP' of the profile (found 'BOOT')"),
        ({"profile": ""}, "The disk has no system profile"),
        (
            {"profile": "@profile\t/nix/store/other\tthere"},
            "leads to /nix/store/other, not to " + BUILT.closure,
        ),
        ({"profile": f"@profile\t{BUILT.closure}\tmissing"}, "which is not on the disk"),
        ({"token": "@report\ttoken\t-rw-r--r-- 0"}, "token is -rw-r--r-- 0, not -rw------- 0"),
        ({"token": "@report\ttoken\t-rw------- 1000"}, "token is -rw------- 1000"),
        ({"server": ""}, "server is missing"),
        ({"root": ""}, "Nothing is mounted on /mnt"),
    ],
)
def test_a_bad_install_is_not_rebooted(changes: dict[str, str], words: str) -> None:
    found = facts.judge_installed(job(), read(*(GOOD | changes).values()), BUILT)
    assert words in cause(found)
    assert found is not None
    assert found.stage == "verify"


def test_all_that_is_wrong_is_said_at_once() -> None:
    found = facts.judge_installed(job(), read(ROOT), BUILT)
    assert cause(found).count(";") == 3


def test_bios_wants_boot_code_and_no_esp() -> None:
    bios = job(firmware="bios", report="ssh")
    lines = [ROOT, GOOD["profile"], KEPT]
    assert facts.judge_installed(bios, read(*lines, f"@mbr\t{PATH}\t431"), BUILT) is None
    assert "has a boot loader" in cause(facts.judge_installed(bios, read(*lines, GOOD["mbr"]), BUILT))
    assert "has a boot loader" in cause(facts.judge_installed(bios, read(*lines), BUILT))


@pytest.mark.parametrize("line", ["", "@hostkey", "@hostkey\tssh-ed25519 AAAAother", "@hostkey\tssh-rsa AAAA"])
def test_a_system_that_could_not_be_recognised_is_not_rebooted(line: str) -> None:
    silent = job(report="ssh")
    lines = [text for name, text in GOOD.items() if name not in {"server", "token"}]
    assert facts.judge_installed(silent, read(*lines, "@hostkey\tssh-rsa BBBB", KEPT), BUILT) is None
    assert "has not kept the SSH host key" in cause(facts.judge_installed(silent, read(*lines, line), BUILT))


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (f"disk={PATH}\nmkfs.ext4 /dev/disk/by-partlabel/disk-main-root {PATH}-part2", ""),
        (
            f"disk={PATH}\n    # ensure /dev/disk/by-path/..-partN exists before continuing",
            "",
        ),  # disko's own words
        (f"disk={PATH}\n\n#\ndisk=/dev/sdb # chosen", "built for /dev/sdb"),
        (f"disk={PATH}\ndisk=/dev/sdb", "built for /dev/sdb, which was not chosen"),
        (f"disk={PATH}\ndisk=/dev/disk/by-id/wwn-0x5", "built for /dev/disk/by-id/wwn-0x5, which was not"),
        ("disk=/dev/disk/by-id/none", "does not use the chosen disk " + PATH),
        ("", "does not use the chosen disk " + PATH),
    ],
)
def test_no_layout_erases_another_disk(script: str, words: str) -> None:
    found = facts.judge_layout(job(), script)
    assert bool(found) == bool(words)
    assert words in cause(found)


def test_a_system_that_cannot_report_is_refused() -> None:
    found = facts.judge_report_unit(job(), BUILT, is_there=False)
    assert found is not None
    assert found.stage == "build"
    assert 'report = "ssh"' in found.hint
    assert facts.judge_report_unit(job(), BUILT, is_there=True) is None
    assert facts.judge_report_unit(job(report="ssh"), BUILT, is_there=False) is None


def test_lying_facts_are_failures_never_errors() -> None:
    lines: list[Any] = [
        "@",
        "@disk",
        "@mount",
        "@mount\t/mnt",
        "@esp\tx",
        "@loader",
        "@profile",
        "@mbr",
        "@report\tx",
    ]
    reading = read(*lines)
    for found in (
        facts.judge_probe(job(), reading),
        facts.judge_mounted(job(), reading),
        facts.judge_installed(job(), reading, BUILT),
    ):
        assert isinstance(found, Failure)
