"""`bootstrapd check-config`: every mistake in settings, hosts folder and images, before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bootstrapd.cli.site import Site, with_site
from bootstrapd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bootstrapd.model import HostBook, Image, Program


@click.command("check-config")
@click.argument("file", required=False, metavar="[FILE]", type=click.Path(path_type=Path, dir_okay=False))
@with_site
def check_config(site: Site, file: Path | None) -> None:
    """Check the settings, the hosts folder and the images, and say every mistake at once.

    An image or a layout that a profile names, or a boot program that a host names, and that is not there
    yet is a note, not a mistake. FILE stands in for --config.

    \b
    bootstrapd check-config /etc/bootstrapd/config.toml
    """
    from bootstrapd.cli import folder, out

    if file is not None:
        site = site.with_config(file)
    mistakes: list[str] = []
    store = site.images
    mistakes += store.load()
    try:
        book = folder.read_book(site)
    except ConfigError as error:
        raise ConfigError(*error.mistakes, *mistakes) from None
    if mistakes:
        raise ConfigError(*mistakes)
    from bootstrapd.edge import programs
    from bootstrapd.policy.network import notes

    found = programs.find([Path(nbp) for nbp in site.config.nbp.dirs])
    said = (
        missing_images(book, store.images),
        missing_layouts(book, site.config.paths.hosts_folder),
        missing_flake(book, site.config.paths.hosts_folder),
        missing_programs(book, found),
        macs(book),
        notes(book),
    )
    for sentence in chain.from_iterable(said):
        out.note(f"note: {sentence}")
    out.say(f"ok: {len(book.hosts)} hosts, {len(book.profiles)} profiles, {len(store.images)} images")


def missing_images(book: HostBook, images: Mapping[str, Image]) -> Iterator[str]:
    """A sentence for each image that a profile with hosts names and that is not there.

    A configuration is right without its images: it is checked where there are none, too.
    """
    used = {host.profile for host in book.hosts.values()}
    for name in sorted(used):
        profile = book.profiles[name]
        for image in sorted(set(profile.images.values()) - set(images)):
            yield (
                f"{profile.source}: image: there is no image {image!r}; "
                f"bootstrapd images add {image} DIR, or images build {image}"
            )


def macs(book: HostBook) -> Iterator[str]:
    """A sentence for each host that is declared and never booted from here."""
    from bootstrapd.policy import darwin

    for _, host in sorted(book.hosts.items()):
        if book.profiles[host.profile].is_darwin:
            yield f"{host.source}: {darwin.reason(host)}"


def missing_layouts(book: HostBook, folder: Path) -> Iterator[str]:
    """A sentence for each layout that a profile with hosts names and that is neither in the folder nor shipped.

    A profile with a flake of its own has its layouts there.
    """
    from bootstrapd import shipped

    for name in sorted({host.profile for host in book.hosts.values()}):
        profile = book.profiles[name]
        file = Path("layouts") / f"{profile.layout}.nix"
        if (
            profile.layout
            and not profile.flake
            and not any((at / file).exists() for at in (folder, shipped.hosts()))
        ):
            yield (
                f"{profile.source}: layout: there is no {folder / file}; write it, or name a shipped one: "
                f"{', '.join(sorted(path.stem for path in (shipped.hosts() / 'layouts').glob('*.nix')))}"
            )


def missing_flake(book: HostBook, folder: Path) -> Iterator[str]:
    """A sentence where hosts are to be built from the hosts folder and it is no flake."""
    profiles = {host.profile for host in book.hosts.values()}
    builds = any(book.profiles[name].layout and not book.profiles[name].flake for name in profiles)
    if builds and not (folder / "flake.nix").exists():
        yield (
            f"{folder}: there is no flake.nix, and installs build their systems from it: "
            "`nix flake init` writes one from bootstrapd's template (docs/nixos.md)"
        )


def missing_programs(book: HostBook, programs: Mapping[str, Program]) -> Iterator[str]:
    """A sentence for each host whose own network boot program is found nowhere."""
    for _, host in sorted(book.hosts.items()):
        if host.program and host.program not in programs:
            yield (
                f"{host.source}: boot.program: {host.program} is found nowhere; there are: "
                f"{', '.join(sorted(programs)) or 'none'} (config.toml, [nbp] dirs names more folders)"
            )
