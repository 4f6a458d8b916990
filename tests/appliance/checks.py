"""What must hold of the module's values: the tests ask, and the mutations prove that it would be noticed."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any, Final

EXPOSURE_MAX: Final = 2.0  # of 10, by `systemd-analyze security`
CAPABILITIES: Final = ["CAP_NET_BIND_SERVICE", "CAP_NET_RAW"]


def firewall_mistakes(made: Any) -> list[str]:
    """Where the open ports are not those of the doors, each with its protocol, on the served links alone."""
    settings = made["settings"]
    wanted = {
        "allowedUDPPorts": {settings["dhcp"]["port"], settings["dhcp"]["pxe_port"], settings["tftp"]["port"]},
        "allowedTCPPorts": set(settings["http"]["ports"]),
    }
    found = made["firewall"]
    mistakes = [f"{key} on every link: {found[key]}" for key in wanted if found[key]]
    for link in {*settings["interfaces"], *found["interfaces"]}:
        rules = (
            found["interfaces"].get(link, {}) if link in settings["interfaces"] else {"allowedTCPPorts": [0]}
        )
        mistakes += [
            f"{link}: {key}: {sorted(rules.get(key, []))}, wanted {sorted(ports)}"
            for key, ports in wanted.items()
            if set(rules.get(key, [])) != ports
        ]
    return mistakes


def capability_mistakes(made: Any) -> list[str]:
    """Where the unit has other capabilities than the daemon needs: to have and to be able to have."""
    service = made["units"]["bootstrapd"]["serviceConfig"]
    return [
        f"{key}: {service.get(key)}"
        for key in ("AmbientCapabilities", "CapabilityBoundingSet")
        if service.get(key) != CAPABILITIES
    ]


def exposure(unit: str, folder: Path) -> float:
    """What `systemd-analyze security` makes of the unit's text."""
    file = folder / "judged.service"
    file.write_text(unit)
    command = ("systemd-analyze", "security", "--offline=true", "--no-pager", file)
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said.stdout)
    assert found, said.stdout + said.stderr
    return float(found[1])
