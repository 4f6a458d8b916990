"""Builds an image with nix, and ends it with all that it started when it is not wanted any more (Ctrl-C).

What becomes of the result is the caller's: it stands behind the link until that is removed.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from bootstrapd.edge.installer_process import Bounds, supervise
from bootstrapd.edge.nix_version import NIXPKGS_MIN, too_old
from bootstrapd.errors import EdgeError
from bootstrapd.policy.image_build import LINES_SHOWN, arguments, failure
from bootstrapd.policy.install import Progress
from bootstrapd.policy.install_progress import Reading

DEADLINE_S: Final = 24 * 3600.0  # a kernel that nobody has built yet, on a small machine
GRACE_S: Final = 5.0
HERE: Final = Path()  # a flake may be named relative to where the person is

_WANTED: Final = "images are built with nix {}.{} or newer".format(*NIXPKGS_MIN)


def build(wanted: str, link: Path, tell: Callable[[Progress], None]) -> Path:
    """The folder that `wanted`, an installable, was built to, behind `link`.

    EdgeError: there is no fit nix, or it failed: a sentence, then its last lines. KeyboardInterrupt: nothing of
    it runs any more.
    """
    nix = shutil.which("nix")
    if nix is None:
        raise EdgeError(
            f"nix is not on PATH: {_WANTED} (https://nixos.org/download); or build elsewhere, "
            "copy the folder here, and `bootstrapd images add` it"
        )
    with Path(os.devnull).open("rb") as nothing:
        asyncio.run(_build(nix, wanted, link, nothing, tell))
    if not link.exists():
        raise EdgeError(f"nix build of {wanted} ended well and left no result at {link}: is {nix} really nix?")
    return link


async def _build(
    nix: str, wanted: str, link: Path, nothing: BinaryIO, tell: Callable[[Progress], None]
) -> None:
    if found := await too_old(nix, NIXPKGS_MIN, GRACE_S):
        raise EdgeError(f"nix {found} is too old: {_WANTED} (https://nixos.org/download)")
    reading = Reading("build")
    bounds = Bounds(deadline_s=DEADLINE_S, stall_s=0.0, grace_s=GRACE_S)
    argv = [nix, *arguments(wanted, str(link))]
    end = await supervise(argv, os.environ, nothing, HERE, bounds, reading, tell)
    if end.by:
        raise EdgeError(f"{wanted} was not built within {DEADLINE_S / 3600:.0f} hours, and nix was stopped")
    if end.code:
        cause = failure(reading.lines, end.code)
        hint = f"; {cause.hint}" if cause.hint else ""
        last = [f"  {line}" for line in list(reading.lines)[-LINES_SHOWN:]]
        raise EdgeError("\n".join([f"{wanted} was not built: {cause.sentence}{hint}", *last]))
