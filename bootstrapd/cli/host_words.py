"""A host in words: where it stands, what comes next, what an install erases, how its boots and its run went."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bootstrapd.model import ChosenDisk
    from bootstrapd.model.view import ArmView, FailedView, HostView, ProgressView

# What a state means where the daemon has nothing to add.
STANDING: Final[dict[str | None, str]] = {
    None: "nothing that it claims has asked to boot: power it on, with the network first in its boot order",
    "seen": "its machine asked to boot and is not enrolled yet",
    "enrolled": "its machine asked to boot, and was answered",
    "netbooting": "its machine is loading what it was sent",
    "live": "its machine runs the live system, which has registered",
    "rejected": "its machine registered, and is not what its host.toml and its profile ask for",
    "claimed": "its machine is going to be installed, and waits for its turn",
    "installing": "its machine is being installed",
    "rebooting": "its machine is installed, and its first boot is awaited",
    "drifted": "its machine runs from its own disk, but another system than the one that was installed",
    "failed": "its install failed",
    "ready": "its machine runs from its own disk",
}
NOBODYS: Final = (
    "nothing identifies its machine: `bootstrapd machines adopt MAC --host {host.name}` says which it is, "
    "or write its MAC into [match] of {host.source}"
)
# What a person can do, where `why` itself does not say it.
_NEXT: Final[dict[str | None, str]] = {
    "rejected": "change the machine, or what its files ask for; it is judged again when it next registers",
    "claimed": "nothing to do; `bootstrapd hosts abort {name}` stops it",
    "installing": "nothing to do; `bootstrapd hosts abort {name}` stops it",
    "rebooting": "nothing to do, if its own disk is what its firmware boots when the network lets it go",
    "drifted": "reinstall it (`bootstrapd hosts arm {name}`, then reboot it), or leave it as it is",
}


def why(host: HostView) -> Iterator[str]:
    """One sentence, what to do next, and after a failure the last lines that were printed."""
    if host.state == "rejected" and len(host.rejected) > 1:
        yield f"{host.name}: its machine is not what its files ask for, for {len(host.rejected)} reasons:"
        yield from (f"  - {reason}" for reason in host.rejected)
    else:
        yield f"{host.name}: {host.why or standing(host)}"
    if host.failure is not None and host.state == "failed":
        yield from _after_failure(host, host.failure)
    elif host.state == "installing" and host.progress is not None:
        yield f"now: {progress(host)}"
    if host.state in _NEXT:
        yield f"next: {_NEXT[host.state].format(name=host.name)}"


def standing(host: HostView) -> str:
    """What its state means, where the daemon has nothing to add."""
    is_nobodys = host.state is None and not (host.macs or host.uuid or host.serial)
    return NOBODYS.format(host=host) if is_nobodys else STANDING[host.state]


def _after_failure(host: HostView, failure: FailedView) -> Iterator[str]:
    if failure.hint:
        yield f"next: {failure.hint}"
    if failure.retry_at:
        wait = max(0.0, failure.retry_at - time.time())
        yield f"next: it is tried again by itself in {span(wait)}; `bootstrapd hosts retry {host.name}`: now"
    elif host.arm is not None:
        yield f"next: `bootstrapd hosts retry {host.name}` tries again; nothing happens by itself"
    else:
        yield f"next: `bootstrapd hosts arm {host.name}` consents to another install; nothing happens by itself"
    if failure.lines:
        yield f"the last lines of {failure.stage}:"
        yield from (f"  {line}" for line in failure.lines)


def facts(host: HostView) -> Iterator[tuple[str, str]]:
    """Name and value of everything but the boots; those without a value are left out by `out.facts`."""
    from bootstrapd.cli import out

    yield "host", host.name
    yield "profile", host.profile
    yield "system", host.system
    yield "file", host.source
    yield from (("mac", mac) for mac in host.macs)
    yield "uuid", host.uuid
    yield "serial", host.serial
    yield from ((f"label {key}", value) for key, value in host.labels.items())
    yield "machine", host.machine
    yield "address", host.address
    yield "host key", host.fingerprint
    yield "state", f"{host.state or ''}{f' for {span(time.time() - host.since)}' if host.since else ''}"
    yield "phase", progress(host) if host.phase else ""
    yield "why", host.why
    yield from (("rejected", reason) for reason in host.rejected)
    yield "armed", armed(host.arm)
    yield from (("disk", disk(chosen)) for chosen in host.disks)
    if host.failure is not None:
        yield "failed", f"{out.moment(host.failure.at)} at {host.failure.stage}: {host.failure.cause}"
        yield "hint", host.failure.hint
        yield "next try", out.ahead(host.failure.retry_at) if host.failure.retry_at else ""
    yield "system", host.closure
    yield "found", host.found
    yield "last seen", out.moment(host.last_seen) if host.machine else ""


def armed(arm: ArmView | None) -> str:
    """Who consented, when, and what became of it."""
    if arm is None:
        return ""
    from bootstrapd.cli import out

    spent = f"disks erased {arm.attempts} time{'s' if arm.attempts > 1 else ''} under it"
    return f"by {arm.by}, {out.moment(arm.at)}; {spent if arm.attempts else 'nothing is erased yet'}"


def disk(chosen: ChosenDisk) -> str:
    """`main: /dev/disk/by-id/…, 1.0 TB nvme, Samsung SSD 980, serial S64…, holds ext4`."""
    from bootstrapd.cli import out

    words = (
        chosen.path,
        f"{out.size(chosen.size_bytes)} {chosen.type}".strip(),
        chosen.model,
        f"serial {chosen.serial}" if chosen.serial else "",
        f"holds {' '.join(chosen.filesystems)}" if chosen.filesystems else "",
    )
    return f"{chosen.role}: {', '.join(filter(None, words))}"


def progress(host: HostView) -> str:
    """`install, 40 % (412 of 1030 paths), 3 min: copying path …`."""
    words = [host.phase]
    if host.progress is not None and (done := share(host.progress)):
        words.append(done)
    if host.phase_started:
        words.append(span(time.time() - host.phase_started))
    line = host.progress.line if host.progress is not None else ""
    return ", ".join(words) + (f": {line}" if line else "")


def share(now: ProgressView) -> str:
    """`40 % (412 of 1030 paths)`; "" where nothing is counted."""
    from bootstrapd.cli import out

    def amount(count: int) -> str:
        return out.size(count) if now.unit == "bytes" else str(count)

    if not now.total:
        return f"{amount(now.done)} {now.unit}".strip() if now.done else ""
    counted = f"{amount(now.done)} of {amount(now.total)}{'' if now.unit == 'bytes' else f' {now.unit}'}"
    return f"{percent(now)} % ({counted.strip()})"


def percent(now: ProgressView) -> int:
    """How much is done; 0 where the total is not known."""
    return min(100, 100 * now.done // now.total) if now.total else 0


def erased(host: HostView) -> Iterator[tuple[str, str]]:
    """What an install erases: a role and its disk in words, then its path, and so on."""
    from bootstrapd.cli import out

    for found in host.disks:
        words = (
            found.model or found.type,
            f"serial {found.serial or 'unknown'}",
            out.size(found.size_bytes),
            f"holds {' '.join(found.filesystems)}" if found.filesystems else "holds nothing that is known",
        )
        yield found.role, ", ".join(filter(None, words))
        yield "", found.path


def boots(host: HostView) -> list[tuple[str, str, str, str, str, str]]:
    """The rows of the latest boots: number, time, seconds in the boot, seconds in the run, stage, detail."""
    return [
        (
            str(number),
            time.strftime("%H:%M:%S", time.localtime(stage.at)),
            f"+{stage.at - boot.started:.1f} s",
            f"+{stage.at - host.run_started:.1f} s"
            if host.run_started and stage.at >= host.run_started
            else "",
            stage.name,
            stage.detail,
        )
        for number, boot in enumerate(host.boots, 1)
        for stage in boot.stages
    ]


def span(seconds: float) -> str:
    """`12 s`, `3 min`, `2 h 05 min`, `14 h`, `4 days`."""
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min"
    if whole < 36_000:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    if whole < 172_800:
        return f"{whole // 3600} h"
    return f"{whole // 86400} days"
