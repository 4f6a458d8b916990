"""What the operator is shown of machines, hosts and images: the same with a daemon and without."""

from __future__ import annotations

from bootstrapd.model import ARCHES, Host, HostBook, Image
from bootstrapd.model.view import HostView, ImageView, MachineView, NoticeView
from bootstrapd.policy.boot import Setup
from bootstrapd.policy.machine import Machine


def why(machine: Machine) -> str:
    """One sentence: what went wrong last, else the reason of the last answer."""
    return machine.why or machine.reason


def of_machine(machine: Machine, setup: Setup) -> MachineView:
    """Everything about one machine but its tokens."""
    host = setup.book.hosts.get(machine.host)
    arch = ARCHES.get(machine.arch)
    return MachineView(
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


def of_host(host: Host, machine: Machine | None) -> HostView:
    """A declared host, and the machine behind it where one has shown up."""
    return HostView(
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
        why=why(machine) if machine else "",
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
