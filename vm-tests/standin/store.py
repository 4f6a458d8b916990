"""A folder of store paths: named by their contents as Nix does, each with the paths that it refers to."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

ON_MACHINES: Final = "/nix/store"
_DIGITS: Final = "0123456789abcdfghijklmnpqrsvwxyz"  # Nix's base 32
_LENGTH: Final = 32


class Store:
    """`add` makes paths, `closure` tells what belongs to one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._references = folder.parent / "var" / "standin" / "references"

    @classmethod
    def here(cls) -> Store:
        """The one that NIX_STORE_DIR names, or /nix/store."""
        return cls(Path(os.environ.get("NIX_STORE_DIR", ON_MACHINES)))

    def add(self, name: str, identity: bytes, references: Iterable[Path], fill: Callable[[Path], None]) -> Path:
        """The path of `name` made of `identity`; `fill` writes it, file or folder, if it is not there."""
        path = self.folder / f"{_hash(name.encode() + identity)}-{name}"
        if path.exists():
            return path
        self.folder.mkdir(parents=True, exist_ok=True)
        self._references.mkdir(parents=True, exist_ok=True)
        new = self.folder / f".{path.name}.{os.getpid()}"
        fill(new)
        (self._references / path.name).write_text("".join(f"{each.name}\n" for each in references))
        try:
            new.rename(path)
        except OSError:  # another process was faster
            shutil.rmtree(new, ignore_errors=True)
        return path

    def closure(self, path: Path) -> list[Path]:
        """The path and all it refers to, what is referred to first."""
        found: dict[Path, None] = {}
        file = self._references / path.name
        for name in file.read_text().split() if file.exists() else ():
            found |= dict.fromkeys(self.closure(self.folder / name))
        return [*found, path]


def on_machines(path: Path) -> str:
    """The path as the machine that it is copied to will call it."""
    return f"{ON_MACHINES}/{path.name}"


def _hash(data: bytes) -> str:
    number = int.from_bytes(hashlib.sha256(data).digest()[:20], "big")
    return "".join(_DIGITS[number >> 5 * place & 31] for place in reversed(range(_LENGTH)))
