"""The supervised install, with stand-ins for the tools and the real scripts on a pretended machine."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest
from install_stage import DISK, Stage
from install_values import GOLDEN

from bootstrapd.errors import ConfigError, EdgeError, RefusedError
from bootstrapd.policy.install import Built, Done, Failure, Progress
from bootstrapd.policy.install_steps import MARK

ERASING = ("preclean", "disko")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def run(stage: Stage, **changes: object) -> Done | Failure:
    return await stage.installer().run(stage.job(**changes), stage.gate, stage.tell)


def failed(result: Done | Failure) -> Failure:
    assert isinstance(result, Failure), result
    return result


async def test_an_install_from_probe_to_verified_disk(stage: Stage) -> None:
    assert await run(stage) == Done(built=stage.built)
    assert [phase for phase, _ in stage.gates] == ["build", "preclean", "disko", "install", "verify"]
    assert [built for _, built in stage.gates] == [None, *[stage.built] * 4]
    programs = [call.split()[0] for call in stage.calls()]
    order = [name for name in programs if name in {"ssh", "nix", "nixos-anywhere"}]
    assert order == ["ssh", "nix", "nix", "ssh", "ssh", "nixos-anywhere", "ssh", "nixos-anywhere", "ssh"]
    assert not list(stage.jobs.iterdir())


async def test_the_report_is_planted_closed_and_its_token_seen_by_nobody(stage: Stage) -> None:
    await run(stage)
    var = stage.root / "mnt/var/lib/bootstrapd-report"
    assert (var / "token").read_text() == "s3cr3t-report-token\n"
    assert (var / "server").read_text() == "http://10.77.0.1\n"
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (var / "token", var, var.parent, stage.root / "mnt")]
    assert modes == [0o600, 0o700, 0o755, 0o755]
    assert "s3cr3t" not in stage.calls_file.read_text()
    assert "s3cr3t" not in (stage.folder / "environments").read_text()


async def test_each_process_has_the_jobs_own_surroundings(stage: Stage) -> None:
    """NIXOS.md 1: TMPDIR, HOME and the ssh first in PATH are the job's; a build's ssh is its own affair."""
    job = stage.job()
    await run(stage)
    environments = (stage.folder / "environments").read_text()
    folder = stage.jobs / job.run
    assert f"\nTMPDIR={folder}/tmp\n" in environments
    assert f"\nHOME={folder}/home\n" in environments
    assert f"\n{MARK}={folder}\n" in environments
    paths = {line for line in environments.splitlines() if line.startswith("PATH=")}
    assert len([path for path in paths if path.startswith(f"PATH={folder}/bin:")]) == 1
    assert not [progress for progress in stage.told if "stdin is no" in progress.line]


async def test_ssh_goes_through_the_pin(stage: Stage) -> None:
    await run(stage)
    for call in stage.called("ssh"):
        assert "-o StrictHostKeyChecking=yes -o HostKeyAlias=machine" in call
        assert call.endswith(f"root@10.77.0.10 sh -s -- {DISK.path}")


async def test_progress_is_told_as_it_comes(stage: Stage) -> None:
    await run(stage)
    assert next(each for each in stage.told if each.total == 2 and each.done == 1) == Progress(
        phase="install",
        step="Uploading the system closure",
        done=1,
        total=2,
        unit="paths",
        line="copying path '/nix/store/a' to 'ssh://root@x'...",
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("etc/os-release", "not a NixOS installer"),
        ("sys/class/block/vda/size", "when it was chosen"),
        ("sys/class/block/vda/serial", "when it was chosen"),
        ("dev/disk/by-id/virtio-ABC", "is not there any more"),
    ],
)
async def test_another_machine_is_left_alone(stage: Stage, change: str, words: str) -> None:
    file = stage.root / change
    if file.is_symlink():
        file.unlink()
    else:
        file.write_text("77\n")
    result = failed(await run(stage))
    assert result.stage == "probe"
    assert words in result.cause
    assert result.disk == "The disks are as they were"
    assert [phase for phase, _ in stage.gates] == ["build"]
    assert stage.called("nix") == stage.called("nixos-anywhere") == []


async def test_a_machine_that_changed_while_it_was_built_for_is_left_alone(stage: Stage) -> None:
    stage.scene("nix", f"echo OTHER >{stage.root}/sys/class/block/vda/serial\n")
    result = failed(await run(stage))
    assert result.stage == "probe"
    assert [phase for phase, _ in stage.gates] == ["build"]
    assert len(stage.called("nix")) == 2


@pytest.mark.parametrize("name", ["08-eval-fail", "09-build-fail", "11-missing-attr"])
async def test_a_failed_build_never_touches_the_machine(stage: Stage, name: str) -> None:
    stage.scene("nix", replay(name))
    result = failed(await run(stage))
    assert result.stage == "build"
    assert [phase for phase, _ in stage.gates] == ["build"]


async def test_a_system_that_cannot_report_is_refused_before_anything_is_erased(stage: Stage) -> None:
    (Path(stage.built.closure) / "etc/systemd/system/bootstrapd-report.service").unlink()
    result = failed(await run(stage))
    assert "could not report" in result.cause
    assert [phase for phase, _ in stage.gates] == ["build"]
    stage.give_host_key(stage.job().host_key)
    assert isinstance(await run(stage, report="ssh"), Done)
    assert not (stage.root / "mnt/var").exists()


async def test_a_layout_for_another_disk_is_refused_before_anything_is_erased(stage: Stage) -> None:
    stage.scene("nix", f"echo disk=/dev/sdb >{stage.built.disko}\n")
    result = failed(await run(stage))
    assert "built for /dev/sdb" in result.cause
    assert [phase for phase, _ in stage.gates] == ["build"]


@pytest.mark.parametrize(
    ("name", "phase", "words"),
    [
        ("12-disko-missing-disk", "disko", "The disk /dev/vdz is not there"),
        ("25-guest-hangs", "disko", "The machine cannot be reached"),
        ("14-install-bad-bootloader", "install", "The boot loader was not installed"),
        ("16-install-bad-bootloader-new", "install", "The boot loader was not installed"),
        ("17-no-nixos-install", "install", "The live system has no nixos-install"),
        ("24-no-space", "install", "A disk is full"),
    ],
)
async def test_recorded_failures_end_the_run(stage: Stage, name: str, phase: str, words: str) -> None:
    stage.scene(phase, replay(name))
    result = failed(await run(stage))
    assert result.stage == phase
    assert words in result.cause
    assert stage.gates[-1][0] == phase
    assert not list(stage.jobs.iterdir())


async def test_nothing_on_mnt_is_not_installed_on(stage: Stage) -> None:
    """Transcript 18: it would go into RAM and end with 0."""
    stage.scene("disko", replay("13-phase-disko"))
    result = failed(await run(stage))
    assert (result.stage, result.cause) == ("disko", "Nothing is mounted on /mnt")
    assert len(stage.called("nixos-anywhere")) == 1


async def test_a_loader_that_is_missing_after_success_is_found(stage: Stage) -> None:
    stage.scene("installed", f"rm {stage.root}/mnt/boot/EFI/BOOT/BOOTX64.EFI\n")
    result = failed(await run(stage))
    assert result.stage == "verify"
    assert result.cause == "The ESP on /mnt/boot has no boot loader (EFI/**/*.EFI)"


@pytest.mark.parametrize("error", [RefusedError("the arm was taken back"), EdgeError("the journal is full")])
async def test_a_gate_that_refuses_ends_the_run_before_its_phase(stage: Stage, error: Exception) -> None:
    async def gate(phase: str, _: Built | None) -> None:
        if phase == "preclean":
            raise error

    with pytest.raises(type(error)):
        await stage.installer().run(stage.job(), gate, stage.tell)
    assert not stage.called("wipefs")
    assert not list(stage.jobs.iterdir())


async def test_a_layout_that_cannot_be_read_is_a_failed_build(stage: Stage) -> None:
    stage.scene("nix", f"rm -f {stage.built.disko}\n")
    result = failed(await run(stage))
    assert (result.stage, result.cause) == (
        "build",
        f"{stage.built.disko} cannot be read: No such file or directory",
    )


async def test_unfit_names_start_nothing(stage: Stage) -> None:
    result = failed(await run(stage, host="a;b", address="-o"))
    assert result.stage == "job"
    assert "DNS label" in result.cause
    assert "IP address" in result.cause
    assert stage.calls() == []


async def test_missing_tools_are_said_in_words(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    (stage.tools / "nixos-anywhere").unlink()
    words = "nixos-anywhere is not on PATH: installing needs it"
    assert await stage.installer().problems() == [words]
    assert failed(await run(stage)).cause == words


async def test_an_old_nix_is_said_in_words(stage: Stage) -> None:
    stage.scene("nix", 'echo "nix (Nix) 2.8.0"; exit\n')
    assert await stage.installer().problems() == ["nix 2.8 is too old: nixos-anywhere needs 2.16 or newer"]
    stage.scene("nix", 'echo "nix (Nix) 2.31.2"; exit\n')
    assert await stage.installer().problems() == []


def test_a_folder_that_nixos_anywhere_would_split_is_refused(stage: Stage) -> None:
    for folder in ("/tmp/a b", "relative", "/tmp/a:b"):
        stage.jobs = Path(folder)
        with pytest.raises(ConfigError, match="absolute path"):
            stage.installer()


async def test_reboot_leaves_a_clean_disk_and_says_so(stage: Stage) -> None:
    assert await stage.installer().reboot(stage.job()) is None
    calls = [call.split()[0] for call in stage.calls()]
    assert calls == ["ssh", "sync", "swapoff", "umount", "zpool", "setsid"]
    assert not list(stage.jobs.iterdir())


async def test_a_reboot_that_never_reached_the_machine_is_a_failure(stage: Stage) -> None:
    stage.scene("ssh", "echo 'ssh: connect to host 10.77.0.10 port 22: No route to host'; exit 255\n")
    result = await stage.installer().reboot(stage.job())
    assert result is not None
    assert (result.stage, result.is_lost) == ("reboot", True)


async def test_jobs_run_at_once_each_in_its_folder(stage: Stage) -> None:
    installer = stage.installer()
    results = await asyncio.gather(
        *(installer.reboot(stage.job(run=f"run-{number}", host=f"node{number}")) for number in range(4))
    )
    assert results == [None] * 4
    folders = {
        line for line in (stage.folder / "environments").read_text().splitlines() if line.startswith(MARK)
    }
    assert len(folders) == 4


def replay(name: str) -> str:
    """A scene that says what the recorded run said, and ends as it ended."""
    return (
        f"sed -n 's/^ *[0-9.]* [OE] //p' {GOLDEN}/{name}.txt\n"
        f"exit $(sed -n 's/^EXIT //p' {GOLDEN}/{name}.txt)\n"
    )


def test_the_stage_cannot_reach_this_machine(stage: Stage) -> None:
    """What the scripts call and this machine has is a stub, or harmless."""
    for name in ("umount", "swapoff", "wipefs", "mdadm", "reboot", "systemctl", "blockdev", "dmsetup"):
        assert "echo" in (stage.folder / "remote" / name).read_text()
    assert os.path.realpath(stage.root / DISK.path[1:]) == str(stage.root / "dev/vda")
