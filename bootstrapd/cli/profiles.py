"""`bootstrapd profiles`: what hosts share, from the hosts folder and from what ships with the appliance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from bootstrapd.cli.site import Site, json_option, with_site
from bootstrapd.errors import RefusedError

if TYPE_CHECKING:
    from bootstrapd.model.view import ProfileView


@click.group()
def profiles() -> None:
    """See the profiles that hosts can have.

    A profile is a file profiles/NAME.toml in the hosts folder.

    \b
    bootstrapd profiles list
    """


@profiles.command("list")
@json_option
@with_site
def list_(site: Site, *, as_json: bool) -> None:
    """List the profiles.

    \b
    bootstrapd profiles list
    """
    from bootstrapd.cli import out

    known = _views(site)
    if as_json:
        out.as_json(known)
        return
    out.table(
        ("PROFILE", "IMAGE", "INSTALL", "HOSTS", "FILE"),
        ((p.name, _images(p), p.install, str(len(p.hosts)), p.source) for p in known),
        empty="no profile is known",
    )


@profiles.command()
@click.argument("name")
@json_option
@with_site
def show(site: Site, name: str, *, as_json: bool) -> None:
    """Show one profile and the hosts that have it.

    \b
    bootstrapd profiles show minimal
    """
    from bootstrapd.cli import out

    known = {profile.name: profile for profile in _views(site)}
    if name not in known:
        raise RefusedError(f"there is no profile {name!r}; known: {', '.join(known) or 'none'}")
    if as_json:
        out.as_json(known[name])
        return
    out.facts(_facts(known[name]))


def _views(site: Site) -> list[ProfileView]:
    from bootstrapd.cli.folder import read_book
    from bootstrapd.model.view import ProfileView

    book = read_book(site)
    return [
        ProfileView(
            name=profile.name,
            images=profile.images,
            system=profile.system,
            install=profile.install,
            report=profile.report,
            local_boot=profile.local_boot,
            esp_label=profile.esp_label,
            layout=profile.layout,
            kernel_params=profile.kernel_params,
            requires=profile.requires,
            hosts=tuple(sorted(host.name for host in book.hosts.values() if host.profile == profile.name)),
            source=profile.source,
        )
        for _, profile in sorted(book.profiles.items())
    ]


def _images(profile: ProfileView) -> str:
    return ", ".join(f"{image} ({cpu})" if cpu else image for cpu, image in sorted(profile.images.items()))


def _facts(profile: ProfileView) -> Iterator[tuple[str, str]]:
    from bootstrapd.cli import out

    yield "profile", profile.name
    yield "file", profile.source
    yield "system", profile.system
    yield "image", _images(profile)
    yield "kernel parameters", " ".join(profile.kernel_params)
    yield (
        "local boot",
        "" if profile.system == "darwin" else f"{profile.local_boot} (ESP label {profile.esp_label})",
    )
    yield "install", profile.install
    yield "report", profile.report
    yield "layout", profile.layout
    needs = profile.requires
    yield "needs threads", str(needs.cpu_threads or "")
    yield "needs memory", out.size(needs.memory_bytes) if needs.memory_bytes else ""
    for disk in needs.disks:
        yield "needs disk", f"{disk.type or 'any'}, {out.size(disk.size_bytes)}"
    if needs.gpu:
        yield "needs GPU", f"{needs.gpu.vendor or 'any'}, {out.size(needs.gpu.memory_bytes)}"
    yield "needs NIC", f"{needs.nic_mbps} Mb/s" if needs.nic_mbps else ""
    yield "hosts", " ".join(profile.hosts)
