"""docs/nixos.md: what it shows of Nix evaluates, what it shows of a shell are commands of ours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
from command_lines import parse as parse_command
from nix_tools import ROOT, evaluate, parse

PAGES: Final = ("docs/nixos.md", "nixos-appliance/README.md", "README.md", "docs/config.md", "docs/install.md")
TEMPLATE: Final = ROOT / "nixos-appliance/templates/hosts/flake.nix"
BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND: Final = re.compile(
    r"^(?:[^#\n]*\b)?bootstrapd ((?:hosts|machines|images|topology|check-config|status|watch)[^#<\n]*)"
)


def blocks(page: str, kind: str) -> list[str]:
    return [text for found, text in BLOCK.findall((ROOT / page).read_text("utf-8")) if found == kind]


def code(text: str) -> str:
    """Without comments and blank lines."""
    lines = (re.sub(r"(^|\s)#[^\n]*", "", line).rstrip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)


@pytest.mark.parametrize("page", PAGES)
def test_what_is_nix_parses(page: str, tmp_path: Path) -> None:
    for number, text in enumerate(blocks(page, "nix")):
        whole = text if text.lstrip().startswith("{") else f"{{\n{text}}}"
        (tmp_path / f"{number}.nix").write_text(whole, "utf-8")
        parse([tmp_path / f"{number}.nix"])


def test_the_module_is_an_appliance(tmp_path: Path) -> None:
    """As `nixosSystem` takes it, but for the imports: the module is given here."""
    (shown,) = (text for text in blocks("docs/nixos.md", "nix") if "services.bootstrapd" in text)
    expression = """{ module }:
    let
      bootstrapd = { nixosModules.bootstrapd = { }; packages.x86_64-linux.installer = "installer"; };
      shown = import module { inherit bootstrapd; };
      found = import ./tests/nix/appliance.nix {
        services = builtins.removeAttrs shown.services.bootstrapd [ "images" ];
      };
    in
    { images = builtins.attrNames shown.services.bootstrapd.images; inherit (found) settings; }"""
    (tmp_path / "shown.nix").write_text(shown, "utf-8")
    found = evaluate(expression, module=tmp_path / "shown.nix")
    assert found["images"] == ["installer"]
    assert found["settings"]["interfaces"] == ["enp3s0"]


def test_the_flake_of_the_fleet_is_the_templates() -> None:
    (shown,) = (text for text in blocks("docs/nixos.md", "nix") if "lib.fleet" in text)
    assert code(shown) == code(TEMPLATE.read_text("utf-8"))


def test_the_outputs_that_are_named_are_there() -> None:
    page = (ROOT / "docs/nixos.md").read_text("utf-8")
    named = set(re.findall(r"nixos-appliance#([\w.-]+)", page))
    assert named == {"hosts", "checks.x86_64-linux.boot_and_register"}
    expression = """
      let flake = import ./tests/nix/flake.nix { }; in
      { templates = builtins.attrNames flake.templates; checks = builtins.attrNames flake.checks.x86_64-linux; }
    """
    found = evaluate(expression)
    assert "hosts" in found["templates"]
    assert "boot_and_register" in found["checks"]


@pytest.mark.parametrize("page", ["docs/nixos.md", "README.md", "docs/install.md"])
def test_what_is_typed_is_a_command(page: str) -> None:
    typed = [
        line
        for kind, text in BLOCK.findall((ROOT / page).read_text("utf-8"))
        for line in text.splitlines()
        if kind == "console"
    ]
    typed += re.findall(r"^ {4}(.*)$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    found = [match[1].strip() for line in typed if (match := COMMAND.match(line))]
    assert found
    for line in found:
        parse_command(line)
