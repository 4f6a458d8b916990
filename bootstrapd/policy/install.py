"""An install as values: what a job is, its phases, how long each may take, and what comes of it.

Pure: `install_steps` makes the command lines, `install_progress` reads their output, `install_verdict` and
`install_facts` judge it, `edge.installer` runs them. NIXOS.md 1 has the traps that explain what looks odd.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from msgspec import Struct, field

from bootstrapd.errors import ConfigError
from bootstrapd.model import ChosenDisk

PHASES: Final = ("build", "preclean", "disko", "install", "verify")
ERASES: Final = "preclean"  # the first of them that destroys
VERIFY: Final = "verify"  # the last: a whole system is on the disk
REPORT_UNIT: Final = "etc/systemd/system/bootstrapd-report.service"  # in the closure
REPORT_FOLDER: Final = "var/lib/bootstrapd-report"  # in the installed system: server and token

_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_RUN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_DISK: Final = re.compile(r"/dev/disk/by-[a-z]+/[A-Za-z0-9][A-Za-z0-9._:+=@-]*")
_HOST_KEY: Final = re.compile(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]{16,}={0,3}( [\x20-\x7e]*)?")
_LABEL: Final = re.compile(r"[A-Za-z0-9_-]{1,11}")  # a FAT volume label is 11 characters
_ONE_LINE: Final = re.compile(r"[\x21-\x7e]*")

# What the chosen disks hold when a phase ended in the middle.
_HOLDS: Final = {
    "preclean": "The chosen disks have lost old RAID, LVM, ZFS and partition records, at least in part",
    "disko": "The chosen disks are erased and half partitioned",
    "install": "The chosen disks are newly formatted and hold an incomplete system",
    "verify": "The chosen disks hold a new system that was not found good",
    "reboot": "The chosen disks hold the new system",
    "first boot": "The chosen disks hold the new system",
}


class Job(Struct, frozen=True, kw_only=True):
    """One install of one host on one machine. `check` says what of it is not fit for a command line."""

    run: str
    host: str
    address: str
    host_key: str  # the machine's, as it registered: "ssh-ed25519 AAAA…"
    firmware: str  # "uefi" | "bios"
    disks: tuple[ChosenDisk, ...]
    flake: str  # a folder, or a flake reference
    key_file: str  # the deployment key's private half
    esp_label: str = "ESP"
    report: str = "agent"  # "agent": the closure reports; "ssh": the appliance looks
    server: str = ""  # base URL of the boot listener, for the report
    report_token: str = ""  # secret: only ever in a file
    port: int = 22


class Tools(Struct, frozen=True, kw_only=True):
    """What the installer starts: names on `path` (as in PATH) or absolute paths."""

    scripts: str  # the folder with what runs on the machine: netboot/install
    path: str = ""  # "" = the appliance's own PATH
    nix: str = "nix"
    nixos_anywhere: str = "nixos-anywhere"
    ssh: str = "ssh"
    environment: dict[str, str] = {}  # for all of them; NIX_*, proxies and certificates are passed on anyway


class Limits(Struct, frozen=True, kw_only=True):
    """How long each phase may take, and be silent (absent = as long as it may take); seconds (DESIGN.md)."""

    deadline_s: dict[str, float] = field(
        default_factory=lambda: {
            "probe": 60.0,
            "build": 1800.0,
            "preclean": 120.0,
            "disko": 600.0,
            "install": 3600.0,
            "verify": 120.0,
            "reboot": 60.0,
            "first boot": 60.0,  # one look at it
        }
    )
    stall_s: dict[str, float] = field(default_factory=lambda: {"install": 300.0})
    grace_s: float = 5.0  # between TERM and KILL
    connect_s: int = 20
    alive_interval_s: int = 10  # ssh notices a dead machine after interval x count
    alive_count: int = 6


class Built(Struct, frozen=True, kw_only=True):
    """The two store paths of an install."""

    closure: str
    disko: str


class Progress(Struct, frozen=True, kw_only=True):
    """How far a phase is: `done` of `total` (0 = unknown) `unit`s, the tool's own step, and its last line."""

    phase: str
    step: str = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    line: str = ""


class Done(Struct, frozen=True, kw_only=True):
    """The disk holds a system that was looked at and found good; the machine has not rebooted yet."""

    built: Built


class Failure(Struct, frozen=True, kw_only=True):
    """Why an install ended: one sentence, the last lines (at most 20), what to do, what the disks hold now.

    `is_lost`: the machine cannot be reached, and a retry has to wait until it registers again.
    """

    stage: str  # a phase, "job", "probe" or "reboot"
    cause: str
    hint: str = ""
    lines: tuple[str, ...] = ()
    disk: str = ""
    is_lost: bool = False


def holds(phase: str) -> str:
    """What the chosen disks hold when `phase` was ended in the middle (an abort, a kill, a failure)."""
    return _HOLDS.get(phase, "The disks are as they were")


def check(job: Job) -> None:
    """Names reach file paths, argv and a remote shell; ConfigError names all that must not."""
    facts = (
        (_RUN.fullmatch(job.run), f"run {job.run!r} is not an id"),
        (_HOST.fullmatch(job.host), f"host {job.host!r} is not a DNS label"),
        (_is_address(job.address), f"address {job.address!r} is not an IP address"),
        (_HOST_KEY.fullmatch(job.host_key), f"host key {job.host_key[:80]!r} is not an SSH public key"),
        (job.firmware in {"uefi", "bios"}, f"firmware {job.firmware!r} is neither uefi nor bios"),
        (job.report in {"agent", "ssh"}, f"report {job.report!r} is neither agent nor ssh"),
        (_LABEL.fullmatch(job.esp_label), f"esp_label {job.esp_label!r} is not a FAT label"),
        (_ONE_LINE.fullmatch(job.server), f"server {job.server!r} is not a URL"),
        (_ONE_LINE.fullmatch(job.report_token), "the report token is not one word"),
        (job.flake and job.flake[0] != "-" and job.flake.isprintable(), f"flake {job.flake!r} is none"),
        (job.key_file.startswith("/"), f"key file {job.key_file!r} is not an absolute path"),
        (0 < job.port < 65536, f"port {job.port} is none"),
        (job.disks, "no disk was chosen"),
        *(
            (_DISK.fullmatch(disk.path), f"disk {disk.path!r} is not a /dev/disk/by-… name")
            for disk in job.disks
        ),
    )
    mistakes = [f"{job.host}: cannot install: {words}" for is_good, words in facts if not is_good]
    if mistakes:
        raise ConfigError(*mistakes)


def _is_address(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_unspecified is False and "%" not in text
    except ValueError:
        return False
