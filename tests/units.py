"""systemd units in tests: the text of one as data, and what NixOS would write of a service's options."""

from __future__ import annotations

from typing import Any, Final

LISTS: Final = ("wants", "after", "before")  # of [Unit], and written with spaces between
Unit = dict[str, dict[str, list[str]]]


def read(text: str) -> Unit:
    """Sections with their keys, each with all that is assigned to it, in order; yes as true, no as false."""
    unit: Unit = {}
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("["):
            section = line.strip("[]")
        elif line and line[0] not in "#;":
            key, _, value = line.partition("=")
            unit.setdefault(section, {}).setdefault(key, []).append(
                {"yes": "true", "no": "false"}.get(value, value)
            )
    return unit


def of_service(service: dict[str, Any]) -> Unit:
    """The unit of a service's options: what NixOS' lib/systemd-lib writes, but for the environment."""
    head = {"Description": service["description"]}
    head |= {name.capitalize(): " ".join(service[name]) for name in LISTS if service[name]}
    head["StartLimitIntervalSec"] = service["startLimitIntervalSec"]
    head["StartLimitBurst"] = service["startLimitBurst"]
    sections = {
        "Unit": {**head, **service["unitConfig"]},
        "Service": service["serviceConfig"],
        "Install": {"WantedBy": " ".join(service["wantedBy"])},
    }
    return {name: {key: _written(value) for key, value in keys.items()} for name, keys in sections.items()}


def text(unit: Unit) -> str:
    """As a file of its own."""
    lines = []
    for section, keys in unit.items():
        lines += [f"[{section}]", *(f"{key}={value}" for key, values in keys.items() for value in values)]
    return "\n".join(lines) + "\n"


def _written(value: Any) -> list[str]:
    if isinstance(value, list):
        return [word for each in value for word in _written(each)]
    return [str(value).lower() if isinstance(value, bool) else str(value)]
