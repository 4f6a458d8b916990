"""Where the files that ship beside the code are: a checkout's top folder, or a wheel's `bootstrapd/assets`."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import quote

from bootstrapd.errors import ConfigError

_PACKAGE: Final = Path(__file__).resolve().parent


def netboot() -> Path:
    """The folder of what runs on the booting machine: `ipxe/` templates and the `agent/`."""
    return _folder("netboot")


def hosts() -> Path:
    """The folder with the profiles that every appliance knows: `profiles/<name>.toml`."""
    return _folder("hosts")


def flake() -> str:
    """The reference of the flake that this code is of, for nix. ConfigError: it did not come along.

    Of a checkout only what git knows of: a path would take .venv and build too.
    """
    folder = _folder("nixos-appliance")
    if not (folder / "flake.nix").is_file():
        raise ConfigError(f"no flake came with this bootstrapd ({folder}/flake.nix): name one with --flake")
    top = folder.parent
    scheme = "git+file://" if (top / ".git").exists() else "path:"
    return f"{scheme}{quote(str(top))}?dir={folder.name}"


def _folder(name: str) -> Path:
    in_wheel = _PACKAGE / "assets" / name
    return in_wheel if in_wheel.is_dir() else _PACKAGE.parent / name
