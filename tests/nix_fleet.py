"""Hosts folders for the tests of hosts/default.nix."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from nix_tools import ROOT

LAYOUTS: Final = sorted(file.stem for file in (ROOT / "hosts" / "layouts").glob("*.nix"))
ROLE: Final = re.compile(r"^[^#]*\bdisks\.([a-z0-9_-]+)", re.MULTILINE)
NETWORKS: Final = """
[network.boot]
subnet = "10.1.0.0/24"
gateway = "10.1.0.1"
dns = ["10.1.0.1"]
[network.fast]
subnet = "10.2.0.0/24"
vlan = 20
tagged = true
gateway = "10.2.0.1"
"""


def roles(layout: str) -> tuple[str, ...]:
    """The disks that the layout asks for by name; each has its system on `main`."""
    asked = set(ROLE.findall((ROOT / "hosts" / "layouts" / f"{layout}.nix").read_text("utf-8")))
    return ("main", *sorted(asked - {"main"}))


def write(folder: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def host_of(profile: str, mac: int = 0, address: str = "") -> str:
    lines = [f'profile = "{profile}"']
    lines += [f'match.mac = ["52:54:00:00:{mac >> 8:02x}:{mac & 255:02x}"]'] if mac else []
    lines += [f'network.address = "{address}"'] if address else []
    return "\n".join(lines) + "\n"
