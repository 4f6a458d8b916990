"""`bootstrapd explain`: every packet and script a machine would get, and the rule that chose each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from bootstrapd.cli.site import Site, json_option, with_site

if TYPE_CHECKING:
    from bootstrapd.model import Arch, Door, Mac, Stage
    from bootstrapd.model.view import Explained


@click.command()
@click.argument("mac")
@click.option("--arch", metavar="ARCH", help="Only this architecture: a number (7) or a name (uefi-x64).")
@click.option("--stage", type=click.Choice(["firmware", "ipxe"]), help="Only what this stage of a boot gets.")
@click.option("--door", type=click.Choice(["dhcp", "pxe", "tftp", "http"]), help="Only what this door answers.")
@json_option
@with_site
def explain(
    site: Site, mac: str, arch: str | None, stage: str | None, door: str | None, *, as_json: bool
) -> None:
    """Show what MAC would be answered, field by field, and why.

    Asks the daemon; without one, works from the files and the journal, and 192.0.2.1 stands for the
    appliance's address.

    \b
    bootstrapd explain 52:54:00:aa:bb:01 --arch uefi-x64 --door dhcp
    """
    from bootstrapd.cli import out
    from bootstrapd.model import Arch, Door, Mac, Stage

    answers = _answers(
        site,
        Mac.parse(mac),
        Arch.parse(arch) if arch else None,
        Stage(stage) if stage else None,
        Door(door) if door else None,
    )
    if as_json:
        out.as_json(answers)
        return
    for answer in answers:
        _print(answer)
    if not answers:
        out.note("nothing would be asked that way: leave out --arch, --stage or --door")


def _answers(
    site: Site, mac: Mac, arch: Arch | None, stage: Stage | None, door: Door | None
) -> list[Explained]:
    from bootstrapd.model.view import Explained

    daemon = site.running
    if daemon is None:
        from bootstrapd.daemon import offline

        return offline(site.config).explain(mac, arch, stage, door)
    wanted = {"mac": mac, "arch": str(arch.code) if arch else "", "stage": stage or "", "door": door or ""}
    return (
        daemon.get("/v1/explain", list[Explained], {key: value for key, value in wanted.items() if value}) or []
    )


def _print(answer: Explained) -> None:
    from bootstrapd.cli import out

    who = " · ".join(filter(None, (answer.door, answer.stage, answer.arch)))
    out.say(f"{who}: {answer.reason} [{answer.rule}]")
    out.facts([(f"    {name}", value) for name, value in answer.fields])
    for line in answer.script.splitlines():
        out.say(f"    | {line}")
    out.say("")
