"""The flake: its outputs are those of the README, and without its inputs what can be looked at is there."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import nix_tools
import pytest
from nix_tools import ROOT, evaluate, given

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


ANYWHERE: Final = """{
  inputs.nixpkgs.url = "path:/nowhere";
  inputs.disko.url = "path:/nowhere";
  outputs = _: {
    packages = builtins.listToAttrs (map (system: {
      name = system;
      value.default = derivation { name = "nixos-anywhere"; inherit system; builder = "/bin/sh"; };
    }) [ "x86_64-linux" "aarch64-linux" ]);
  };
}
"""


def test_nix_flake_check_has_nothing_to_say(tmp_path: Path) -> None:
    """The repository as it is here, with a real nixpkgs and disko; nothing is built, nothing fetched."""
    nixpkgs, disko = given("NIXPKGS"), given("DISKO")
    copy, anywhere = tmp_path / "repository", tmp_path / "nixos-anywhere"
    listed = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(lambda name: name and (ROOT / name).is_file(), names):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    for act in (("init", "-q"), ("add", "--all")):
        subprocess.run(("git", *act), cwd=copy, check=True)
    anywhere.mkdir()
    (anywhere / "flake.nix").write_text(ANYWHERE)
    inputs = {"nixpkgs": nixpkgs, "disko": disko, "nixos-anywhere": anywhere}
    overrides = [word for name, path in inputs.items() for word in ("--override-input", name, f"path:{path}")]
    command = ["nix", "--extra-experimental-features", "nix-command flakes", "flake", "check", "--no-build"]
    flake = f"git+file://{copy}?dir=nixos-appliance"
    nix_tools._run([*command, flake, *overrides, "--no-write-lock-file"], timeout_s=600)
