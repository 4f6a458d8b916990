"""The dashboards of nixos-appliance/, as what their panels ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from .rendered import APPLIANCE

FILES: Final = sorted((APPLIANCE / "dashboards").glob("*.json"))
ALTERNATIVES: Final = re.compile(r'what(=~?)"([^"]+)"')


def panels() -> Iterator[tuple[Path, Any]]:
    for file in FILES:
        for panel in json.loads(file.read_text())["panels"]:
            yield file, panel


def asked() -> dict[str, str]:
    """The names and patterns that panels ask for, with a panel that does."""
    found = {}
    for _, panel in panels():
        for target in panel["targets"]:
            for operator, names in ALTERNATIVES.findall(target["expr"]):
                for name in names.split("|") if operator == "=~" else [names]:
                    found[name] = panel["title"]
    return found
