"""Every recorded run of the real nixos-anywhere, nix and disko (NIXOS.md 1) reaches the right verdict."""

from __future__ import annotations

from typing import Final, NamedTuple

import pytest
from install_values import BUILT, GOLDEN, job, transcript

from bootstrapd.policy import install_steps as steps
from bootstrapd.policy.install import Progress
from bootstrapd.policy.install_progress import Lines, Reading
from bootstrapd.policy.install_steps import Step
from bootstrapd.policy.install_verdict import End, verdict

JOB = job()
DISKO = steps.disko(JOB, BUILT)
INSTALL = steps.install(JOB, BUILT, "")
BUILD = steps.build(JOB)[0]


class Row(NamedTuple):
    """What this run would have been of ours, and what we must say of it; "" = nothing is wrong with it."""

    step: Step
    cause: str
    is_lost: bool = False
    by: str = ""  # how our supervisor would have ended it, where it never ends by itself


ROWS: Final = {
    "00-guest-died-midway": Row(DISKO, "The machine cannot be reached over SSH any more", True),
    "01-success": Row(INSTALL, ""),
    "02-wrong-key": Row(DISKO, "The machine does not let the deployment key in", by="loop"),
    "03-unreachable": Row(DISKO, "The machine cannot be reached over SSH any more", True, by="loop"),
    "04-missing-store-path": Row(DISKO, "What was built is gone from the store: /nix/store/xxx and "),
    "05-missing-keyfile": Row(DISKO, "The deployment key vm/keys/none cannot be read"),
    "06-unknown-phase": Row(DISKO, "nixos-anywhere gave up: Unknown phase: foo"),
    "07-no-host": Row(DISKO, "nixos-anywhere gave up: ssh-host must be set"),
    "08-eval-fail": Row(BUILD, "Undefined variable 'pkgz'"),
    "09-build-fail": Row(BUILD, "The build of nixos-system-broken failed with exit code 2"),
    "10-bootloader-step-fails": Row(INSTALL, "nixos-install failed while it installed the boot loader"),
    "11-missing-attr": Row(BUILD, "The flake has no nixosConfigurations.nope"),
    "12-disko-missing-disk": Row(DISKO, "The disk /dev/vdz is not there"),
    "13-phase-disko": Row(DISKO, ""),
    "14-install-bad-bootloader": Row(INSTALL, "The boot loader was not installed: /boot is not a mounted"),
    "15-phase-install": Row(INSTALL, ""),
    "16-install-bad-bootloader-new": Row(INSTALL, "The boot loader was not installed: /boot is not a mounted"),
    "17-no-nixos-install": Row(INSTALL, "The live system has no nixos-install"),
    "18-mnt-not-mounted": Row(INSTALL, ""),  # nothing in it tells: test_install_facts, an install into RAM
    "19-not-installer": Row(DISKO, "What answers is not a NixOS installer"),
    "20-flake-auto": Row(INSTALL, ""),
    "21-sigterm": Row(DISKO, "nixos-anywhere disko was killed by SIGTERM"),
    "22-sigterm-group": Row(DISKO, "nixos-anywhere disko was killed by SIGTERM"),
    "23-phase-reboot": Row(
        INSTALL, "nixos-anywhere install ended without having said '### Installing NixOS ###'"
    ),
    "24-no-space": Row(INSTALL, "A disk is full: No space left on device"),
    "25-guest-hangs": Row(DISKO, "The machine cannot be reached over SSH any more", True),
}


def replay(name: str, step: Step) -> Reading:
    """As the supervisor reads: bytes, and no further once it loops."""
    reading = Reading(step.phase, step.must_say)
    lines = Lines()
    for each in transcript(f"{name}.txt")[0]:
        for line in lines.feed(f"{each}\n".encode()):
            reading.read(line)
        if reading.is_looping:
            break
    return reading


def test_every_recorded_run_is_judged() -> None:
    assert {file.stem for file in GOLDEN.glob("*.txt")} == set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_verdict(name: str) -> None:
    row = ROWS[name]
    reading = replay(name, row.step)
    assert reading.is_looping == (row.by == "loop")
    found = verdict(row.step, JOB, reading, End(code=transcript(f"{name}.txt")[1], by=row.by))
    if not row.cause:
        assert found is None
        return
    assert found is not None
    assert found.cause.startswith(row.cause)
    assert "\n" not in found.cause
    assert found.is_lost == row.is_lost
    assert found.stage == row.step.phase
    assert 0 < len(found.lines) <= 20
    assert found.disk


@pytest.mark.parametrize("name", ["00-guest-died-midway", "25-guest-hangs", "12-disko-missing-disk"])
def test_a_silent_process_that_was_stopped_says_after_what(name: str) -> None:
    reading = replay(name, DISKO)
    found = verdict(DISKO, JOB, reading, End(code=143, by="stall", after_s=300.0))
    assert found is not None
    assert "has said nothing for 5 minutes, and was stopped after: " in found.cause


def test_progress_of_a_whole_install() -> None:
    reading = Reading("install")
    seen = [progress for line in transcript("01-success.txt")[0] if (progress := reading.read(line))]
    names = list(dict.fromkeys(each.step for each in seen if each.step))
    assert names[:3] == [
        "Uploading install SSH keys",
        "Gathering machine facts",
        "Formatting hard drive with disko",
    ]
    assert names[-1] == "Done!"
    upload = [each for each in seen if each.step == "Uploading the system closure" and each.total]
    assert [(each.done, each.total, each.unit) for each in upload] == [(n, 7, "paths") for n in range(8)]
    assert seen[-1] == Progress(phase="install", step="Done!", line="### Done! ###")


def test_the_output_of_nix_build_counts_builds_and_downloads_and_ends_with_the_path() -> None:
    reading = Reading("build")
    for line in (
        "these 2 derivations will be built:",
        "  /nix/store/j58870ch589bzqfl21imc6vjxx6iwj6n-a.drv",
        "this path will be fetched (1.20 MiB download, 5.00 MiB unpacked):",
        "  /nix/store/r6rmb5l57fp1ha6p97rydbf8nsxz62hq-b",
        "copying path '/nix/store/r6rmb5l57fp1ha6p97rydbf8nsxz62hq-b' from 'https://cache.nixos.org'...",
        "building '/nix/store/j58870ch589bzqfl21imc6vjxx6iwj6n-a.drv'...",
    ):
        reading.read(line)
    assert (reading.done, reading.total, reading.unit) == (2, 3, "paths")
    assert reading.store_path == ""
    reading.read(BUILT.closure)
    assert reading.store_path == BUILT.closure


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (
            "error: source tree referenced by 'path:/h?lastModified=1' does not contain a '/flake.nix' file",
            "flake",
        ),
        ("error: path '/var/lib/bootstrapd/hosts/flake.nix' does not exist", "flake"),
        ("error: could not find a flake.nix file", "flake"),
        ("error: getting status of '/nix/store/1frh1jd5-source/flake.nix': No such file or directory", "flake"),
        (
            "error: unable to download 'https://cache.nixos.org/nix-cache-info': no such host",
            "net",
        ),
    ],
    ids=lambda text: text[:40],
)
def test_what_keeps_a_first_build_from_starting_says_what_to_do(line: str, cause: str) -> None:
    """nix 2.8 and 2.31 say it in different words."""
    reading = Reading("build")
    reading.read(line)
    found = verdict(BUILD, JOB, reading, End(code=1))
    assert found is not None
    wanted = {
        "flake": ("The hosts folder is no flake: it has no flake.nix", "docs/nixos.md"),
        "net": ("The appliance cannot download https://cache.nixos.org/nix-cache-info", "cache"),
    }
    assert found.cause == wanted[cause][0]
    assert wanted[cause][1] in found.hint
