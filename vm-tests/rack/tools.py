"""What the rack's appliance installs with: the real nix and nixos-anywhere where they serve, else stand-ins.

The real ones can where both are on PATH, nix is new enough, and the hosts folder is a flake.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
STANDINS: Final = ROOT / "vm-tests" / "standin"
NAMES: Final = ("nix", "nixos-anywhere")
OLDEST_NIX: Final = (2, 16)
WITH_NIX: Final = Path(__file__).parent / "with-nix"


def are_real() -> bool:
    """Whether the machine's own nix and nixos-anywhere are used."""
    if not all(shutil.which(name) for name in NAMES) or not (ROOT / "hosts" / "flake.nix").exists():
        return False
    said = subprocess.run(["nix", "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"(\d+)\.(\d+)", said)
    return version is not None and (int(version[1]), int(version[2])) >= OLDEST_NIX


class Tools:
    """A folder for PATH, and the words in front of the appliance's command line."""

    def __init__(self, run_folder: Path) -> None:
        self._folder = run_folder
        self._are_real = are_real()
        if not self._are_real:
            for name in ("bin", "nix/store", "root"):
                (run_folder / name).mkdir(parents=True)
            for name in NAMES:
                wrapper = run_folder / "bin" / name
                wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} {STANDINS / name} "$@"\n')
                wrapper.chmod(0o755)

    def environment(self) -> dict[str, str]:
        """What the appliance's environment has more."""
        return {} if self._are_real else {"PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}"}

    def command(self) -> list[str]:
        """In front of its command line: the stand-ins' store is its /nix."""
        if self._are_real:
            return []
        return [str(WITH_NIX), str(self._folder / "nix"), str(self._folder / "root")]
