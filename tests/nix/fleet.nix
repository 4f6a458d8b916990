# hosts/default.nix over the stub options: a function of its arguments, as a user's flake calls it. Where `nixpkgs` (and
# `disko`) are real sources, over those.
{
  nixpkgs ? null,
  disko ? null,
  darwin ? null,
}:
let
  ours = import ./lib.nix;
  stub = {
    lib = ours // {
      nixosSystem = args: import ./system.nix args;
    };
  };
  real = rec {
    lib = import (nixpkgs + "/lib") // {
      nixosSystem = args: import (nixpkgs + "/nixos/lib/eval-config.nix") ({ inherit lib; system = null; } // args);
    };
  };
  mac.nix-darwin.lib.darwinSystem =
    args:
    import (darwin + "/eval-config.nix") (
      args
      // {
        inherit (real) lib;
        enableNixpkgsReleaseCheck = false;
        modules = args.modules ++ [ { nixpkgs.source = nixpkgs; } ]; # as its flake does
      }
    );
in
args:
import ../../hosts {
  nixpkgs = if nixpkgs == null then stub else real;
  disko.nixosModules.disko = if disko == null then { } else disko + "/module.nix";
} ((if darwin == null then { } else mac) // args)
