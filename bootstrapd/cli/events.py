"""`bootstrapd events`: what happened, out of the journal, and what happens, as the daemon tells it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import click

from bootstrapd.cli.site import Site, json_option, with_server, with_site
from bootstrapd.errors import ConfigError

if TYPE_CHECKING:
    from bootstrapd.cli.api_client import ApiClient
    from bootstrapd.model.view import EventView

AGAIN_S: Final = 1.0
_UNITS: Final = {"s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "day": 86_400, "days": 86_400}
# The fields that tell a person something, in the order they are told in; an event has a few of them.
_TOLD: Final = (
    "stage",
    "door",
    "program",
    "template",
    "image",
    "phase",
    "address",
    "mac",
    "by",
    "disks",
    "closure",
    "expected",
    "found",
    "other",
    "code",
    "cause",
    "reason",
    "reasons",
    "hint",
)


@click.command()
@click.option("--follow", "-f", is_flag=True, help="Go on with what happens, until stopped.")
@click.option("--host", default="", metavar="NAME", help="Only of this host.")
@click.option("--since", default="1h", metavar="AGO", help="How far back: 90s, 15min, 2h, 3d; default 1h.")
@json_option
@with_server
@with_site
def events(site: Site, host: str, since: str, *, follow: bool, as_json: bool) -> None:
    """Show what happened to the machines; `--json` prints one event a line.

    \b
    bootstrapd events --since 1d --host node-1
    bootstrapd events --follow
    """
    api = site.api
    begin = time.time() - _seconds(since)
    if host:
        _refuse_unknown(api, host)
    told = _following(api, host, begin) if follow else _past(api, host, begin)
    is_any = False
    for view in told:
        is_any = True
        _print(view, as_json=as_json)
    if not is_any:
        from bootstrapd.cli import out

        out.note(f"nothing happened in the last {since}{f' to {host}' if host else ''}")


def _seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]{1,9}) ?([a-z]+)", text.strip())
    if found is None or found[2] not in _UNITS:
        raise ConfigError(f"--since {text!r}: expected a time such as 90s, 15min, 2h or 3d")
    return float(int(found[1]) * _UNITS[found[2]])


def _refuse_unknown(api: ApiClient, host: str) -> None:
    from bootstrapd.cli import folder
    from bootstrapd.cli.api_client import segment
    from bootstrapd.model.view import HostView

    if api.get(f"/v1/hosts/{segment(host)}", HostView) is None:
        raise folder.unknown(host)


def _past(api: ApiClient, host: str, begin: float, *, follow: bool = False) -> Iterator[EventView]:
    from bootstrapd.model.view import EventView

    query = {"since": f"{begin:.3f}", "host": host, "follow": str(int(follow))}
    for view in api.stream("/v1/events", EventView, query):
        if view is not None:
            yield view


def _following(api: ApiClient, host: str, begin: float) -> Iterator[EventView]:
    """Without end: after a restart of the daemon it goes on where it was, and nothing comes twice."""
    from bootstrapd.cli import out
    from bootstrapd.errors import EdgeError

    told: set[str] = set()  # the ids at the newest moment that was told
    is_first, is_noted = True, False
    while True:
        try:
            for view in _past(api, host, begin, follow=True):
                is_first, is_noted = False, False
                if view.event.id not in told:
                    told = {view.event.id} if view.event.at > begin else told | {view.event.id}
                    begin = max(begin, view.event.at)
                    yield view
        except EdgeError as error:
            if is_first:
                raise
            if not is_noted:
                out.note(f"{error}; waiting for it")
                is_noted = True
        is_first = False
        time.sleep(AGAIN_S)


def _print(view: EventView, *, as_json: bool) -> None:
    if as_json:
        from bootstrapd.model import encode

        click.echo(encode(view).decode())
        return
    from bootstrapd.cli import out

    event = view.event
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event.at))
    words = [f"{at}  {view.host or event.machine or '-':<12}  {type(event).__name__:<12}"]
    if view.after is not None and view.after is not view.before:
        words.append(f"{view.before or 'new'} -> {view.after}")
    out.say("  ".join([*words, *filter(None, _told(view))]).rstrip())


def _told(view: EventView) -> Iterator[str]:
    from bootstrapd.cli.host_words import disk, share
    from bootstrapd.model import Progressed
    from bootstrapd.model.view import ProgressView

    event = view.event
    for name in _TOLD:
        value = getattr(event, name, None)
        if name == "disks" and value:
            yield "; ".join(map(disk, value))
        elif value:
            yield "; ".join(value) if isinstance(value, tuple) else str(value)
    if isinstance(event, Progressed):
        yield share(ProgressView(done=event.done, total=event.total, unit=event.unit))
        yield event.line
