"""Is the nix at hand new enough?"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO, Final

from bootstrapd.edge.installer_process import Bounds, supervise
from bootstrapd.policy.install_progress import Reading

ANYWHERE_MIN: Final = (2, 16)  # nixos-anywhere asks for `nix config show`; a fleet's own nixpkgs may be old
NIXPKGS_MIN: Final = (2, 18)  # today's nixpkgs (its lib/minver.nix), which our flake follows
DEADLINE_S: Final = 20.0

_VERSION: Final = re.compile(r"\(Nix\) (\d+)\.(\d+)")


async def too_old(nix: str, least: tuple[int, int], grace_s: float) -> str:
    """Its version where that is below `least`, else "": one that does not tell is given the benefit."""
    reading = Reading("build")
    bounds = Bounds(deadline_s=DEADLINE_S, stall_s=0.0, grace_s=grace_s)
    with _nothing() as nothing:
        await supervise([nix, "--version"], os.environ, nothing, Path("/"), bounds, reading, lambda _: None)
    found = _VERSION.search("\n".join(reading.lines))
    if found and (int(found[1]), int(found[2])) < least:
        return f"{found[1]}.{found[2]}"
    return ""


def _nothing() -> BinaryIO:
    return Path(os.devnull).open("rb")
