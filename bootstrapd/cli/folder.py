"""The hosts folder as commands change it: the would-be folder is checked whole, then one file is written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bootstrapd.errors import ConfigError, RefusedError

if TYPE_CHECKING:
    from bootstrapd.cli.api_client import ApiClient
    from bootstrapd.cli.site import Site
    from bootstrapd.model import Host, HostBook, Profile


def read_book(site: Site) -> HostBook:
    """The folder as it is; ConfigError with every mistake in it."""
    from bootstrapd.config import parse_hosts
    from bootstrapd.edge.hostdir_files import read_as

    folder = site.config.paths.hosts_folder
    return read_as(folder, lambda files: parse_hosts(files, str(folder)))


def profile(site: Site, name: str) -> Profile:
    """One profile of the folder, which a host was just read with."""
    from bootstrapd.config import parse_hosts
    from bootstrapd.edge.hostdir_files import read

    folder = site.config.paths.hosts_folder
    files = {path: text for path, text in read(folder).items() if path.startswith("profiles/")}
    return parse_hosts(files, str(folder)).profiles[name]


def declare(site: Site, host: Host) -> Host:
    """Write a new host's file, once the folder with it in it is right; the host as it will be read."""
    from bootstrapd.config import check_host_name
    from bootstrapd.edge.hostdir_edit import adding_host

    check_host_name(host.name)
    folder = site.config.paths.hosts_folder
    _with(host, folder)  # a refused command makes not even the folder
    with adding_host(folder, host):
        return _with(host, folder)


def _with(host: Host, folder: Path) -> Host:
    """The host as it would be read if its file were in the folder; ConfigError and RefusedError: why not."""
    from bootstrapd.config import parse_hosts
    from bootstrapd.edge.hostdir_edit import declaration
    from bootstrapd.edge.hostdir_files import read

    files, path = read(folder), f"{host.name}/host.toml"
    if path in files:
        raise RefusedError(
            f"host {host.name!r} is declared already: edit {folder}/{path}, or choose another name"
        )
    return parse_hosts({**files, path: declaration(host)}, str(folder)).hosts[host.name]


def remove(site: Site, name: str) -> Path:
    """Delete the host's file; which it was."""
    from bootstrapd.config import check_host_name
    from bootstrapd.edge.hostdir_edit import remove_host

    check_host_name(name)
    file = remove_host(site.config.paths.hosts_folder, name)
    if file is None:
        raise unknown(name)
    return file


def take_up(site: Site) -> ApiClient | None:
    """Have a running daemon read the folder now; None where none runs. What it finds wrong is noted."""
    from bootstrapd.cli import out
    from bootstrapd.model.view import StatusView

    daemon = site.running
    if daemon is not None:
        try:
            daemon.post("/v1/reload", StatusView)
        except ConfigError as error:
            for mistake in error.mistakes:
                out.note(f"the running bootstrapd says: {mistake}")
    return daemon


def unknown(name: str) -> RefusedError:
    return RefusedError(f"there is no host {name!r}; 'bootstrapd hosts list' shows those that are declared")
