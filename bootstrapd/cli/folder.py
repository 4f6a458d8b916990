"""The hosts folder as commands change it: the would-be folder is checked whole, then one file is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
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
    return declare_all(site, [host])[0]


def declare_all(site: Site, hosts: Sequence[Host], mistakes: Iterable[str] = ()) -> list[Host]:
    """As `declare`, for several: all of them or none. With `mistakes` of before, only what else is wrong is
    found out: the ConfigError has it all.
    """
    from bootstrapd.config import check_host_name
    from bootstrapd.edge.hostdir_edit import adding_hosts

    for host in hosts:
        check_host_name(host.name)
    folder = site.config.paths.hosts_folder
    _with(hosts, folder, list(mistakes))  # a refused command makes not even the folder
    with adding_hosts(folder, hosts):
        return _with(hosts, folder, [])


def _with(hosts: Sequence[Host], folder: Path, mistakes: list[str]) -> list[Host]:
    """The hosts as they would be read if their files were in the folder; ConfigError, RefusedError: why not."""
    from bootstrapd.config import parse_hosts
    from bootstrapd.edge.hostdir_edit import declaration
    from bootstrapd.edge.hostdir_files import read

    files = read(folder)
    there = [
        f"host {host.name!r} is declared already: edit {folder}/{host.name}/host.toml, or choose another name"
        for host in hosts
        if f"{host.name}/host.toml" in files
    ]
    new = {f"{host.name}/host.toml": declaration(host) for host in hosts}
    book = None
    try:
        book = parse_hosts({**new, **files}, str(folder))
    except ConfigError as error:
        mistakes += _once(error.mistakes, [f"{folder}/{path}" for path in new])
    if book is None or mistakes:
        raise ConfigError(*mistakes, *there)
    if there:
        raise RefusedError("\n".join(there))
    return [book.hosts[host.name] for host in hosts]


def _once(mistakes: Sequence[str], sources: Sequence[str]) -> list[str]:
    """What is wrong with each of the new files alike is said of the first only, and that it is so of all."""
    if len(sources) == 1:
        return list(mistakes)
    begins = {f"{source}: " for source in sources}
    split = [(begin, mistake) for mistake in mistakes for begin in [_begin(mistake)]]
    alike = Counter(mistake.removeprefix(begin) for begin, mistake in split if begin in begins)
    said: set[str] = set()
    found = []
    for begin, mistake in split:
        words = mistake.removeprefix(begin)
        if begin in begins and alike[words] == len(sources):
            if words in said:
                continue
            said.add(words)
            found.append(f"{mistake} (and so for each of the {len(sources)} hosts)")
        else:
            found.append(mistake)
    return found


def _begin(mistake: str) -> str:
    source, colon, _ = mistake.partition("/host.toml: ")
    return source + colon


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
