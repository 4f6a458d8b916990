"""Declaring a host for somebody afar: the folder with it in it is checked whole before anything is written."""

from __future__ import annotations

from pathlib import Path

from bootstrapd.config import check_host_name, parse_hosts
from bootstrapd.edge import hostdir
from bootstrapd.model import Host


def enrol(folder: Path, host: Host) -> None:
    """Write `<name>/host.toml`, or change nothing. Blocks while somebody else edits the folder.

    ConfigError: every mistake that the folder has, or would have with it. RefusedError: there is such a host
    already, or the folder is read-only.
    """
    check_host_name(host.name)
    with hostdir.adding_host(folder, host):
        parse_hosts({**hostdir.read(folder), f"{host.name}/host.toml": hostdir.declaration(host)}, str(folder))
