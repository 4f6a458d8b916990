"""`bootstrapd status`: the running appliance in a few lines, and what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

import click

from bootstrapd.cli.site import Site, json_option, with_server, with_site

if TYPE_CHECKING:
    from bootstrapd.model.view import ImageView, ListenerView, NatsView, StatusView

THEN: Final = (
    "machines are answered with what was right before; what is corrected in the hosts folder is taken up at "
    "once, the log (journalctl -u bootstrapd) says when the rest first went wrong"
)


@click.command()
@json_option
@with_server
@with_site
def status(site: Site, *, as_json: bool) -> None:
    """Say whether the daemon runs, which links it serves, what it knows, and what is wrong.

    Ends with 0 when it runs, problems or not, and with 3 when not.

    \b
    bootstrapd status
    """
    from bootstrapd.cli import out
    from bootstrapd.model import State, plain
    from bootstrapd.model.view import ImageView, MachineView, StatusView

    api = site.api
    found = api.get("/v1/status", StatusView)
    assert found is not None
    seen = Counter(machine.state for machine in api.get("/v1/machines", list[MachineView]) or ())
    states = {str(state): seen[state] for state in State if seen[state]}
    if as_json:
        out.as_json({**plain(found), "states": states})
        return
    out.facts(_facts(found, states, api.get("/v1/images", list[ImageView]) or []))
    if found.problems:
        out.note(THEN)


def _facts(
    found: StatusView, states: Mapping[str, int], images: Iterable[ImageView]
) -> Iterator[tuple[str, str]]:
    from bootstrapd.cli import out

    yield "running", f"since {out.moment(found.started)}"
    yield "version", found.version
    yield "process", str(found.pid)
    yield from (("link", doors) for doors in _links(found.listeners))
    yield "hosts", str(found.hosts)
    yield "profiles", str(found.profiles)
    yield "images", _counted(found.images, (image.name for image in images))
    yield "machines", _counted(sum(states.values()), (f"{count} {state}" for state, count in states.items()))
    if found.nats is not None:
        yield "nats", _nats(found.nats)
    yield from (("problem", problem) for problem in found.problems or ("none",))


def _nats(nats: NatsView) -> str:
    """`nats://127.0.0.1:4222, every event is published`."""
    waits = f"{nats.lag} events wait" if nats.lag else "every event is published"
    where = nats.where or "not started yet"
    return f"{where}, {waits}" + ("" if nats.is_connected else f"; not connected: {nats.problem or 'trying'}")


def _links(listeners: Iterable[ListenerView]) -> Iterator[str]:
    """`enp3s0 10.77.0.2: dhcp 67, pxe 4011, tftp 69, http 80`, a link a line."""
    links: dict[tuple[str, str], list[str]] = {}
    for open_ in listeners:
        links.setdefault((open_.interface, open_.address), []).append(f"{open_.door} {open_.port}")
    for (interface, address), doors in links.items():
        yield f"{interface} {address}: {', '.join(doors)}"


def _counted(count: int, names: Iterable[str]) -> str:
    return ": ".join(filter(None, (str(count), ", ".join(names))))
