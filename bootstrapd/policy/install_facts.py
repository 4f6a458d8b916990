"""What the scripts on the machine found, judged: is it the chosen one, is the system really on its disk.

The facts are the lines `@what<TAB>value…` of netboot/install/*.sh. What was not reported is missing: silence is
never taken for yes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from bootstrapd.model import ChosenDisk
from bootstrapd.policy.install import REPORT_UNIT, Built, Failure, Job
from bootstrapd.policy.install_progress import Reading
from bootstrapd.policy.install_verdict import failure, plain

_RAM: Final = frozenset({"tmpfs", "ramfs", "rootfs", "overlay", "squashfs"})
_SYSTEM: Final = ("/mnt", "/mnt/nix", "/mnt/nix/store")  # the root, and its store where that is mounted apart
_DISK_NAME: Final = re.compile(
    r"/dev/(?:disk/by-(?:id|path|uuid|diskseq)/[A-Za-z0-9._:+=@-]+"
    r"|(?:sd|vd|hd|xvd)[a-z]+\d*|nvme\d+n\d+(?:p\d+)?|mmcblk\d+(?:p\d+)?)"
)
_PARTITION: Final = re.compile(r"-part\d+$")
_COMMENT: Final = re.compile(r"^\s*#.*$", re.MULTILINE)  # disko's own speak of "/dev/disk/by-path/..-partN"
_ASIDE = "Nothing was changed on the machine"


def judge_probe(job: Job, reading: Reading) -> Failure | None:
    """The live system is an installer, and every chosen disk is there as it was when it was chosen."""
    facts = reading.facts
    variant = next((fact[1] for fact in facts if fact[0] == "variant" and len(fact) > 1), "")
    wrong = []
    if variant != "installer":
        found = f"VARIANT_ID={variant}" if variant else "no VARIANT_ID"
        wrong.append(f"what answers is not a NixOS installer (its os-release has {found})")
    wrong += [words for disk in job.disks if (words := _disk_differs(disk, facts))]
    return _failed("probe", wrong, _ASIDE, job, reading)


def judge_build(job: Job, reading: Reading) -> Failure | None:
    """nix said where what it built is."""
    wrong = [] if reading.store_path else ["nix build ended well and named no store path"]
    return _failed("build", wrong, "", job, reading)


def judge_report_unit(job: Job, built: Built, *, is_there: bool) -> Failure | None:
    """A system that cannot report never becomes ready: refused before anything is erased."""
    if is_there or job.report != "agent":
        return None
    wrong = [f"{built.closure} has no {REPORT_UNIT}: the installed system could not report"]
    hint = 'Import the bootstrapd report module in the host, or set report = "ssh" in its profile'
    return _failed("build", wrong, hint, job)


def judge_layout(job: Job, disko_script: str) -> Failure | None:
    """The layout names every chosen disk, and no disk that was not chosen: no other one is ever erased."""
    named = {_PARTITION.sub("", name) for name in _DISK_NAME.findall(_COMMENT.sub("", disko_script))}
    chosen = {disk.path for disk in job.disks}
    wrong = [f"the layout was built for {name}, which was not chosen" for name in sorted(named - chosen)]
    wrong += [f"the layout does not use the chosen disk {path}" for path in sorted(chosen - named)]
    return _failed("build", wrong, "Its disks come from hosts/<name>/disks.json", job)


def judge_mounted(job: Job, reading: Reading) -> Failure | None:
    """disko mounted a file system of a chosen disk on /mnt: else the install goes into RAM, or elsewhere."""
    return _failed("disko", _not_mounted(reading), "Look at the layout's mount points", job, reading)


def judge_installed(job: Job, reading: Reading, built: Built) -> Failure | None:
    """The profile is what was built, the machine's firmware finds a loader, and the report is planted."""
    facts = reading.facts
    wrong = [*_not_mounted(reading), *_profile_differs(built, facts)]
    wrong += _no_uefi_loader(job, facts) if job.firmware == "uefi" else _no_bios_loader(facts)
    wrong += _not_planted(facts) if job.report == "agent" else _no_host_key(job, facts)
    return _failed("verify", wrong, "The machine was not rebooted: look at it over SSH", job, reading)


def _disk_differs(disk: ChosenDisk, facts: Sequence[tuple[str, ...]]) -> str:
    found = next((fact for fact in facts if fact[:2] == ("disk", disk.path)), ())
    match found[2:]:
        case ("whole", size, serial, *_):
            if size != str(disk.size_bytes):
                return f"{disk.path} has {size} bytes, {disk.size_bytes} when it was chosen"
            if disk.serial and " ".join(serial.split()) != " ".join(disk.serial.split()):
                return f"{disk.path} has serial number {serial!r}, {disk.serial!r} when it was chosen"
            return ""
        case ("partition", *_):
            return f"{disk.path} is a partition, not a disk"
        case _:
            return f"{disk.path} is not there any more"


def _not_mounted(reading: Reading) -> list[str]:
    """Root and store are on the chosen disks and on no other; what nobody knows the disks of is not."""
    newest: dict[str, tuple[str, ...]] = {}
    for fact in reading.facts:
        if fact[0] == "mount" and len(fact) > 1:
            newest.setdefault(fact[1], fact[2:])
    if not any(newest.get("/mnt", ())):
        return ["nothing is mounted on /mnt"]
    return [words for target in _SYSTEM if target in newest and (words := _misplaced(target, newest[target]))]


def _misplaced(target: str, mount: tuple[str, ...]) -> str:
    match mount:
        case (_, kind, *_) if kind in _RAM:
            return f"{target} is a {kind} in RAM"
        case (_, _, "chosen", *_):
            return ""
        case (source, _, "elsewhere", *_):
            return f"{target} is on {source}, which is not on the chosen disks alone"
        case _:
            source = mount[0] if mount else ""
            return f"{target} is on {source or 'nothing'}, and it is not known which disks that is on"


def _profile_differs(built: Built, facts: Sequence[tuple[str, ...]]) -> list[str]:
    match next((fact[1:] for fact in facts if fact[0] == "profile"), ()):
        case (path, "there") if path == built.closure:
            return []
        case (path, *_) if path == built.closure:
            return [f"the system profile leads to {path}, which is not on the disk"]
        case (path, *_) if path:
            return [f"the system profile leads to {path}, not to {built.closure}"]
        case _:
            return ["the disk has no system profile"]


def _no_uefi_loader(job: Job, facts: Sequence[tuple[str, ...]]) -> list[str]:
    partitions = {fact[1]: fact[2] for fact in facts if fact[0] == "esp" and len(fact) > 2}
    labelled = [target for target, label in partitions.items() if label == job.esp_label]
    chosen = {fact[1] for fact in facts if fact[0] == "mount" and fact[4:5] == ("chosen",)}
    ours = [target for target in labelled if target in chosen]
    if not partitions:
        return ["no vfat file system is mounted below /mnt: there is no ESP"]
    if not labelled:
        labels = ", ".join(repr(label) for label in partitions.values())
        return [f"no ESP has the label {job.esp_label!r} of the profile (found {labels})"]
    if not ours:
        return [f"the ESP on {labelled[0]} is not on the chosen disks alone"]
    if not any(fact[0] == "loader" and fact[1] in ours for fact in facts):
        return [f"the ESP on {ours[0]} has no boot loader (EFI/**/*.EFI)"]
    return []


def _no_bios_loader(facts: Sequence[tuple[str, ...]]) -> list[str]:
    has_code = any(fact[0] == "mbr" and fact[2:3] not in ((), ("0",)) for fact in facts)
    return [] if has_code else ["no chosen disk has a boot loader: its first sector holds no code"]


def _not_planted(facts: Sequence[tuple[str, ...]]) -> list[str]:
    found = {fact[1]: fact[2] for fact in facts if fact[0] == "report" and len(fact) > 2}
    wanted = "-rw------- 0"
    return [
        f"/var/lib/bootstrapd-report/{name} is {found.get(name) or 'missing'}, not {wanted}"
        for name in ("server", "token")
        if found.get(name) != wanted
    ]


def _no_host_key(job: Job, facts: Sequence[tuple[str, ...]]) -> list[str]:
    """The key that the machine is pinned to: without it nobody can tell that it is the machine that answers."""
    pinned = " ".join(job.host_key.split()[:2])
    if ("hostkey", pinned) in facts:
        return []
    return ["/etc/ssh of the new system has not kept the SSH host key that the machine registered with"]


def _failed(
    phase: str, wrong: Sequence[str], hint: str, job: Job, reading: Reading | None = None
) -> Failure | None:
    """All that is wrong, as one sentence."""
    if not wrong:
        return None
    sentence = "; ".join(wrong)
    return failure(phase, plain(sentence[:1].upper() + sentence[1:], hint), job, reading)
