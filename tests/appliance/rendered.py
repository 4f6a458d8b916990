"""What nixos-appliance/module.nix makes of a person's settings: values, unit files, a built config.toml.

NixOS writes unit files with nixos/lib/systemd-lib.nix; `unit_text` does the same for the part that our module
uses, and test_whole.py compares the two where a real nixpkgs is at hand.
"""

from __future__ import annotations

import re
import sysconfig
from pathlib import Path
from typing import Any, Final

from nix_tools import ROOT, build, evaluate

APPLIANCE: Final = ROOT / "nixos-appliance"
SCRIPTS: Final = Path(sysconfig.get_path("scripts")).parent  # a package like any other: it has bin/bootstrapd
_STORE_PATH: Final = re.compile(r"/[^\s:\"]*/store/[a-z0-9]{32}-")
_SECTIONS: Final = {
    "description": "Description",
    "wants": "Wants",
    "requires": "Requires",
    "after": "After",
    "before": "Before",
}


def appliance(
    services: dict[str, Any], folder: Path = APPLIANCE, *, package: str = "/nix/store/bootstrapd"
) -> Any:
    """The module's values for these `services.bootstrapd` options."""
    expression = 'given: removeAttrs (import ./tests/nix/appliance.nix given) [ "config" "images" ]'
    return evaluate(expression, folder=folder, package=package, services=services)


def built_config(services: dict[str, Any], folder: Path = APPLIANCE) -> Path:
    """config.toml, built as a system's build does it: by this checkout's own `bootstrapd check-config`."""
    expression = "given: (import ./tests/nix/appliance.nix given).config"
    return build(expression, folder=folder, package=str(SCRIPTS), services=services)


def unit_text(unit: dict[str, Any], environment: dict[str, str] | None = None) -> str:
    """The unit as a file that systemd reads."""
    head = {word: " ".join(_list(unit[key])) for key, word in _SECTIONS.items() if unit[key]}
    if unit["startLimitIntervalSec"] is not False:
        head["StartLimitIntervalSec"] = unit["startLimitIntervalSec"]
    service = dict(unit["serviceConfig"])
    if environment:
        service["Environment"] = [f'"{name}={value}"' for name, value in environment.items()]
    if not unit["stopIfChanged"]:
        service["X-StopIfChanged"] = False
    sections = {"Unit": head | unit["unitConfig"], "Service": service}
    if unit["wantedBy"]:
        sections["Install"] = {"WantedBy": " ".join(unit["wantedBy"])}
    return "\n".join(
        f"[{name}]\n" + "".join(line for key in sorted(keys) for line in _lines(key, keys[key]))
        for name, keys in sections.items()
    )


def without_hashes(text: str) -> str:
    """Store paths as anybody's: `/nix/store/config.toml`."""
    return _STORE_PATH.sub("/nix/store/", text)


def _list(value: object) -> list[str]:
    return value if isinstance(value, list) else [str(value)]


def _lines(key: str, value: object) -> list[str]:
    """systemd takes a list as the key again and again."""
    if isinstance(value, bool):
        value = str(value).lower()
    return [f"{key}={item}\n" for item in _list(value)]
