"""The pinned SSH link against a real sshd on loopback: the key that registered, and no other."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from install_stage import BOOT_ID, Stage

from bootstrapd.model import Report
from bootstrapd.policy import first_boot
from bootstrapd.policy.install import Built, Done, Failure, Job
from bootstrapd.policy.install_verdict import KEY_REFUSED, OTHER_KEY

SSHD: Final = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
pytestmark = pytest.mark.skipif(
    not SSHD or os.geteuid() != 0, reason="needs root and openssh-server: sshd logs in the user that it runs as"
)
DEADLINE_S: Final = 60.0


class Peer(NamedTuple):
    """An sshd whose every login lands on the stage's machine, whatever it is asked to run."""

    stage: Stage
    job: Job
    keys: Path


def make_key(file: Path) -> str:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    return file.with_suffix(".pub").read_text().strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def peer(tmp_path: Path) -> AsyncIterator[Peer]:
    stage = Stage(tmp_path)
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    host_key = make_key(keys / "host")
    (keys / "authorized_keys").write_text(make_key(keys / "deploy") + "\n")
    port = free_port()
    (keys / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {keys}/host\nAuthorizedKeysFile {keys}/authorized_keys\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\nPidFile none\n"
        f'PermitRootLogin yes\nForceCommand {stage.remote()} "$SSH_ORIGINAL_COMMAND"\n'
    )
    os.makedirs("/run/sshd", exist_ok=True)  # noqa: PTH103 - privilege separation wants it
    assert SSHD
    sshd = await asyncio.create_subprocess_exec(
        *(SSHD, "-D", "-e", "-f", str(keys / "sshd_config")), stderr=asyncio.subprocess.PIPE
    )
    assert sshd.stderr
    async with asyncio.timeout(DEADLINE_S):
        while b"Server listening" not in (line := await sshd.stderr.readline()):
            assert line, "sshd did not start"
    drain = asyncio.create_task(sshd.stderr.read())
    real = shutil.which("ssh")
    assert real
    (stage.tools / "ssh").unlink()
    (stage.tools / "ssh").symlink_to(real)
    yield Peer(
        stage, stage.job(address="127.0.0.1", port=port, host_key=host_key, key_file=f"{keys}/deploy"), keys
    )
    sshd.terminate()
    await sshd.wait()
    await drain


async def run(peer: Peer, **changes: object) -> Done | Failure:
    values = {name: getattr(peer.job, name) for name in peer.job.__struct_fields__} | changes
    stage = peer.stage
    async with asyncio.timeout(DEADLINE_S):
        return await stage.installer().run(stage.job(**values), stage.gate, stage.tell)


async def test_a_whole_install_over_ssh(peer: Peer) -> None:
    """Preclean's script arrives whole on stdin, its disks as arguments; verify reads what is really there."""
    assert await run(peer) == Done(built=peer.stage.built)
    disk = peer.stage.root / "dev/vda"
    assert peer.stage.called("wipefs") == [f"wipefs --all --force {disk}"]
    assert not any(disk.read_bytes()[: 2**20])


async def test_another_host_key_stops_before_anything_is_run(peer: Peer) -> None:
    other = make_key(peer.keys / "other")
    result = await run(peer, host_key=other)
    assert isinstance(result, Failure)
    assert "shows another SSH host key than the one that registered" in result.cause
    assert (result.stage, result.is_lost) == ("probe", True)
    assert peer.stage.calls() == []


async def test_a_machine_that_does_not_know_the_deployment_key_is_said(peer: Peer) -> None:
    make_key(peer.keys / "stranger")
    result = await run(peer, key_file=f"{peer.keys}/stranger")
    assert isinstance(result, Failure)
    assert result.cause == "The machine does not let the deployment key in"
    assert peer.stage.calls() == []


async def test_nobody_there_is_said_and_lost(peer: Peer) -> None:
    result = await run(peer, port=free_port())
    assert isinstance(result, Failure)
    assert result.is_lost
    assert "Connection refused" in result.lines[-1]


@pytest.mark.parametrize("is_ours", [True, False])
async def test_what_nixos_anywhere_switches_off_stays_on(peer: Peer, is_ours: bool) -> None:
    """NIXOS.md 1: it says UserKnownHostsFile=/dev/null StrictHostKeyChecking=no to every ssh that it starts.

    After the probe the machine's key changes, as if another machine took its address.
    """
    options = "-o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no -o BatchMode=no"
    peer.stage.scene("disko", f"ssh {options} root@127.0.0.1 'echo let in' || exit 255\n")

    async def gate(phase: str, _: Built | None) -> None:
        if phase == "disko" and not is_ours:
            known = peer.stage.jobs / peer.job.run / "known_hosts"
            known.write_text(f"machine {make_key(peer.keys / 'other')}\n")

    stage = peer.stage
    async with asyncio.timeout(DEADLINE_S):
        result = await stage.installer().run(peer.job, gate, stage.tell)
    was_let_in = any(progress.line == "let in" for progress in stage.told)
    assert was_let_in is is_ours
    assert isinstance(result, Done) is is_ours
    if isinstance(result, Failure):
        assert "another SSH host key" in result.cause


async def test_reboot_is_asked_for_over_the_same_link(peer: Peer) -> None:
    async with asyncio.timeout(DEADLINE_S):
        assert await peer.stage.installer().reboot(peer.job) is None
    assert peer.stage.called("setsid") == [
        "setsid sh -c sleep 2; systemctl reboot || reboot || reboot -f",
    ]


# report = "ssh": the new system is known by the key of the live one, and is asked over the same link


async def look(peer: Peer, **changes: object) -> Report | Failure:
    values = {name: getattr(peer.job, name) for name in peer.job.__struct_fields__}
    silent = peer.stage.job(**(values | {"report": "ssh"} | changes))
    async with asyncio.timeout(DEADLINE_S):
        return await peer.stage.installer().look(silent)


async def test_the_live_systems_keys_are_kept_and_the_new_system_is_known_by_them(peer: Peer) -> None:
    """From the install to what a report would say, without the new system doing anything for it."""
    stage = peer.stage
    (Path(stage.built.closure) / "etc/systemd/system/bootstrapd-report.service").unlink()
    stage.give_host_key(peer.job.host_key)
    values = {name: getattr(peer.job, name) for name in peer.job.__struct_fields__}
    silent = stage.job(**(values | {"report": "ssh"}))
    async with asyncio.timeout(DEADLINE_S):
        assert await stage.installer().run(silent, stage.gate, stage.tell) == Done(built=stage.built)
    assert (stage.root / "mnt/etc/ssh/ssh_host_ed25519_key").exists()
    assert not (stage.root / "mnt/var/lib/bootstrapd-report").exists()
    still_live = await look(peer)
    assert isinstance(still_live, Failure)
    assert still_live.cause == first_boot.LIVE
    stage.boot_disk(stage.built.closure)
    kind, key, *_ = peer.job.host_key.split()
    assert await look(peer) == Report(
        token="", closure=stage.built.closure, boot_id=BOOT_ID, host_keys=(f"{kind} {key}",)
    )
    assert not list(stage.jobs.iterdir())


async def test_a_system_that_would_not_be_recognised_is_not_rebooted(peer: Peer) -> None:
    peer.stage.give_host_key(peer.job.host_key)
    peer.stage.scene("installed", f"rm {peer.stage.root}/mnt/etc/ssh/*\n")
    result = await run(peer, report="ssh")
    assert isinstance(result, Failure)
    assert result.stage == "verify"
    assert "has not kept the SSH host key" in result.cause


async def test_who_shows_another_key_is_not_believed(peer: Peer) -> None:
    peer.stage.boot_disk(peer.stage.built.closure)
    found = await look(peer, host_key=make_key(peer.keys / "other"))
    assert isinstance(found, Failure)
    assert (found.cause, found.is_lost) == (OTHER_KEY, True)


async def test_a_system_that_does_not_let_the_key_in_is_said(peer: Peer) -> None:
    peer.stage.boot_disk(peer.stage.built.closure)
    make_key(peer.keys / "stranger")
    found = await look(peer, key_file=f"{peer.keys}/stranger")
    assert isinstance(found, Failure)
    assert (found.stage, found.cause) == ("first boot", KEY_REFUSED)


async def test_a_new_system_is_not_rebooted_again(peer: Peer) -> None:
    peer.stage.boot_disk(peer.stage.built.closure)
    async with asyncio.timeout(DEADLINE_S):
        assert await peer.stage.installer().reboot(peer.job) is None
    assert peer.stage.calls() == []
