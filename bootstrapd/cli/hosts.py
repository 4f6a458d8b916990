"""`bootstrapd hosts`: the declared hosts, as files of the hosts folder; a daemon adds what it has seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from bootstrapd.cli.host_acts import abort, arm, disarm, retry
from bootstrapd.cli.host_add import add
from bootstrapd.cli.site import Site, json_option, with_server, with_site

if TYPE_CHECKING:
    from pathlib import Path

    from bootstrapd.model.view import HostView
    from bootstrapd.policy.arm import Arm


@click.group()
def hosts() -> None:
    """Declare hosts and see what became of them.

    A host is a file NAME/host.toml in the hosts folder.

    \b
    bootstrapd hosts list
    """


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

    known = views(site)
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


for act in (add, arm, disarm, abort, retry):
    hosts.add_command(act)


def views(site: Site) -> list[HostView]:
    """Every declared host, by name: the daemon's, or from the files and the arms that wait."""
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

    for host in views(site):
        if host.name == name:
            return host
    raise folder.unknown(name)


def _last_seen(host: HostView) -> str:
    from bootstrapd.cli import out

    return out.ago(host.last_seen) if host.machine else ""
