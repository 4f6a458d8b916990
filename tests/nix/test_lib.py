"""tests/nix/lib.nix means what nixpkgs' lib means, and the tools around it do not let a mistake pass."""

from __future__ import annotations

import json
import tomllib
from typing import Any, Final

import pytest
from nix_tools import NIX, NixError, build, evaluate, given

# `tryEval` catches what lib throws; an option set is looked at whole.
JUDGE: Final = """{ lib }:
let
  examples = import ./tests/nix/examples.nix { inherit lib; };
  whole = value: if value ? config && value ? options then value.config else value;
  refused = _: value: !(builtins.tryEval (builtins.deepSeq (whole value) true)).success;
in
{ inherit (examples) values; refused = builtins.mapAttrs refused examples.refused; }"""
OURS: Final = f"({JUDGE}) {{ lib = import ./tests/nix/lib.nix; }}"
RECORDED: Final = (
    NIX / "examples.json"
)  # of nixpkgs' lib 26.11: `test_the_real_lib_gives_the_same` says when it is old


def test_every_example_comes_out_as_with_nixpkgs() -> None:
    assert evaluate(OURS)["values"] == json.loads(RECORDED.read_text("utf-8"))


def test_every_mistake_is_refused() -> None:
    refused: dict[str, bool] = evaluate(OURS)["refused"]
    assert len(refused) > 30
    assert [name for name, was in refused.items() if not was] == []


def test_the_real_lib_gives_the_same() -> None:
    real = evaluate(
        f'{{ nixpkgs }}: ({JUDGE}) {{ lib = import (nixpkgs + "/lib"); }}', nixpkgs=given("NIXPKGS")
    )
    assert real["values"] == json.loads(RECORDED.read_text("utf-8"))
    assert [name for name, was in real["refused"].items() if not was] == []


def test_our_lib_has_nothing_that_the_real_one_has_not() -> None:
    missing = """{ nixpkgs }:
    let
      real = import (nixpkgs + "/lib");
      ours = import ./tests/nix/lib.nix;
      beyond = theirs: set: builtins.filter (name: !(theirs ? ${name})) (builtins.attrNames set);
    in
    beyond real ours ++ beyond real.types ours.types ++ beyond real.types.ints ours.types.ints"""
    assert evaluate(missing, nixpkgs=given("NIXPKGS")) == []


def system(*modules: str, look: str = "config") -> Any:
    base = '{ system.stateVersion = "25.11"; nixpkgs.hostPlatform = "x86_64-linux"; }'
    listed = " ".join(f"({module})" for module in (base, *modules))
    return evaluate(
        f"let system = import ./tests/nix/system.nix {{ modules = [ {listed} ]; }}; in system.{look}"
    )


def test_a_system_of_stub_options_evaluates() -> None:
    assert system('{ networking.hostName = "a"; }', look="config.networking.hostName") == "a"
    assert system(look="config.system.build.toplevel.drvPath").endswith("-nixos-system-nixos.drv")


@pytest.mark.parametrize(
    ("module", "look", "said"),
    [
        ("hardware.opengl.enable = true;", "hardware", "The option `hardware.opengl' does not exist"),
        ("services.nats.leafnode = { };", "services", "The option `services.nats.leafnode' does not exist"),
        ("services.nats.jetstream = { };", "services.nats.jetstream", "is not of type `boolean'"),
        ("networking.firewall.allowedTCPPorts = [ 70000 ];", "networking.firewall", "16 bit unsigned integer"),
        (
            "systemd.services.a.wantedby = [ ];",
            "systemd.services",
            "`systemd.services.a.wantedby' does not exist",
        ),
        ('networking.hostName = "a.b";', "networking.hostName", "`networking.hostName' is not of type"),
    ],
)
def test_a_wrong_option_is_an_error_with_its_name(module: str, look: str, said: str) -> None:
    with pytest.raises(NixError) as refused:
        system(f"{{ {module} }}", look=f"config.{look}")
    assert said in refused.value.message


def test_a_failed_assertion_refuses_the_system() -> None:
    with pytest.raises(NixError, match=r"Failed assertions:\s+- one is not two"):
        system('{ assertions = [ { assertion = 1 == 2; message = "one is not two"; } ]; }')


def test_a_package_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(NixError, match="attribute 'nats-srever' missing"):
        system(
            "{ pkgs, ... }: { environment.systemPackages = [ pkgs.nats-srever ]; }", look="config.environment"
        )


def test_arguments_reach_nix_as_they_are() -> None:
    value = {"text": 'a "b" ${c} \\ \n\t', "list": [1, -2, 0.5, None, True], "empty": {}, "é": "ü"}
    assert evaluate("{ value }: value", value=value) == value
    assert evaluate("{ file }: builtins.readFile file", file=NIX / "lib.nix") == (NIX / "lib.nix").read_text(
        "utf-8"
    )


def test_what_is_built_stands_in_a_store_of_its_own() -> None:
    toml = '{ a = 1; b.c = [ "x" true ]; b.d.e = 1.5; "k y" = "q\\"q"; none = null; }'
    made = build(
        f'let pkgs = import ./tests/nix/pkgs.nix {{ }}; in (pkgs.formats.toml {{ }}).generate "a.toml" {toml}'
    )
    assert not str(made).startswith("/nix/")
    assert tomllib.loads(made.read_text("utf-8")) == {
        "a": 1,
        "b": {"c": ["x", True], "d": {"e": 1.5}},
        "k y": 'q"q',
    }


REAL_OPTIONS: Final = """{ nixpkgs }:
let
  lib = import (nixpkgs + "/lib");
  evaluate = import (nixpkgs + "/nixos/lib/eval-config.nix");
  # A virtual machine's options are not among those that every system has.
  machine = nixpkgs + "/nixos/modules/virtualisation/qemu-vm.nix";
  real = (evaluate { inherit lib; system = "x86_64-linux"; modules = [ machine ]; }).options;
  ours = (import ./tests/nix/system.nix { modules = [ ]; }).options;
  # Where ours go deeper than theirs, theirs may be a submodule.
  has = path: set:
    if path == [ ] then true
    else if !(set ? ${lib.head path}) then false
    else if lib.isOption set.${lib.head path}
    then lib.tail path == [ ] || has (lib.tail path) (set.${lib.head path}.type.getSubOptions [ ])
    else has (lib.tail path) set.${lib.head path};
  walk = path: set: lib.concatLists (lib.mapAttrsToList (below path) set);
  below = path: name: value:
    let here = path ++ [ name ]; in
    if !lib.isOption value then walk here value
    else lib.optional (!has here real) (lib.showOption here);
in
walk [ ] (removeAttrs ours [ "_module" "disko" ])"""


def test_stub_options_are_options_of_the_real_nixos() -> None:
    """Each stub has its namesake in NixOS, so that a renamed or removed option is seen here first."""
    assert evaluate(REAL_OPTIONS, nixpkgs=given("NIXPKGS")) == []
