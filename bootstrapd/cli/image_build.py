"""`bootstrapd images build`: nix builds an image of a flake, and it is added as `images add` does."""

from __future__ import annotations

import platform
import re
import tempfile
from pathlib import Path
from typing import Final

import click

from bootstrapd.cli.site import Site, json_option, with_site

_STORE_NAME: Final = re.compile(r"/nix/store/[0-9a-z]{32}-")


@click.command()
@click.argument("name", required=False, metavar="[NAME]")
@click.option(
    "--flake",
    envvar="BOOTSTRAPD_FLAKE",
    metavar="REF",
    help="The flake to build; default: the one that came with this bootstrapd. Variable: BOOTSTRAPD_FLAKE.",
)
@click.option(
    "--attr",
    "attribute",
    type=click.Choice(["installer", "discovery"]),
    default="installer",
    show_default=True,
    help="Which image: packages.CPU-linux.ATTR of the flake.",
)
@click.option(
    "--arch",
    "cpu",
    type=click.Choice(["x86_64", "aarch64"]),
    help="For machines of this kind; default: as this one.",
)
@click.option("--replace", is_flag=True, help="Put it in the place of the image that has this name.")
@json_option
@with_site
def build(
    site: Site,
    name: str | None,
    flake: str | None,
    attribute: str,
    cpu: str | None,
    *,
    replace: bool,
    as_json: bool,
) -> None:
    """Build an image with nix and put it into the images folder, verified, under NAME.

    NAME is ATTR where it is not given, with -CPU behind it where --arch is. Needs nix 2.18 or newer, about 3 GB
    of room, and the Internet or a binary cache. The flake that came with this bootstrapd is in its package, on
    NixOS as everywhere; of a checkout nix takes the files that git knows.

    \b
    bootstrapd images build
    bootstrapd images build discovery --attr discovery
    bootstrapd images build installer --flake /etc/bootstrapd/my-images --replace
    """
    from bootstrapd import shipped
    from bootstrapd.cli import out
    from bootstrapd.cli.images import added
    from bootstrapd.edge import image_build
    from bootstrapd.policy.image_build import installable

    name = name or (f"{attribute}-{cpu}" if cpu else attribute)
    wanted = installable(flake or shipped.flake(), attribute, cpu or _cpu())
    store = site.images
    store.make_sure(name, replace=replace)  # before a build that takes its time
    with tempfile.TemporaryDirectory(prefix="bootstrapd-image-") as folder:
        with out.steps(f"building {name}") as step:
            built = image_build.build(
                wanted, Path(folder) / "result", lambda now: step(_said(now.line), now.done, now.total)
            )
        with out.progress(f"adding {name}") as progress:
            image = store.add(name, built, replace=replace, progress=progress)
    added(site, image, as_json=as_json)


def _cpu() -> str:
    """This machine's; what is neither boots x86_64 machines most likely."""
    return "aarch64" if platform.machine() in ("aarch64", "arm64") else "x86_64"


def _said(line: str) -> str:
    return _STORE_NAME.sub("", line)
