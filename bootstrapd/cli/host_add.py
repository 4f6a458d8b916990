"""`bootstrapd hosts add`: one host, or a range of them from a pattern and a list of MACs on stdin."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from bootstrapd.cli.host_acts import NO_ARM
from bootstrapd.cli.site import Site, json_option, with_site
from bootstrapd.errors import ConfigError

if TYPE_CHECKING:
    from bootstrapd.cli.api_client import ApiClient
    from bootstrapd.model import Host, Mac
    from bootstrapd.model.view import HostView, MachineView

MOST: Final = 9999
STDIN_MAX: Final = 4 << 20  # characters: 10,000 hosts with twenty MACs each
NAME: Final = "The host's name: a-z, 0-9 and -. With --count a pattern such as 'cim-worker-{:02}'."
SERIAL: Final = (
    "Its SMBIOS serial. Alone it does not identify a machine at its first DHCP question: the serial is heard "
    "when iPXE asks for its script, or when the live system registers."
)


@click.command()
@click.argument("macs", nargs=-1, metavar="[MAC]...")
@click.option("--name", required=True, metavar="NAME", help=NAME)
@click.option("--profile", required=True, metavar="PROFILE", help="What it shares with other hosts.")
@click.option("--uuid", default="", metavar="UUID", help="Its SMBIOS UUID.")
@click.option("--serial", default="", metavar="SERIAL", help=SERIAL)
@click.option("--address", default="", metavar="ADDRESS", help="Its address, such as 10.1.0.11/24; counted up.")
@click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A word of your own; repeatable.")
@click.option("--count", type=click.IntRange(1, MOST), metavar="N", help="Declare N hosts at once.")
@click.option("--start", type=click.IntRange(0, 99_999), metavar="N", help="The first one's number; default 1.")
@click.option("--arm", "is_armed", is_flag=True, help="Consent to the installs of a range; one host is armed.")
@click.option("--no-arm", is_flag=True, help=NO_ARM)
@json_option
@with_site
def add(
    site: Site,
    macs: tuple[str, ...],
    name: str,
    profile: str,
    uuid: str,
    serial: str,
    address: str,
    labels: tuple[str, ...],
    count: int | None,
    start: int | None,
    *,
    is_armed: bool,
    no_arm: bool,
    as_json: bool,
) -> None:
    """Declare a host; any one MAC, the UUID or the serial will identify its machine.

    Where its profile has a layout this is also the consent to erase the machine's disks, once, at its next
    netboot (not with `install = "approve"`).

    With --count it declares a range, all of it or nothing: --name has a place for the number, stdin one line a
    host with its MACs (blank lines and `# comments` are skipped). Without such lines `machines adopt` gives
    each host its machine later. A range is armed with --arm only.

    \b
    bootstrapd hosts add 52:54:00:aa:bb:01 --name node-1 --profile minimal
    bootstrapd hosts add --name 'node-{:02}' --count 10 --profile minimal --address 10.1.0.11/24 < macs.txt
    """
    from bootstrapd.cli import folder
    from bootstrapd.model import Host
    from bootstrapd.policy.range import is_pattern

    if is_armed and no_arm:
        raise ConfigError("--arm and --no-arm: expected one of them")
    wanted = Host(name=name, profile=profile, labels=dict(map(_label, labels)))
    if count is not None:
        _refuse_of_one(macs, uuid, serial)
        hosts = _declare_range(site, wanted, count, 1 if start is None else start, address)
        _tell_range(site, hosts, is_armed=is_armed, as_json=as_json)
        return
    if is_pattern(name) or start is not None:
        raise ConfigError(
            "--name with a place for a number, and --start, are of a range: say how many, --count N"
        )
    from msgspec.structs import replace

    wanted = replace(wanted, macs=_macs(macs), uuid=uuid, serial=serial, address=address)
    _tell(site, folder.declare(site, wanted), no_arm=no_arm, as_json=as_json)


def _refuse_of_one(macs: tuple[str, ...], uuid: str, serial: str) -> None:
    given = [what for what, value in (("MAC", macs), ("--uuid", uuid), ("--serial", serial)) if value]
    if given:
        raise ConfigError(
            f"--count: {' and '.join(given)} would be one machine's of many; give MACs on stdin, a line a host"
        )


def _declare_range(site: Site, wanted: Host, count: int, start: int, address: str) -> list[Host]:
    from msgspec.structs import replace

    from bootstrapd.cli import folder
    from bootstrapd.config import check_host_name
    from bootstrapd.policy import range as ranges

    names = ranges.names(wanted.name, start, count)
    for name in (names[0], names[-1]):
        check_host_name(name)
    macs, mistakes = ranges.macs(_stdin(), count)
    addresses = [""] * count
    if address:
        try:
            addresses = ranges.addresses(address, count)
        except ConfigError as error:
            mistakes += error.mistakes
    by_host = [*macs, *[()] * count]
    hosts = [
        replace(wanted, name=name, macs=own, address=at)
        for name, own, at in zip(names, by_host, addresses, strict=False)
    ]
    return folder.declare_all(site, hosts, mistakes)


def _stdin() -> str:
    """What was piped in; nothing from a terminal, where nobody was asked to type."""
    if sys.stdin.isatty():
        return ""
    try:
        text = sys.stdin.read(STDIN_MAX + 1)
    except UnicodeDecodeError as error:
        raise ConfigError(f"stdin: is not UTF-8 text (byte {error.start})") from None
    if len(text) > STDIN_MAX:
        raise ConfigError(f"stdin: expected a line a host, found more than {STDIN_MAX} characters")
    return text


def _tell(site: Site, host: Host, *, no_arm: bool, as_json: bool) -> None:
    from bootstrapd.cli import folder, out
    from bootstrapd.cli.host_acts import consent

    daemon = folder.take_up(site)
    armed = consent(site, daemon, host, no_arm=no_arm)
    if as_json:
        out.as_json(_views_of(site, [host])[0])
        return
    out.say(f"{host.name} is declared in {host.source}")
    out.say(armed)
    if not folder.profile(site, host.profile).is_darwin:
        out.say(_next_step(daemon, host))


def _tell_range(site: Site, hosts: Sequence[Host], *, is_armed: bool, as_json: bool) -> None:
    from bootstrapd.cli import folder, out
    from bootstrapd.cli.host_acts import consent_all

    daemon = folder.take_up(site)
    armed = consent_all(site, daemon, hosts, is_armed=is_armed)
    if as_json:
        out.as_json(_views_of(site, hosts))
        return
    first, last = hosts[0], hosts[-1]
    span = first.name if first is last else f"{first.name} to {last.name}"
    where = first.source.removesuffix(f"/{first.name}/host.toml")
    out.say(f"{len(hosts)} host{'s are' if len(hosts) > 1 else ' is'} declared in {where}: {span}")
    for line in armed:
        out.say(line)
    if not folder.profile(site, first.profile).is_darwin:
        out.say(_next_of_all(daemon, first))


def _views_of(site: Site, hosts: Sequence[Host]) -> list[HostView]:
    """The hosts as `hosts list` has them; as they were written where the daemon does not serve them yet."""
    from bootstrapd.cli import folder
    from bootstrapd.cli.hosts import views
    from bootstrapd.policy.views import of_host

    known = {view.name: view for view in views(site)}
    profile = folder.profile(site, hosts[0].profile)
    return [known.get(host.name) or of_host(host, None, profile) for host in hosts]


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


def _next_step(daemon: ApiClient | None, host: Host) -> str:
    if not (host.macs or host.uuid or host.serial):
        return f"nothing identifies its machine yet: bootstrapd machines adopt MAC --host {host.name}"
    if daemon is None:
        return "next: start the appliance (bootstrapd serve), then power the machine on, network first"
    if seen := _seen(daemon, host):
        from bootstrapd.cli import out

        return f"its machine was seen {out.ago(seen.last_seen)}: power it on again, network first"
    return "next: power it on, with the network first in its boot order"


def _next_of_all(daemon: ApiClient | None, first: Host) -> str:
    if not first.macs:
        return f"nothing identifies their machines yet: bootstrapd machines adopt MAC --host {first.name}, …"
    start = "" if daemon else "start the appliance (bootstrapd serve), then "
    return f"next: {start}power the machines on, with the network first in their boot order"


def _seen(daemon: ApiClient, host: Host) -> MachineView | None:
    from bootstrapd.model.view import MachineView

    for mac in host.macs:
        if machine := daemon.get(f"/v1/machines/{mac}", MachineView):
            return machine
    return None
