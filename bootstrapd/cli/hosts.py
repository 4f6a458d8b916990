"""`bootstrapd hosts`: the declared hosts, as files of the hosts folder; a daemon adds what it has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from bootstrapd.cli.site import Site, json_option, with_site
from bootstrapd.errors import ConfigError

if TYPE_CHECKING:
    from bootstrapd.cli.api_client import ApiClient
    from bootstrapd.model import Host, Mac
    from bootstrapd.model.view import HostView, MachineView


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
@with_site
def add(
    site: Site, macs: tuple[str, ...], name: str, profile: str, uuid: str, serial: str, labels: tuple[str, ...]
) -> None:
    """Declare a host; any one MAC, the UUID or the serial will identify its machine.

    \b
    bootstrapd hosts add 52:54:00:aa:bb:01 --name node-1 --profile minimal
    """
    from bootstrapd.cli import folder, out
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
    out.say(_next_step(site, host))


@hosts.command("list")
@json_option
@with_site
def list_(site: Site, *, as_json: bool) -> None:
    """List the hosts; with a daemon running, also the state of their machines.

    \b
    bootstrapd hosts list --json
    """
    from bootstrapd.cli import out

    known = _views(site)
    if as_json:
        out.as_json(known)
        return
    out.table(
        ("HOST", "PROFILE", "STATE", "MACS", "LAST SEEN"),
        ((h.name, h.profile, h.state or "", " ".join(h.macs), _last_seen(h)) for h in known),
        empty="no host is declared: bootstrapd hosts add MAC --name NAME --profile minimal",
    )


@hosts.command()
@click.argument("name")
@json_option
@with_site
def show(site: Site, name: str, *, as_json: bool) -> None:
    """Show one host.

    \b
    bootstrapd hosts show node-1
    """
    from bootstrapd.cli import out

    host = _find(site, name)
    if as_json:
        out.as_json(host)
        return
    out.facts(
        [
            ("host", host.name),
            ("profile", host.profile),
            ("file", host.source),
            *(("mac", mac) for mac in host.macs),
            ("uuid", host.uuid),
            ("serial", host.serial),
            *((f"label {key}", value) for key, value in host.labels.items()),
            ("machine", host.machine),
            ("state", host.state or ""),
            ("last seen", out.moment(host.last_seen) if host.machine else ""),
            ("why", host.why),
        ]
    )


@hosts.command()
@click.argument("name")
@with_site
def remove(site: Site, name: str) -> None:
    """Remove the host's file. Its machine is left alone from then on, as an unknown one.

    \b
    bootstrapd hosts remove node-1
    """
    from bootstrapd.cli import folder, out

    file = folder.remove(site, name)
    folder.take_up(site)
    out.say(f"{name} is removed ({file}); its machine keeps what is on its disk and gets no more boot answers")


@hosts.command()
@click.argument("name")
@with_site
def why(site: Site, name: str) -> None:
    """Say in one sentence why the host is where it is. Needs the daemon.

    \b
    bootstrapd hosts why node-1
    """
    from bootstrapd.cli import folder, out
    from bootstrapd.cli.api_client import segment
    from bootstrapd.model.view import HostView

    host = site.api.get(f"/v1/hosts/{segment(name)}", HostView)
    if host is None:
        raise folder.unknown(name)
    out.say(f"{name}: {host.why or STANDING[host.state]}")


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

    return [of_host(host, None) for _, host in sorted(folder.read_book(site).hosts.items())]


def _find(site: Site, name: str) -> HostView:
    from bootstrapd.cli import folder

    for host in _views(site):
        if host.name == name:
            return host
    raise folder.unknown(name)


def _last_seen(host: HostView) -> str:
    from bootstrapd.cli import out

    return out.ago(host.last_seen) if host.machine else ""


def _next_step(site: Site, host: Host) -> str:
    from bootstrapd.cli import folder

    daemon = folder.take_up(site)
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
