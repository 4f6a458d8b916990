"""What the end of a process means: exit code, why it ended, and its lines become a Failure, or none.

Exit code 0 proves nothing (a failed boot loader, an install into RAM): a step must also have said what it says
when it really worked, and nothing of `RED_FLAGS`. A row of `CAUSES` is a way to fail, the most telling first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from bootstrapd.policy.install import Failure, Job, holds
from bootstrapd.policy.install_progress import Reading
from bootstrapd.policy.install_steps import Step

SHOWN_MAX: Final = 20
LAST_WORDS: Final = 10
SEARCHED_MAX: Final = 297  # of a line, and three for what says that it was cut

OTHER_KEY: Final = "The machine at this address shows another SSH host key than the one that registered"
KEY_REFUSED: Final = "The machine does not let the deployment key in"

_NEW_LOGIN: Final = "The install goes on once it has booted the live system again and registered"
_KEY_HINT: Final = (
    "The live system has to take the deployment key from its overlay: look at ssh/authorized_keys"
)
_RELOADER: Final = "Look at boot.loader of the host and at the ESP of its layout"


class End(Struct, frozen=True, kw_only=True):
    """How a process ended: its exit code (as shells count: 128 + signal), and why we ended it, if we did."""

    code: int
    by: str = ""  # "" = by itself | "deadline" | "stall" | "loop"
    after_s: float = 0.0


class Cause(Struct, frozen=True):
    """A line that tells why, the sentence made of its groups, what to do, and whether the machine is lost."""

    pattern: re.Pattern[str]
    sentence: str
    hint: str = ""
    is_lost: bool = False


def _cause(pattern: str, sentence: str, hint: str = "", *, is_lost: bool = False) -> Cause:
    return Cause(re.compile(pattern), sentence, hint, is_lost)


CAUSES: Final = (
    _cause(
        r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|No \S+ host key is known for",
        OTHER_KEY,
        f"Somebody else has the address, or the machine rebooted. {_NEW_LOGIN}",
        is_lost=True,
    ),
    _cause(
        r"Permission denied \(|Too many authentication failures",
        KEY_REFUSED,
        _KEY_HINT,
    ),
    _cause(
        r"### Switching system into kexec|Failed to kexec|Kexec (?:may have )?failed",
        "What answers is not a NixOS installer (VARIANT_ID is not installer)",
        "Check the profile's image",
    ),
    _cause(
        r"No space left on device",
        "A disk is full: No space left on device",
        "Give the layout's root more room, or install a smaller system",
    ),
    _cause(
        r"efiSysMountPoint = (\S+) is not a mounted partition",
        "The boot loader was not installed: {0} is not a mounted partition",
        _RELOADER,
    ),
    _cause(r"Died at \S*install-grub\.pl", "The boot loader was not installed: GRUB's script died", _RELOADER),
    _cause(r"[Ff]ailed to install boot ?loader", "The boot loader was not installed", _RELOADER),
    _cause(
        r"(?:Problem opening|cannot open) '?(/dev/\S+?)'?(?: for reading|:)",
        "The disk {0} is not there",
        "Look at the layout and at the host's [disk] selectors",
    ),
    _cause(
        r"^(?:\S{0,80}sh)?:? ?(?:line )?\d{1,9}: (\S+): (?:command )?not found$",
        "The live system has no {0}",
        "Check the profile's image: it has to be a NixOS installer",
    ),
    _cause(r"^aborted: (.+) must be existing store-paths", "What was built is gone from the store: {0}"),
    _cause(r"cannot stat '([^']+)'", "The deployment key {0} cannot be read"),
    _cause(
        r"'(?:config|show)' is not a recogni[sz]ed command",
        "nix is too old: it has no `nix config show`",
        "nixos-anywhere needs nix 2.16 or newer",
    ),
    _cause(
        r"does not provide attribute .{0,60}?nixosConfigurations\.\"?([\w-]+)",
        "The flake has no nixosConfigurations.{0}",
        "Add the host to the flake, or check `flake` in its profile",
    ),
    _cause(
        r"does not contain an? '?/?flake\.nix|could not find a flake\.nix"
        r"|/flake\.nix'(?: does not exist|: No such)",
        "The hosts folder is no flake: it has no flake.nix",
        "`nix flake init` writes one from bootstrapd's template (docs/nixos.md); or set `flake` in the profile",
    ),
    _cause(
        r"^\s*error: unable to download '([^']{1,200})'",
        "The appliance cannot download {0}",
        "A build needs the flake's inputs and packages: give the appliance a way to them, or a cache",
    ),
    _cause(
        r"builder for '/\S+?/[0-9a-z]{32}-(\S+?)\.drv' failed with exit code (\d+)",
        "The build of {0} failed with exit code {1}",
        "The last lines are the builder's own",
    ),
    _cause(
        r"Connection (?:refused|timed out|reset|closed)|No route to host|Network is unreachable|Host is down"
        r"|^Timeout, server \S+ not responding|Operation timed out|cannot connect to|Broken pipe",
        "The machine cannot be reached over SSH any more",
        f"Look at its power, network and console. {_NEW_LOGIN}",
        is_lost=True,
    ),
    _cause(r"^aborted: (.+)", "nixos-anywhere gave up: {0}"),
    _cause(r"^preclean: (.+ is (?:still )?in use by .+)", "A disk cannot be freed: {0}"),
    _cause(r"^preclean: (.+)", "The disks could not be freed: {0}"),
    _cause(r"^\s*error: (?!$)(.+)", "{0}"),
    _cause(r"^Traceback \(most recent call last\)", "A Python script of the boot loader died", _RELOADER),
    _cause(r"^(.*returned non-zero exit status.*)", "{0}"),
)
_ENDED: Final = {
    "deadline": "took longer than its {after}",
    "stall": "has said nothing for {after}",
    "loop": "tries to log in again and again",
}
_SIGNALS: Final = {130: "INT", 137: "KILL", 143: "TERM"}
_LOADER_STEP: Final = "installing the boot loader..."


def verdict(step: Step, job: Job, reading: Reading, end: End) -> Failure | None:
    """None: the process did what it was for, as far as its own words prove it."""
    if end.by:
        return _stopped(step, job, reading, end)
    if end.code == 0 and not reading.flags and not reading.unsaid:
        return None
    lines = reading.flags if end.code == 0 else reading.lines
    cause = find_cause(lines, has_machine=step.tool != "nix") or _unknown(step, reading, end)
    return failure(step.phase, cause, job, reading)


def failure(phase: str, cause: Cause, job: Job, reading: Reading | None = None) -> Failure:
    """The cause as a Failure of this job, with the last lines that a person can use, none of them a secret."""
    lines = tuple(reading.lines)[-SHOWN_MAX:] if reading else ()
    return Failure(
        stage=phase,
        cause=_hidden(cause.sentence, job),
        hint=cause.hint,
        lines=tuple(_hidden(line, job) for line in lines),
        disk=holds(phase),
        is_lost=cause.is_lost,
    )


def plain(sentence: str, hint: str = "", *, is_lost: bool = False) -> Cause:
    """A cause that no line told."""
    return Cause(re.compile(""), sentence, hint, is_lost)


def find_cause(
    lines: Iterable[str], *, has_machine: bool = True, causes: Sequence[Cause] = CAUSES
) -> Cause | None:
    """The first row that one of the lines fits, its sentence filled in; the last such line counts.

    A lost connection is a cause only where a machine takes part, and at the end: ssh's retries say the same.
    """
    latest_first = [shortened(line) for line in lines][::-1]
    for cause in causes:
        if cause.is_lost and not has_machine:
            continue
        for line in latest_first[:LAST_WORDS] if cause.is_lost else latest_first:
            if found := cause.pattern.search(line):
                return Cause(cause.pattern, _sentence(cause.sentence, found), cause.hint, cause.is_lost)
    return None


def shortened(line: str) -> str:
    """As much of a line as a cause is looked for in: what a machine says must not keep us from the others."""
    return (
        line if len(line) <= SEARCHED_MAX else f"{line[: SEARCHED_MAX * 2 // 3]} … {line[-SEARCHED_MAX // 3 :]}"
    )


def _sentence(template: str, found: re.Match[str]) -> str:
    text = template.format(*(group or "" for group in found.groups())).strip()
    return text[:1].upper() + text[1:300] if template == "{0}" else text[:300]


def _stopped(step: Step, job: Job, reading: Reading, end: End) -> Failure:
    told = find_cause(reading.lines, has_machine=step.tool != "nix")
    if end.by == "loop" and told:
        return failure(step.phase, told, job, reading)
    what = f"{step.name} {_ENDED[end.by].format(after=_duration(end.after_s))}, and was stopped"
    last = f" after: {reading.lines[-1][:120]}" if reading.lines else ""
    hint = told.sentence if told and told.is_lost else "Look at the machine's console and network"
    return failure(step.phase, plain(f"{what}{last}", hint, is_lost=bool(told and told.is_lost)), job, reading)


def _unknown(step: Step, reading: Reading, end: End) -> Cause:
    if end.code in _SIGNALS:
        return plain(f"{step.name} was killed by SIG{_SIGNALS[end.code]}")
    if end.code == 0:
        return plain(f"{step.name} ended without having said {reading.unsaid[0]!r}")
    if step.phase == "install" and _LOADER_STEP in reading.lines:
        return plain("nixos-install failed while it installed the boot loader", _RELOADER)
    if step.tool == "ssh" and end.code == 255:
        return plain(
            "The machine cannot be reached over SSH", f"Look at its console. {_NEW_LOGIN}", is_lost=True
        )
    where = f" in the step {reading.step!r}" if reading.step else ""
    return plain(f"{step.name} ended with exit code {end.code}{where}")


def _hidden(text: str, job: Job) -> str:
    return text.replace(job.report_token, "…") if job.report_token else text


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:g} seconds"
