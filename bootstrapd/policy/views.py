"""What the operator is shown of machines, hosts and images: the same with a daemon and without."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from typing import TypedDict

from bootstrapd.model import (
    ARCHES,
    ChosenDisk,
    Failed,
    Host,
    HostBook,
    Image,
    Profile,
    Progressed,
    State,
)
from bootstrapd.model.view import (
    ArmView,
    BootView,
    FailedView,
    HostView,
    ImageView,
    MachineView,
    NoticeView,
    ProgressView,
)
from bootstrapd.policy import darwin
from bootstrapd.policy.arm import Arm
from bootstrapd.policy.boot import Setup
from bootstrapd.policy.lifecycle import DEADLINES_S
from bootstrapd.policy.machine import Machine


def why(machine: Machine) -> str:
    """One sentence: what went wrong last, else the reason of the last answer."""
    return machine.why or machine.reason


class Life(TypedDict):
    """The fields of `LifeView`, which a machine's view and its host's share."""

    since: float
    until: float
    arm: ArmView | None
    run: str
    run_started: float
    phase: str
    phase_started: float
    progress: ProgressView | None
    failure: FailedView | None
    disks: tuple[ChosenDisk, ...]
    rejected: tuple[str, ...]
    closure: str
    found: str
    fingerprint: str
    boots: tuple[BootView, ...]


def _life(machine: Machine, arm: Arm | None) -> Life:
    deadline = 0.0 if machine.state is State.LIVE else DEADLINES_S.get(machine.state, 0.0)
    boots = [*machine.boots, machine.boot] if machine.boot else machine.boots
    return {
        "since": machine.since,
        "until": machine.since + deadline if deadline else 0.0,
        "arm": _arm(arm),
        "run": machine.run,
        "run_started": machine.run_started,
        "phase": machine.phase,
        "phase_started": machine.phase_started,
        "progress": _progress(machine.progress),
        "failure": _failure(machine.failure),
        "disks": machine.disks,
        "rejected": machine.rejected,
        "closure": machine.closure,
        "found": machine.found,
        "fingerprint": fingerprint(machine.host_key),
        "boots": tuple(BootView(id=boot.id, started=boot.started, stages=tuple(boot.stages)) for boot in boots),
    }


def _arm(arm: Arm | None) -> ArmView | None:
    if arm is None:
        return None
    return ArmView(id=arm.id, at=arm.at, by=arm.by, is_spending=arm.is_spending, attempts=len(arm.erases))


def _progress(event: Progressed | None) -> ProgressView | None:
    if event is None:
        return None
    return ProgressView(done=event.done, total=event.total, unit=event.unit, line=event.line, at=event.at)


def _failure(event: Failed | None) -> FailedView | None:
    if event is None:
        return None
    return FailedView(
        stage=event.stage,
        cause=event.cause,
        hint=event.hint,
        lines=event.lines,
        at=event.at,
        retry_at=event.retry_at,
    )


def fingerprint(host_key: str) -> str:
    """How OpenSSH names this public key, "SHA256:…"; "" where it is none."""
    with contextlib.suppress(IndexError, ValueError):
        digest = hashlib.sha256(base64.b64decode(host_key.split()[1], validate=True)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
    return ""


def of_machine(machine: Machine, setup: Setup, arm: Arm | None = None) -> MachineView:
    """Everything about one machine but its tokens."""
    host = setup.book.hosts.get(machine.host)
    arch = ARCHES.get(machine.arch)
    return MachineView(
        **_life(machine, arm),
        id=machine.id,
        state=machine.state,
        macs=tuple(machine.macs),
        host=host.name if host else "",  # only while it is declared
        profile=host.profile if host else "",
        uuid=machine.uuid,
        serial=machine.serial,
        firmware=arch.label if arch else "",
        address=machine.address,
        first_seen=machine.first_seen,
        last_seen=machine.last_seen,
        boot=machine.boot.id if machine.boot else "",
        stages=tuple(machine.boot.stages) if machine.boot else (),
        why=why(machine),
        hardware=machine.hardware,
        host_key=machine.host_key,
        notices=tuple(NoticeView(code=n.code, reason=n.reason, at=n.at) for n in machine.notices.values()),
    )


def of_host(
    host: Host, machine: Machine | None, profile: Profile | None = None, arm: Arm | None = None
) -> HostView:
    """A declared host, and the machine behind it where one has shown up."""
    life: Life | dict[str, ArmView | None] = _life(machine, arm) if machine else {"arm": _arm(arm)}
    return HostView(
        **life,
        name=host.name,
        profile=host.profile,
        macs=host.macs,
        uuid=host.uuid,
        serial=host.serial,
        labels=host.labels,
        source=host.source,
        machine=machine.id if machine else "",
        state=machine.state if machine else None,
        last_seen=machine.last_seen if machine else 0.0,
        address=machine.address if machine else "",
        system=profile.system if profile else "",
        install=profile.install if profile else "",
        why=darwin.reason(host) if profile and profile.is_darwin else why(machine) if machine else "",
    )


def users(book: HostBook, image: str) -> tuple[str, ...]:
    """The profiles that name this image."""
    return tuple(sorted(p.name for p in book.profiles.values() if image in p.images.values()))


def of_image(image: Image, book: HostBook) -> ImageView:
    """An image that is served, and the profiles that name it."""
    return ImageView(
        name=image.name,
        kind=image.kind,
        arch=image.arch,
        size_bytes=sum(image.sizes.values()),
        kernel=image.kernel,
        initrds=image.initrds,
        cmdline=image.cmdline,
        sha256=image.sha256,
        profiles=users(book, image.name),
        folder=str(image.folder),
    )
