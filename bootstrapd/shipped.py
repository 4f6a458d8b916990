"""Where the files that ship beside the code are: a checkout's top folder, or a wheel's `bootstrapd/assets`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).resolve().parent


def netboot() -> Path:
    """The folder of what runs on the booting machine: `ipxe/` templates and the `agent/`."""
    return _folder("netboot")


def hosts() -> Path:
    """The folder with the profiles that every appliance knows: `profiles/<name>.toml`."""
    return _folder("hosts")


def _folder(name: str) -> Path:
    in_wheel = _PACKAGE / "assets" / name
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parent / name
