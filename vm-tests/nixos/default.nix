# Every story of stories/, as a test of the NixOS test framework: { <name> = derivation; }. A story is found by its file,
# there is no list. nixos-appliance/flake.nix makes them its checks; README.md says how to run one.
#
#   import ./vm-tests/nixos { inherit pkgs nixpkgs disko; bootstrapd = self; }
#
# stories/<name>.nix is a function of `rack` (rack.nix) and comes to one test, or to a set of them, each then called
# <name>_<variant>. stories/<name>.py is its script; story.py, which they share, goes in front.
{
  pkgs,
  nixpkgs,
  disko,
  bootstrapd,
  lib ? pkgs.lib,
  # Replaced where there is no nixpkgs to run a test with, to look at what a story is made of.
  runTest ? pkgs.testers.runNixOSTest,
  fleet ? null,
}:
let
  rack = import ./rack.nix { inherit lib pkgs nixpkgs disko bootstrapd fleet; };

  files = lib.filter (lib.hasSuffix ".nix") (builtins.attrNames (builtins.readDir ./stories));
  tests = lib.concatMap (
    file:
    let
      name = lib.removeSuffix ".nix" file;
      made = import (./stories + "/${file}") { inherit rack; };
    in
    if made ? testScript then
      [ (lib.nameValuePair name made) ]
    else
      lib.mapAttrsToList (variant: lib.nameValuePair "${name}_${variant}") made
  ) files;
in
# The machines of the stories are PCs; QEMU's BIOS is for no other.
lib.optionalAttrs pkgs.stdenv.hostPlatform.isx86_64 (
  lib.mapAttrs (
    name: test:
    runTest (
      test
      // {
        inherit name;
        defaults.documentation.enable = lib.mkDefault false;
        globalTimeout = 3 * 60 * 60; # of every story: what goes wrong ends, and says where
      }
    )
  ) (lib.listToAttrs tests)
)
