"""`bootstrapd watch`: all machines as they are now, and how far each install is; in a pipe, a line a change."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

import click

from bootstrapd.cli.site import Site, json_option, with_server, with_site

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bootstrapd.cli.api_client import ApiClient
    from bootstrapd.model.view import HostView

EVERY_S: Final = 1.0
BAR: Final = 14  # cells
# What a person looks for first stands on top: where a terminal is too small, the rest is cut.
_ORDER: Final = (
    "failed",
    "rejected",
    "drifted",
    "installing",
    "claimed",
    "rebooting",
    "live",
    "netbooting",
    "enrolled",
    "seen",
    "ready",
    None,
)
_COLOURS: Final[dict[str | None, str]] = {
    "failed": "bold red",
    "rejected": "red",
    "drifted": "yellow",
    "installing": "cyan",
    "ready": "green",
}


@click.command()
@json_option
@with_server
@with_site
def watch(site: Site, *, as_json: bool) -> None:
    """Show all hosts live: state, phase, progress. In a pipe each change is a line. Stop it with Ctrl-C.

    \b
    bootstrapd watch
    """
    api = site.api
    first = _hosts(api)
    if as_json or not sys.stdout.isatty():
        _lines(api, first, as_json=as_json)
    else:
        _live(api, first)


def _hosts(api: ApiClient) -> list[HostView]:
    """The declared hosts, and the machines that no host claims as if they were some."""
    from bootstrapd.model.view import HostView, MachineView

    hosts = api.get("/v1/hosts", list[HostView]) or []
    strangers = [
        HostView(name=m.id, profile="", macs=m.macs, machine=m.id, state=m.state, since=m.since, why=m.why)
        for m in api.get("/v1/machines", list[MachineView]) or []
        if not m.host
    ]
    return hosts + strangers


def _polled(api: ApiClient, first: list[HostView], missing: Callable[[str], None]) -> Iterator[list[HostView]]:
    """What there is, once every EVERY_S, without end; while the daemon is away `missing` is told."""
    from bootstrapd.errors import EdgeError

    yield first
    while True:
        time.sleep(EVERY_S)
        try:
            hosts = _hosts(api)
        except EdgeError as error:
            missing(str(error))
            continue
        yield hosts


def _lines(api: ApiClient, first: list[HostView], *, as_json: bool) -> None:
    from bootstrapd.cli import out
    from bootstrapd.model import encode

    known: dict[str, object] = {}
    away: set[str] = set()

    def missing(why: str) -> None:
        if why not in away:
            away.add(why)
            out.note(why)

    for hosts in _polled(api, first, missing):
        away.clear()
        for host in hosts:
            if known.get(host.name) == (now := _standing(host)):
                continue
            known[host.name] = now
            click.echo(encode(host).decode()) if as_json else out.say(_line(host))


def _standing(host: HostView) -> object:
    """What makes a new line: another state, phase, failure, or tenth of the progress."""
    from bootstrapd.cli.host_words import percent

    tenth = percent(host.progress) // 10 if host.progress is not None else 0
    return host.state, host.phase, tenth, host.failure and host.failure.at, bool(host.arm)


def _line(host: HostView) -> str:
    at = time.strftime("%H:%M:%S")
    return f"{at}  {host.name:<16}  {host.state or 'not seen':<10}  {_doing(host)}".rstrip()


def _doing(host: HostView) -> str:
    """What it does, or what is wrong."""
    from bootstrapd.cli import host_words

    if host.phase:
        return host_words.progress(host)
    if host.failure is not None and host.state == "failed":
        wait = host.failure.retry_at - time.time()
        again = f" (again in {host_words.span(wait)})" if host.failure.retry_at else ""
        return f"{host.failure.stage}: {host.failure.cause}{again}"
    if host.state in ("rejected", "drifted", "live", "seen"):
        return host.why
    return "armed: its next netboot erases and installs" if host.arm and host.state != "ready" else ""


def _live(api: ApiClient, first: list[HostView]) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console()
    with Live(console=console, auto_refresh=False, screen=False) as live:
        last = [first]

        def missing(why: str) -> None:
            live.update(_screen(last[0], console.height, why), refresh=True)

        for hosts in _polled(api, first, missing):
            last[0] = hosts
            live.update(_screen(hosts, console.height, ""), refresh=True)


def _screen(hosts: list[HostView], height: int, problem: str) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from bootstrapd.cli import host_words, out

    grid = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    grid.add_column("HOST", no_wrap=True, max_width=24)
    grid.add_column("STATE", no_wrap=True)
    grid.add_column("FOR", no_wrap=True, justify="right")
    grid.add_column("", no_wrap=True, ratio=1)
    shown = sorted(hosts, key=lambda host: (_ORDER.index(host.state), host.name))
    room = max(1, height - 4)
    for host in shown[:room]:
        state = Text(host.state or "not seen", style=_COLOURS.get(host.state, ""))
        since = host_words.span(time.time() - host.since) if host.since else ""
        doing = Text(out.clean(_bar(host) or _doing(host)), overflow="ellipsis", no_wrap=True)
        grid.add_row(out.clean(host.name), state, since, doing)
    rest = len(shown) - room
    foot = [Text(f"and {rest} more")] if rest > 0 else []
    return Group(Text(problem or _summary(hosts), style="red" if problem else "bold"), grid, *foot)


def _summary(hosts: list[HostView]) -> str:
    counts: Mapping[str | None, int] = Counter(host.state for host in hosts)
    words = (f"{counts[state]} {state or 'not seen'}" for state in _ORDER if counts[state])
    return f"{time.strftime('%H:%M:%S')}  {len(hosts)} machines: {', '.join(words) or 'none is declared yet'}"


def _bar(host: HostView) -> str:
    """`━━━━━━────────  40 % install: copying path …` where a total is known."""
    from bootstrapd.cli.host_words import percent

    if not host.phase or host.progress is None or not host.progress.total:
        return ""
    done = percent(host.progress)
    full = BAR * done // 100
    return f"{'━' * full}{'─' * (BAR - full)} {done:3} % {host.phase}: {host.progress.line}"
