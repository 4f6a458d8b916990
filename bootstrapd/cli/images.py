"""`bootstrapd images`: what machines boot. Works on the images folder itself, with or without a daemon."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bootstrapd.cli.image_build import build
from bootstrapd.cli.site import Site, json_option, with_site
from bootstrapd.errors import ConfigError, DamagedError

if TYPE_CHECKING:
    from bootstrapd.edge.image_source import Source
    from bootstrapd.edge.images import ImageStore
    from bootstrapd.model import HostBook, Image
    from bootstrapd.model.view import ImageView


@click.group()
def images() -> None:
    """Build, add and check the images that machines boot.

    An image is a kernel, initrds and a command line, in a folder of its own with their checksums.

    \b
    bootstrapd images list
    """


@images.command()
@click.argument("name")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--replace", is_flag=True, help="Put it in the place of the image that has this name.")
@click.option("--kernel", metavar="FILE", help="The kernel, in DIR, where DIR does not say so itself.")
@click.option(
    "--initrd", "initrds", multiple=True, metavar="FILE", help="With --kernel: an initrd; repeatable."
)
@click.option("--cmdline", metavar="TEXT", help="With --kernel: the kernel command line.")
@click.option("--arch", metavar="CPU", help="x86_64, aarch64 or i686; default: what the kernel is for.")
@with_site
def add(
    site: Site,
    name: str,
    folder: Path,
    kernel: str | None,
    initrds: tuple[str, ...],
    cmdline: str | None,
    arch: str | None,
    *,
    replace: bool,
) -> None:
    """Copy the image in DIR into the images folder, verified, under NAME.

    Knows nixpkgs' netboot output, nixos-images' netboot folder and folders of ours; of any other, name the
    files.

    \b
    bootstrapd images add installer ./result
    bootstrapd images add rescue /boot --kernel vmlinuz --initrd initrd.img --cmdline "console=ttyS0"
    """
    from bootstrapd.cli import out

    source = _source(folder, kernel, initrds, cmdline, arch)
    with out.progress(f"adding {name}") as progress:
        image = site.images.add(name, source, replace=replace, progress=progress)
    added(site, image)


images.add_command(build)


@images.command("list")
@json_option
@with_site
def list_(site: Site, *, as_json: bool) -> None:
    """List the images; what is wrong with any goes to stderr.

    \b
    bootstrapd images list --json
    """
    from bootstrapd.cli import out

    store = site.images
    for problem in store.load():
        out.note(problem)
    known = _views(site, store)
    if as_json:
        out.as_json(known)
        return
    out.table(
        ("IMAGE", "KIND", "ARCH", "SIZE", "PROFILES"),
        ((i.name, i.kind, i.arch, out.size(i.size_bytes), " ".join(i.profiles)) for i in known),
        empty="no image is here yet: bootstrapd images build, or images add NAME DIR",
    )


@images.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@with_site
def verify(site: Site, names: tuple[str, ...]) -> None:
    """Hash every file of the images NAME (default: all) again; ends with 3 when one is damaged.

    \b
    bootstrapd images verify installer
    """
    from bootstrapd.cli import out

    store = site.images
    problems = [] if names else store.load()
    chosen = names or tuple(store.images)
    for name in chosen:
        with out.busy(f"verifying {name}"):
            problems += store.verify(name)
    if problems:
        raise DamagedError("\n".join(problems))
    out.say(f"ok: {len(chosen)} images")


@images.command()
@click.argument("name")
@with_site
def remove(site: Site, name: str) -> None:
    """Remove an image. Downloads that run read on to their end.

    \b
    bootstrapd images remove rescue
    """
    from bootstrapd.cli import out
    from bootstrapd.cli.folder import take_up
    from bootstrapd.policy.views import users

    site.images.remove(name)
    take_up(site)
    missed_by = ", ".join(users(_book(site), name))
    then = f"; profile {missed_by} names it: its hosts cannot boot until it is back" if missed_by else ""
    out.say(f"{name} is removed{then}")


def added(site: Site, image: Image, *, as_json: bool = False) -> None:
    """Have the daemon take up a new image, and say what it is and what comes next."""
    from bootstrapd.cli import out
    from bootstrapd.cli.folder import take_up
    from bootstrapd.policy.views import of_image

    take_up(site)
    if as_json:
        out.as_json(of_image(image, _book(site)))
        return
    out.say(f"{image.name}: {image.kind} for {image.arch}, {out.size(sum(image.sizes.values()))}")
    out.say(_next_step(site, image))


def _source(
    folder: Path, kernel: str | None, initrds: tuple[str, ...], cmdline: str | None, arch: str | None
) -> Source:
    from dataclasses import replace

    from bootstrapd.edge import image_source

    if kernel is not None:
        return image_source.explicit(folder, kernel, initrds, cmdline or "", arch=arch or "")
    if initrds or cmdline is not None:
        raise ConfigError("--initrd and --cmdline name the files of a plain folder: give --kernel too")
    source = image_source.read(folder)
    return replace(source, arch=arch) if arch else source


def _views(site: Site, store: ImageStore) -> list[ImageView]:
    from bootstrapd.policy.views import of_image

    book = _book(site)
    return [of_image(image, book) for _, image in sorted(store.images.items())]


def _book(site: Site) -> HostBook:
    """The hosts folder, or an empty book where it is wrong: that is no reason not to show images."""
    from bootstrapd.cli.folder import read_book
    from bootstrapd.model import HostBook

    try:
        return read_book(site)
    except ConfigError:
        return HostBook()


def _next_step(site: Site, image: Image) -> str:
    from bootstrapd.policy.views import users

    profiles = users(_book(site), image.name)
    if profiles:
        is_one = len(profiles) == 1
        return f"profile{'' if is_one else 's'} {', '.join(profiles)} boot{'s' if is_one else ''} it"
    folder = site.config.paths.hosts_folder / "profiles"
    return f'next: name it in a profile, {folder}/NAME.toml: image = "{image.name}"'
