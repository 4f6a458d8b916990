"""Is the nix at hand new enough? nixos-anywhere asks for `nix config show`, and today's nixpkgs for no less."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO, Final

from bootstrapd.edge.installer_process import Bounds, supervise
from bootstrapd.policy.install_progress import Reading

NIX_MIN: Final = (2, 16)
DEADLINE_S: Final = 20.0

_VERSION: Final = re.compile(r"\(Nix\) (\d+)\.(\d+)")


async def too_old(nix: str, grace_s: float) -> str:
    """Its version where that is below `NIX_MIN`, else "": one that does not tell is given the benefit."""
    reading = Reading("build")
    bounds = Bounds(deadline_s=DEADLINE_S, stall_s=0.0, grace_s=grace_s)
    with _nothing() as nothing:
        await supervise([nix, "--version"], os.environ, nothing, Path("/"), bounds, reading, lambda _: None)
    found = _VERSION.search("\n".join(reading.lines))
    if found and (int(found[1]), int(found[2])) < NIX_MIN:
        return f"{found[1]}.{found[2]}"
    return ""


def _nothing() -> BinaryIO:
    return Path(os.devnull).open("rb")
