"""`bootstrapd machines`: the hardware that has shown up. Only a running daemon knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from bootstrapd.cli.host_acts import NO_ARM
from bootstrapd.cli.site import Site, json_option, with_server, with_site
from bootstrapd.errors import ConfigError, RefusedError

if TYPE_CHECKING:
    from bootstrapd.cli.api_client import ApiClient
    from bootstrapd.model import Hardware, Mac
    from bootstrapd.model.view import MachineView


@click.group()
def machines() -> None:
    """See and adopt the machines that asked to boot.

    \b
    bootstrapd machines list
    """


@machines.command("list")
@json_option
@with_server
@with_site
def list_(site: Site, *, as_json: bool) -> None:
    """List the machines seen, the latest last.

    \b
    bootstrapd machines list --json
    """
    from bootstrapd.cli import out
    from bootstrapd.model.view import MachineView

    seen = site.api.get("/v1/machines", list[MachineView]) or []
    if as_json:
        out.as_json(seen)
        return
    out.table(
        ("MACHINE", "HOST", "STATE", "FIRMWARE", "ADDRESS", "MACS", "LAST SEEN"),
        ((m.id, m.host, m.state, m.firmware, m.address, " ".join(m.macs), out.ago(m.last_seen)) for m in seen),
        empty="no machine has asked to boot yet: power one on, with the network first in its boot order",
    )


@machines.command()
@click.argument("machine")
@json_option
@with_server
@with_site
def show(site: Site, machine: str, *, as_json: bool) -> None:
    """Show what is known of MACHINE (its id, or one of its MACs).

    \b
    bootstrapd machines show 52:54:00:aa:bb:01
    """
    from bootstrapd.cli import out

    found = _find(site.api, machine)
    if as_json:
        out.as_json(found)
        return
    out.facts(_facts(found))
    if found.stages:
        out.say("")
        started = found.stages[0].at
        rows = [
            (out.moment(stage.at), f"+{stage.at - started:.1f} s", stage.name, stage.detail)
            for stage in found.stages
        ]
        out.table(("LAST BOOT", "AFTER", "STAGE", "DETAIL"), rows, empty="")


@machines.command()
@click.argument("machine")
@click.option("--host", required=True, metavar="NAME", help="The host that this machine is.")
@click.option("--ready", is_flag=True, help="It runs its system already: boot its own disk from now on.")
@click.option("--enrol", is_flag=True, help="Declare the host in the same step; needs --profile.")
@click.option("--profile", metavar="PROFILE", help="With --enrol: the new host's profile.")
@click.option("--no-arm", is_flag=True, help=f"With --enrol: {NO_ARM[0].lower()}{NO_ARM[1:]}")
@with_site
def adopt(
    site: Site, machine: str, host: str, profile: str | None, *, ready: bool, enrol: bool, no_arm: bool
) -> None:
    """Say that MACHINE (its id or a MAC) is a host; a new MAC goes into the host's file.

    With --enrol and without --ready this is, as `hosts add` is, also the consent to erase its disks, once, at
    its next netboot.

    \b
    bootstrapd machines adopt 52:54:00:aa:bb:01 --host node-1 --ready
    bootstrapd machines adopt 525400aabb02 --host node-2 --enrol --profile minimal
    """
    from bootstrapd.cli import folder, out
    from bootstrapd.cli.api_client import segment
    from bootstrapd.cli.host_acts import consent
    from bootstrapd.model import Host, State
    from bootstrapd.model.view import Adoption, MachineView

    if enrol != (profile is not None):
        raise ConfigError("--enrol and --profile PROFILE go together: both to declare a new host, else neither")
    if no_arm and not enrol:
        raise ConfigError("--no-arm goes with --enrol: nothing else here consents to an install")
    api = site.api
    declared = None
    if profile is not None:
        declared = folder.declare(site, Host(name=host, profile=profile, macs=_macs(api, machine)))
        folder.take_up(site)
    route = f"/v1/machines/{segment(machine)}/adopt"
    adopted = api.post(route, MachineView, Adoption(host=host, ready=ready))
    if adopted is None:
        raise _gone(machine)
    then = "boots its own disk" if adopted.state is State.READY else "boots its profile's image"
    out.say(f"{adopted.id} is {host} now; at its next power-on it {then}")
    if declared is not None and not ready:
        out.say(consent(site, api, declared, no_arm=no_arm))


@machines.command()
@click.argument("machine")
@click.option("--force", is_flag=True, help="Also one that is ready: it will netboot again.")
@with_server
@with_site
def forget(site: Site, machine: str, force: bool) -> None:
    """Remove the record of MACHINE. A host's file stays as it is.

    \b
    bootstrapd machines forget 52:54:00:aa:bb:01
    """
    from bootstrapd.cli import out
    from bootstrapd.cli.api_client import segment
    from bootstrapd.model.view import MachineView

    force_word = "?force=1" if force else ""
    gone = site.api.delete(f"/v1/machines/{segment(machine)}{force_word}", MachineView)
    if gone is None:
        raise _gone(machine)
    tail = f"; {gone.host} is still declared: at its next power-on it is new, and netboots" if gone.host else ""
    out.say(f"{gone.id} is forgotten{tail}")


def _find(api: ApiClient, machine: str) -> MachineView:
    from bootstrapd.cli.api_client import segment
    from bootstrapd.model.view import MachineView

    found = api.get(f"/v1/machines/{segment(machine)}", MachineView)
    if found is None:
        raise _gone(machine)
    return found


def _macs(api: ApiClient, machine: str) -> tuple[Mac, ...]:
    """The MAC that was typed; for an id, those of the machine."""
    from bootstrapd.cli.api_client import segment
    from bootstrapd.model import Mac
    from bootstrapd.model.view import MachineView

    found = api.get(f"/v1/machines/{segment(machine)}", MachineView)
    if found is None or (found.id != machine and found.host):
        return (Mac.parse(machine),)
    return found.macs


def _gone(machine: str) -> RefusedError:
    return RefusedError(
        f"no machine {machine!r} has been seen; 'bootstrapd machines list' shows those that were"
    )


def _facts(machine: MachineView) -> Iterator[tuple[str, str]]:
    from bootstrapd.cli import out

    yield "machine", machine.id
    yield "host", f"{machine.host} (profile {machine.profile})" if machine.host else "none: not enrolled"
    yield "state", machine.state
    yield "why", machine.why
    yield from (("mac", mac) for mac in machine.macs)
    yield "uuid", machine.uuid
    yield "serial", machine.serial
    yield "firmware", machine.firmware
    yield "address", machine.address
    yield "host key", machine.host_key
    yield "first seen", out.moment(machine.first_seen)
    yield "last seen", out.moment(machine.last_seen)
    yield from (
        (f"notice {notice.code}", f"{notice.reason} ({out.ago(notice.at)})") for notice in machine.notices
    )
    if machine.hardware:
        yield from _hardware(machine.hardware)


def _hardware(hardware: Hardware) -> Iterator[tuple[str, str]]:
    from bootstrapd.cli import out

    yield "product", f"{hardware.vendor} {hardware.product}".strip()
    yield "cpu", f"{hardware.cpu_model}, {hardware.cpu_threads} threads" if hardware.cpu_threads else ""
    yield "memory", out.size(hardware.memory_bytes) if hardware.memory_bytes else ""
    for nic in hardware.nics:
        speed = f"{nic.speed_mbps} Mb/s" if nic.speed_mbps else ""
        link = "link" if nic.has_link else "no link"
        yield "nic", ", ".join(filter(None, (nic.name, nic.mac, nic.driver, speed, link)))
    for disk in hardware.disks:
        serial = f"serial {disk.serial}" if disk.serial else ""
        holds = f"holds {' '.join(disk.filesystems)}" if disk.filesystems else ""
        size = out.size(disk.size_bytes)
        yield "disk", ", ".join(filter(None, (disk.name, disk.type, size, disk.model, serial, holds)))
    for gpu in hardware.gpus:
        yield "gpu", ", ".join(filter(None, (gpu.pci_id, gpu.address)))
