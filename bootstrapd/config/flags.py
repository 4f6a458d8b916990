"""What the command line says over what config.toml says, checked by the same rules."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from bootstrapd.config.check import read
from bootstrapd.config.settings import Config
from bootstrapd.errors import ConfigError


def overridden(config: Config, flags: Mapping[str, object]) -> Config:
    """`config` with each dotted key of `flags` set ("http.ports": (80,)); None and () say nothing.

    ConfigError carries every mistake, each "command line: key: …".
    """
    table = msgspec.to_builtins(config)
    for key, value in flags.items():
        if value is None or value == ():
            continue
        *sections, name = key.split(".")
        place = table
        for section in sections:
            place = place[section]
        place[name] = list(value) if isinstance(value, tuple) else value
    mistakes: list[str] = []
    changed = read(Config, table, lambda key, mistake: mistakes.append(f"command line: {key}: {mistake}"))
    if mistakes:
        raise ConfigError(*mistakes)
    return changed
