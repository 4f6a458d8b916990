"""The flake: its outputs are those of the README, and without its inputs what can be looked at is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from nix_tools import ROOT, evaluate

from .rendered import APPLIANCE

README: Final = (APPLIANCE / "README.md").read_text()
SYSTEMS: Final = ["aarch64-linux", "x86_64-linux"]
STORIES: Final = ROOT / "vm-tests/nixos/stories"
BY_SYSTEM: Final = ("packages", "checks")


@pytest.fixture(scope="module")
def names() -> Any:
    """The names of the outputs: two steps deep, three where the first is a system."""
    expression = """
      let
        flake = import ./tests/nix/flake.nix { };
        names = set: builtins.mapAttrs (_: builtins.attrNames) set;
        bySystem = [ "packages" "checks" ];
      in
      {
        bySystem = builtins.listToAttrs (map (name: { inherit name; value = names flake.${name}; }) bySystem);
        others = names (removeAttrs flake bySystem);
      }
    """
    return evaluate(expression)


def found(names: Any, system: str) -> Iterator[str]:
    for output in BY_SYSTEM:
        yield from (f"{output}.<system>.{name}" for name in names["bySystem"][output][system])
    for output, inner in names["others"].items():
        yield from (f"{output}.{name}" for name in inner)


def test_every_output_is_in_the_readme_and_nothing_else(names: Any) -> None:
    section = README[README.index("## Outputs") : README.index("## `services.bootstrapd`")]
    listed = re.findall(r"^\| `([a-zA-Z]+(?:\.[<>a-z-]+)+)` \|", section, re.MULTILINE)
    assert len(listed) == len(set(listed))
    told = {name for name in listed if "<story>" not in name}
    for system in SYSTEMS:
        assert names["bySystem"]["packages"].keys() == set(SYSTEMS)
        made = set(found(names, system))
        stories = {name for name in made if name.startswith("checks") and name not in told}
        assert made - stories == told
        assert bool(stories) is (system == "x86_64-linux")  # the stories' machines are PCs


def test_each_story_is_a_check(names: Any) -> None:
    checks = names["bySystem"]["checks"]["x86_64-linux"]
    for story in STORIES.glob("*.nix"):
        assert [check for check in checks if check.startswith(story.stem)], story


def test_the_module_of_the_flake_brings_the_package_and_no_overlay() -> None:
    """An overlay in a module stops the NixOS test framework."""
    expression = """
      let
        flake = import ./tests/nix/flake.nix { };
        pkgs = flake.legacyPackages or (import ./tests/nix/pkgs.nix { });
        module = flake.nixosModules.default { inherit pkgs; };
      in
      { module = builtins.attrNames module; services = builtins.attrNames module.services.bootstrapd; }
    """
    assert evaluate(expression) == {"module": ["imports", "services"], "services": ["package"]}
    for file in APPLIANCE.glob("*.nix"):
        assert not re.search(r"nixpkgs\.overlays", file.read_text()), file


def test_the_readme_names_every_option() -> None:
    expression = """
      let
        lib = import ./tests/nix/lib.nix;
        module = import ./nixos-appliance/module.nix {
          inherit lib;
          config.services.bootstrapd.settings = { };
          pkgs.formats.toml = _: { type = null; };
          utils = { };
        };
      in
      builtins.attrNames module.options.services.bootstrapd
    """
    section = README[README.index("## `services.bootstrapd`") : README.index("## The whole appliance")]
    told = set(
        re.findall(r"`([a-zA-Z]+)(?:\.<name>)?`", "".join(re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)))
    )
    assert told == set(evaluate(expression))
