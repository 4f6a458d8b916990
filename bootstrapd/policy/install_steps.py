"""The command lines of an install, and what its processes find around them: environment, ssh, known hosts.

Every phase is a list of steps, every step one process. nixos-anywhere gets one phase a process (its exit code
does not tell phases apart), store paths built before (a build error never touches a machine), and
`--build-on local` (the default asks for a newer nix, after connecting). It switches host-key checking off and
puts what it is given behind that, where ssh does not look: the `ssh` first in its PATH is a script of ours.

The reboot is a step of our own over ssh. nixos-anywhere's `reboot` phase uploads keys and gathers facts again,
then asks the machine for ever whether it is gone, and leaves its mounts to the reboot (NIXOS.md 1).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

from msgspec import Struct

from bootstrapd.policy.install import Built, Job, Limits, Tools

MARK: Final = "BOOTSTRAPD_JOB"  # in the environment of every process of a job: its folder

CACHE: Final = "cache"  # beside the jobs' folders

_TARGET: Final = "machine"  # the name under which known_hosts has its key, whatever address and port it has
_INHERITED: Final = re.compile(
    r"NIX_(?!SSHOPTS).*|SSL_CERT_.*|(https?|ftp|all|no)_proxy|LOCALE_ARCHIVE|TZ", re.IGNORECASE
)
_FLAKES: Final = ("--extra-experimental-features", "nix-command flakes")


class Step(Struct, frozen=True, kw_only=True):
    """One process: the tool's field in `Tools`, its arguments, and what it must say to be believed."""

    phase: str
    name: str
    tool: str  # "nix" | "nixos_anywhere" | "ssh"
    arguments: tuple[str, ...]
    script: str = ""  # netboot/install/<script>.sh goes to its stdin; "" = stdin is empty
    must_say: tuple[str, ...] = ()


def probe(job: Job) -> Step:
    return _over_ssh(job, "probe", "probe")


def build(job: Job) -> tuple[Step, Step]:
    """The system first: it is what fails, and what takes its time."""
    return _nix_build(job, "toplevel"), _nix_build(job, "diskoScript")


def preclean(job: Job) -> Step:
    return _over_ssh(job, "preclean", "preclean", must_say=("@precleaned",))


def disko(job: Job, built: Built) -> Step:
    must_say = ("### Formatting hard drive with disko ###", "### Done! ###")
    return _nixos_anywhere(job, built, "disko", must_say)


def mounted(job: Job) -> Step:
    """What disko left mounted: an install with nothing on /mnt goes into RAM, with exit code 0."""
    return _over_ssh(job, "disko", "verify")


def install(job: Job, built: Built, extra_files: str) -> Step:
    """`extra_files` is the folder laid over the new system, "" for none."""
    must_say = ("### Installing NixOS ###", "installation finished!", "### Done! ###")
    extra = ("--extra-files", extra_files) if extra_files else ()
    if job.report == "ssh":
        extra = (*extra, "--copy-host-keys")  # so that the pin holds after the reboot
    return _nixos_anywhere(job, built, "install", must_say, extra)


def verify(job: Job) -> Step:
    return _over_ssh(job, "verify", "verify")


def reboot(job: Job) -> Step:
    return _over_ssh(job, "reboot", "reboot", must_say=("@rebooting",))


def running(job: Job) -> Step:
    """After the reboot: which system answers."""
    return _over_ssh(job, "first boot", "running", must_say=("@running",))


def environment(folder: str, tools: Tools, appliance: Mapping[str, str], *, is_pinned: bool) -> dict[str, str]:
    """All that a process of the job finds in its environment: little of the appliance's own, and no secret.

    `is_pinned`: its ssh speaks to nobody but the machine. A build's does not: flakes may fetch by ssh.
    Nix keeps what it fetched beside the jobs: each one has its own HOME, and would fetch again.
    """
    path = tools.path or appliance.get("PATH", "")
    return {
        **{name: value for name, value in appliance.items() if _INHERITED.fullmatch(name)},
        **tools.environment,
        "PATH": f"{folder}/bin:{path}" if is_pinned else path,
        "HOME": f"{folder}/home",
        "TMPDIR": f"{folder}/tmp",  # noqa: S108 - the job's own; nixos-anywhere copies the private key there
        "XDG_CACHE_HOME": f"{folder.rpartition('/')[0]}/{CACHE}",
        "LC_ALL": "C.UTF-8",
        MARK: folder,
    }


def ssh_wrapper(job: Job, limits: Limits, ssh: str, folder: str) -> str:
    """The `ssh` that goes first in PATH: for each option ssh takes the first value it is told."""
    options = (
        f"UserKnownHostsFile={_in_ssh(f'{folder}/known_hosts')}",
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
        f"HostKeyAlias={_TARGET}",
        "UpdateHostKeys=no",
        "VerifyHostKeyDNS=no",
        "BatchMode=yes",
        "PreferredAuthentications=publickey",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "ForwardAgent=no",
        "ControlMaster=no",
        "ControlPath=none",
        f"Port={job.port}",
        f"ConnectTimeout={limits.connect_s}",
        f"ServerAliveInterval={limits.alive_interval_s}",
        f"ServerAliveCountMax={limits.alive_count}",
    )
    words = ["exec", ssh, "-F", "/dev/null", *(word for each in options for word in ("-o", each))]
    return f'#!/bin/sh\n{shlex.join([*words, "-i", _in_ssh(job.key_file)])} "$@"\n'


def known_hosts(job: Job) -> str:
    kind, key, *_ = job.host_key.split()
    return f"{_TARGET} {kind} {key}\n"


def script(name: str, texts: Mapping[str, str]) -> str:
    """What goes to the stdin of `sh -s`: the shared part in front."""
    return f"{texts['common']}\n{texts[name]}"


def _nix_build(job: Job, attribute: str) -> Step:
    reference = f"path:{quote(job.flake)}" if job.flake.startswith("/") else job.flake
    wanted = f"{reference}#nixosConfigurations.{job.host}.config.system.build.{attribute}"
    arguments = (*_FLAKES, "build", wanted, "--no-link", "--print-out-paths", "--no-write-lock-file")
    return Step(phase="build", name=f"nix build {attribute}", tool="nix", arguments=arguments)


def _nixos_anywhere(
    job: Job, built: Built, phase: str, must_say: tuple[str, ...], extra: tuple[str, ...] = ()
) -> Step:
    arguments = (
        *("--phases", phase),
        *("--store-paths", built.disko, built.closure),
        *("--build-on", "local"),
        "--no-substitute-on-destination",  # the appliance has it all; an isolated machine would try in vain
        *("-i", job.key_file),
        *extra,
        f"root@{job.address}",
    )
    name = f"nixos-anywhere {phase}"
    return Step(phase=phase, name=name, tool="nixos_anywhere", arguments=arguments, must_say=must_say)


def _over_ssh(job: Job, phase: str, script: str, *, must_say: tuple[str, ...] = ()) -> Step:
    """The remote shell reads the command's words once more: they are quoted for it."""
    command = shlex.join(["sh", "-s", "--", *(disk.path for disk in job.disks)])
    arguments = (f"root@{job.address}", command)
    return Step(
        phase=phase, name=f"ssh {script}", tool="ssh", arguments=arguments, script=script, must_say=must_say
    )


def _in_ssh(path: str) -> str:
    """A path as ssh reads it in an option: % begins a token."""
    return path.replace("%", "%%")
