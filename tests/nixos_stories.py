"""The stories of vm-tests/nixos as the tests see them: evaluated with the small module system."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from nix_tools import ROOT, evaluate

STORIES: Final[Path] = ROOT / "vm-tests" / "nixos"
MODULE: Final[Path] = ROOT / "nixos-appliance" / "module.nix"


@cache
def stories() -> Mapping[str, Any]:
    """Name -> name, testScript and node names, of every story."""
    expression = """{ module }: builtins.mapAttrs (_: story: { inherit (story) name nodes testScript; })
        (import ./tests/nix/stories.nix { inherit module; })"""
    found: Mapping[str, Any] = evaluate(expression, module=MODULE)
    return found


@cache
def nodes() -> Mapping[str, Any]:
    found: Mapping[str, Any] = evaluate("import ./tests/nix/stories.nix", module=MODULE)
    return found
