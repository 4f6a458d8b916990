"""`bootstrapd topology`: the fleet's networks, switches and hosts as a picture, from the hosts folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from bootstrapd.cli.site import Site, with_site

if TYPE_CHECKING:
    from bootstrapd.policy.topology import Fleet

FORMATS: Final = ("svg", "mermaid", "nix")


@click.command()
@click.option(
    "--format", "kind", type=click.Choice(FORMATS), default="svg", show_default=True, help="What to write."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write it there; else to stdout.",
)
@with_site
def topology(site: Site, kind: str, output: Path | None) -> None:
    """Draw the fleet: networks with their VLANs and hosts, switches, and the appliance.

    It reads the hosts folder, networks.toml included, and needs no daemon. A host hangs on the network that its
    address is in; one without an address on the only network of the switch that `[match] port` names.

    svg is one file that needs nothing else, light or dark as its viewer prefers. mermaid is for a page that
    draws it itself. nix is a module for nix-topology.

    \b
    bootstrapd topology --output fleet.svg
    """
    from bootstrapd.cli import folder, out
    from bootstrapd.policy.topology import fleet as of_book

    fleet = of_book(folder.read_book(site))
    text = _text(kind, fleet)
    if output is None:
        click.echo(text, nl=False)
        return
    output.write_text(text, encoding="utf-8")
    out.note(f"{output}: {len(fleet.hosts)} hosts in {len(fleet.networks)} networks")


def _text(kind: str, fleet: Fleet) -> str:
    match kind:
        case "svg":
            from bootstrapd.policy.topology_svg import svg

            return svg(fleet)
        case "mermaid":
            from bootstrapd.policy.topology_mermaid import mermaid

            return mermaid(fleet)
        case _:
            from bootstrapd.policy.topology_nix import nix

            return nix(fleet)
