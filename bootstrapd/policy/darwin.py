"""Macs (profile key `system = "darwin"`): declared and listed like any host, never booted from here.

Apple silicon has no network boot of its own, so there is nothing to answer. What deploys a Mac is nix-darwin,
which runs on the Mac: it has no `--target-host`, so the hosts folder goes there first.
"""

from __future__ import annotations

from bootstrapd.model import Host


def reason(host: Host) -> str:
    """Why this host gets no answer, and how it is deployed instead."""
    folder = host.source.removesuffix(f"/{host.name}/host.toml")
    return (
        f'{host.name} is a Mac (profile {host.profile}: system = "darwin"), and Apple silicon cannot boot over '
        f"the network: nothing is answered, armed or installed here. It is deployed over SSH with nix-darwin: "
        f"'rsync -a {folder}/ ADMIN@{host.name}:hosts/', then on the Mac (ssh -t ADMIN@{host.name}) "
        f"'sudo darwin-rebuild switch --flake path:$HOME/hosts#{host.name}'"
    )
