"""What the module gives to NixOS: unit files, firewall, folders, user; each compared with what is in golden/.

`REWRITE_GOLDENS=1 pytest tests/appliance` writes them anew; read the diff before you keep it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
from nix_tools import NIX, evaluate

from .checks import EXPOSURE_MAX, exposure, firewall_mistakes
from .rendered import APPLIANCE, SCRIPTS, appliance, unit_text, without_hashes
from .test_settings import EVERYTHING

GOLDEN: Final = Path(__file__).parent / "golden"
UNITS: Final = ("bootstrapd", "bootstrapd-images")
NEEDS_ANALYZE: Final = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="needs systemd-analyze: .ci/install test"
)


@pytest.fixture(scope="module")
def made() -> Any:
    return appliance(EVERYTHING | {"openFirewall": True})


def compare(name: str, text: str) -> None:
    golden = GOLDEN / name
    if os.environ.get("REWRITE_GOLDENS"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("name", UNITS)
def test_the_unit_is_as_it_was(made: Any, name: str) -> None:
    compare(f"{name}.service", without_hashes(unit_text(made["units"][name])))


def test_all_else_is_as_it_was(made: Any) -> None:
    rest = {key: made[key] for key in ("firewall", "tmpfiles", "user", "groups", "packages", "settings")}
    compare("system.json", without_hashes(json.dumps(rest, indent=2, sort_keys=True)) + "\n")


def test_no_port_is_open_unless_told() -> None:
    shut: dict[str, Any] = {"allowedTCPPorts": [], "allowedUDPPorts": [], "interfaces": {}}
    assert appliance({"interfaces": ["enp3s0"]})["firewall"] == shut


def test_what_is_open_is_what_is_served(made: Any) -> None:
    assert firewall_mistakes(made) == []
    assert set(made["firewall"]["interfaces"]) == {"enp3s0", "br-lan"}


def test_a_declared_image_restarts_not_the_daemon() -> None:
    image = f"{evaluate('builtins.storeDir')}/some-image"
    before, after = (appliance({"images": images})["units"] for images in ({}, {"installer": image}))
    assert before["bootstrapd"] == after["bootstrapd"]
    assert before["bootstrapd-images"] != after["bootstrapd-images"]


@NEEDS_ANALYZE
@pytest.mark.parametrize("name", UNITS)
def test_systemd_has_nothing_to_say_of_the_unit(name: str, tmp_path: Path) -> None:
    text = unit_text(appliance(EVERYTHING, package=str(SCRIPTS))["units"][name])
    file = tmp_path / f"{name}.service"
    file.write_text(re.sub(r"/\S*/store/\w+-coreutils-1.0/", "/", text))  # what it starts must be there
    ran = subprocess.run(("systemd-analyze", "verify", file), capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


@NEEDS_ANALYZE
@pytest.mark.parametrize("name", UNITS)
def test_the_unit_exposes_little(made: Any, name: str, tmp_path: Path) -> None:
    assert exposure(unit_text(made["units"][name]), tmp_path) <= EXPOSURE_MAX


def test_evaluating_takes_one_small_process() -> None:
    """No time is asserted: the module comes to a value without nixpkgs. 0.4 s here, most of it Nix's start."""
    assert appliance({})["user"]["home"] == "/var/lib/bootstrapd"
    assert {path.name for path in APPLIANCE.glob("*.nix")} >= {"module.nix", "settings.nix", "hardening.nix"}
    assert (NIX / "appliance.nix").exists()
