"""`bootstrapd hosts`: the declared hosts, as files of the hosts folder; a daemon adds what it has seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from bootstrapd.cli.host_acts import NO_ARM, abort, arm, disarm, retry
from bootstrapd.cli.site import Site, json_option, with_server, with_site
from bootstrapd.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from bootstrapd.cli.api_client import ApiClient
    from bootstrapd.model import Host, Mac
    from bootstrapd.model.view import HostView, MachineView
    from bootstrapd.policy.arm import Arm


SERIAL: Final = (
    "Its SMBIOS serial. Alone it does not identify a machine at its first DHCP question: the serial is heard "
    "when iPXE asks for its script, or when the live system registers."
)


@click.group()
def hosts() -> None:
    """Declare hosts and see what became of them.

    A host is a file NAME/host.toml in the hosts folder.

    \b
    bootstrapd hosts list
    """


@hosts.command()
@click.argument("macs", nargs=-1, metavar="[MAC]...")
@click.option("--name", required=True, metavar="NAME", help="The host's name: a-z, 0-9 and -.")
@click.option("--profile", required=True, metavar="PROFILE", help="What it shares with other hosts.")
@click.option("--uuid", default="", metavar="UUID", help="Its SMBIOS UUID.")
@click.option("--serial", default="", metavar="SERIAL", help=SERIAL)
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A word of your own; repeatable.")
@click.option("--no-arm", is_flag=True, help=NO_ARM)
@with_site
def add(
    site: Site,
    macs: tuple[str, ...],
    name: str,
    profile: str,
    uuid: str,
    serial: str,
    labels: tuple[str, ...],
    *,
    no_arm: bool,
) -> None:
    """Declare a host; any one MAC, the UUID or the serial will identify its machine.

    Where its profile has a layout this is also the consent to erase the machine's disks, once, at its next
    netboot (not with `install = "approve"`).

    \b
    bootstrapd hosts add 52:54:00:aa:bb:01 --name node-1 --profile minimal
    """
    from bootstrapd.cli import folder, out
    from bootstrapd.cli.host_acts import consent
    from bootstrapd.model import Host

    wanted = Host(
        name=name,
        profile=profile,
        macs=_macs(macs),
        uuid=uuid,
        serial=serial,
        labels=dict(map(_label, labels)),
    )
    host = folder.declare(site, wanted)
    out.say(f"{host.name} is declared in {host.source}")
    daemon = folder.take_up(site)
    out.say(consent(site, daemon, host, no_arm=no_arm))
    if not folder.profile(site, host.profile).is_darwin:
        out.say(_next_step(daemon, host))


@hosts.command("list")
@json_option
@with_server
@with_site
def list_(site: Site, *, as_json: bool) -> None:
    """List the hosts; with a daemon running, also the state of their machines.

    ARMED: somebody has consented that its next install erases its disks.

    \b
    bootstrapd hosts list --json
    """
    from bootstrapd.cli import out

    known = _views(site)
    if as_json:
        out.as_json(known)
        return
    out.table(
        ("HOST", "PROFILE", "STATE", "ARMED", "MACS", "LAST SEEN"),
        (
            (h.name, h.profile, h.state or "", "yes" if h.arm else "", " ".join(h.macs), _last_seen(h))
            for h in known
        ),
        empty="no host is declared: bootstrapd hosts add MAC --name NAME --profile minimal",
    )


@hosts.command()
@click.argument("name")
@json_option
@with_server
@with_site
def show(site: Site, name: str, *, as_json: bool) -> None:
    """Show one host: what it is, how its install goes, and its latest boots in seconds.

    \b
    bootstrapd hosts show node-1
    """
    from bootstrapd.cli import host_words, out

    host = _find(site, name)
    if as_json:
        out.as_json(host)
        return
    out.facts(host_words.facts(host))
    if rows := host_words.boots(host):
        out.say("")
        out.table(("BOOT", "AT", "AFTER", "RUN", "STAGE", "DETAIL"), rows, empty="")


@hosts.command()
@click.argument("name")
@with_site
def remove(site: Site, name: str) -> None:
    """Remove the host's file, and its consent. Its machine is left alone from then on, as an unknown one.

    \b
    bootstrapd hosts remove node-1
    """
    from bootstrapd.cli import folder, out
    from bootstrapd.cli.host_acts import take_back

    take_back(site, name)
    file = folder.remove(site, name)
    folder.take_up(site)
    out.say(f"{name} is removed ({file}); its machine keeps what is on its disk and gets no more boot answers")


@hosts.command()
@click.argument("name")
@json_option
@with_server
@with_site
def why(site: Site, name: str, *, as_json: bool) -> None:
    """Say in one sentence why the host is where it is, and what to do next. Needs the daemon.

    After a failure, also the last lines of its output.

    \b
    bootstrapd hosts why node-1
    """
    from bootstrapd.cli import folder, host_words, out
    from bootstrapd.cli.api_client import segment
    from bootstrapd.model.view import HostView

    host = site.api.get(f"/v1/hosts/{segment(name)}", HostView)
    if host is None:
        raise folder.unknown(name)
    if as_json:
        said = host.why or host_words.standing(host)
        out.as_json({"host": name, "state": host.state, "why": said, "failure": host.failure})
        return
    for line in host_words.why(host):
        out.say(line)


for act in (arm, disarm, abort, retry):
    hosts.add_command(act)


def _macs(texts: tuple[str, ...]) -> tuple[Mac, ...]:
    from bootstrapd.model import Mac

    macs, mistakes = [], []
    for text in texts:
        try:
            macs.append(Mac.parse(text))
        except ConfigError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ConfigError(*mistakes)
    return tuple(dict.fromkeys(macs))


def _label(text: str) -> tuple[str, str]:
    key, is_there, value = text.partition("=")
    if not is_there or not key:
        raise ConfigError(f"--label {text!r}: expected KEY=VALUE such as rack=4")
    return key, value


def _views(site: Site) -> list[HostView]:
    from bootstrapd.model.view import HostView

    daemon = site.running
    if daemon is not None:
        return daemon.get("/v1/hosts", list[HostView]) or []
    from bootstrapd.cli import folder
    from bootstrapd.policy.views import of_host

    waiting = {arm.host: arm for arm in _waiting_arms(site)}
    book = folder.read_book(site)
    return [
        of_host(host, None, book.profiles[host.profile], waiting.get(name))
        for name, host in sorted(book.hosts.items())
    ]


def _waiting_arms(site: Site) -> Iterator[Arm]:
    """What was armed while no daemon ran, as far as this user may see it."""
    from bootstrapd.cli import out
    from bootstrapd.edge import arms
    from bootstrapd.policy.arm import Arm

    def unreadable(file: Path, error: Exception) -> None:
        out.note(f"whether {file.stem} is armed is not known: {error}")

    for armed in arms.waiting(site.config.paths.arms_folder, unreadable):
        yield Arm(id=armed.arm, host=armed.host, at=armed.at, by=armed.by)


def _find(site: Site, name: str) -> HostView:
    from bootstrapd.cli import folder

    for host in _views(site):
        if host.name == name:
            return host
    raise folder.unknown(name)


def _last_seen(host: HostView) -> str:
    from bootstrapd.cli import out

    return out.ago(host.last_seen) if host.machine else ""


def _next_step(daemon: ApiClient | None, host: Host) -> str:
    if not (host.macs or host.uuid or host.serial):
        return f"nothing identifies its machine yet: bootstrapd machines adopt MAC --host {host.name}"
    if daemon is None:
        return "next: start the appliance (bootstrapd serve), then power the machine on, network first"
    if seen := _seen(daemon, host):
        from bootstrapd.cli import out

        return f"its machine was seen {out.ago(seen.last_seen)}: power it on again, network first"
    return "next: power it on, with the network first in its boot order"


def _seen(daemon: ApiClient, host: Host) -> MachineView | None:
    from bootstrapd.model.view import MachineView

    for mac in host.macs:
        if machine := daemon.get(f"/v1/machines/{mac}", MachineView):
            return machine
    return None
