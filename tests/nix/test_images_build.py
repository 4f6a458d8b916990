"""`bootstrapd images build` with a real nix: a flake of our modules over the stub options, built and added."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from nix_tools import ROOT, environment

CPU: Final = platform.machine()
FLAKE: Final = """{
  outputs = { self }: {
    packages = builtins.listToAttrs (map (system: {
      name = system;
      value = builtins.mapAttrs (_: module: (import ./tests/nix/system.nix {
        inherit system;
        specialArgs.modulesPath = "${self}/tests/nix/nixos/modules";
        modules = [ module { nixpkgs.hostPlatform = system; } ];
      }).config.system.build.bootstrapdImage) {
        installer = ./netboot/installer.nix;
        discovery = ./netboot/discovery.nix;
      };
    }) [ "x86_64-linux" "aarch64-linux" ]);
  };
}
"""
# Debian's nix is older than what bootstrapd asks for, and builds this all the same.
SHIM: Final = """#!/bin/sh
if [ "$*" = --version ]; then echo "nix (Nix) 2.18.0"; else exec {nix} "$@"; fi
"""


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    around = environment()
    nix = shutil.which("nix")
    assert nix is not None
    shim = tmp_path / "bin/nix"
    shim.parent.mkdir()
    shim.write_text(SHIM.format(nix=nix))
    shim.chmod(0o755)
    # A store of its own: in the one that all tests share, another may have built the same image before.
    own = {f"NIX_{kind.upper()}_DIR": str(tmp_path / "nix" / kind) for kind in ("store", "state", "log")}
    return (
        around
        | own
        | {
            "PATH": f"{shim.parent}:{around['PATH']}",
            "PYTHONPATH": str(ROOT),
            "BOOTSTRAPD_STATE": str(tmp_path / "state"),
            "BOOTSTRAPD_FLAKE": f"path:{tmp_path / 'flake'}",
        }
    )


@pytest.fixture
def flake(tmp_path: Path) -> Path:
    folder = tmp_path / "flake"
    for name in ("netboot", "tests/nix"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "flake.nix").write_text(FLAKE)
    return folder


def images(around: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bootstrapd.cli", "images", *words],
        env=around,
        capture_output=True,
        text=True,
        timeout=120,
    )


def told(ended: subprocess.CompletedProcess[str]) -> str:
    """The sentence that it ended with: the first of bootstrapd's own lines."""
    return next(line for line in ended.stderr.splitlines() if line.startswith("bootstrapd: "))


@pytest.mark.usefixtures("flake")
@pytest.mark.parametrize(("cpu", "kernel"), [("x86_64", "bzImage"), ("aarch64", "Image")])
def test_a_flake_is_built_and_its_image_is_there_whole(
    surroundings: dict[str, str], tmp_path: Path, cpu: str, kernel: str
) -> None:
    built = images(surroundings, "build", "--arch", cpu, "--json")
    assert built.returncode == 0, built.stderr
    image = json.loads(built.stdout)
    assert (image["name"], image["arch"], image["kind"]) == (f"installer-{cpu}", cpu, "nixos")
    assert any(line.startswith("building '") for line in built.stderr.splitlines())
    assert images(surroundings, "verify").stdout == "ok: 1 images\n"
    folder = tmp_path / f"state/images/installer-{cpu}"
    assert sorted(path.name for path in folder.iterdir()) == [*sorted((kernel, "initrd")), "manifest.json"]
    assert not any(path.is_symlink() for path in folder.iterdir())


@pytest.mark.usefixtures("flake")
def test_the_discovery_image_is_the_other_attribute(surroundings: dict[str, str]) -> None:
    built = images(surroundings, "build", "--attr", "discovery")
    assert built.returncode == 0, built.stderr
    assert built.stdout.splitlines()[0].startswith(f"discovery: nixos for {CPU}, ")


def test_what_the_flake_does_not_have_is_said(surroundings: dict[str, str], flake: Path) -> None:
    (flake / "flake.nix").write_text("{ outputs = _: { }; }")
    built = images(surroundings, "build")
    assert built.returncode == 3
    assert f"the flake has no packages.{CPU}-linux.installer; name the flake that has it" in told(built)


def test_an_image_that_nix_refuses_says_the_reason(surroundings: dict[str, str], flake: Path) -> None:
    base = flake / "netboot/base.nix"
    base.write_text(base.read_text().replace("init=${config", "noinit=${config"))
    built = images(surroundings, "build")
    assert built.returncode == 3
    assert "image installer: its command line has no init=/nix/store" in told(built)


def test_a_builder_that_fails_is_named(surroundings: dict[str, str], flake: Path) -> None:
    image = flake / "netboot/image.nix"
    image.write_text(image.read_text().replace('mkdir -p "$out"', "echo out of luck >&2; exit 7"))
    built = images(surroundings, "build")
    assert built.returncode == 3
    assert f"the build of bootstrapd-installer-{CPU} failed with exit code 7" in told(built)
    assert "out of luck" in built.stderr
    assert list((Path(surroundings["BOOTSTRAPD_STATE"]) / "images").iterdir()) == []
