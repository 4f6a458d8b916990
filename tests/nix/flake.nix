# The outputs of a flake of ours, as `nix` would get them, without fetching an input: with the stubs in the place of
# nixpkgs and of nixos-anywhere, or with the folder of a real nixpkgs. To look at: `self` has no hash and no revision.
{
  folder ? ../../nixos-appliance,
  nixpkgs ? null, # a folder
  disko ? null,
}:
let
  stub = rec {
    outPath = "/nixpkgs";
    lib = import ./lib.nix // {
      nixosSystem = _: throw "there is no NixOS here: NIXPKGS names the folder of a real nixpkgs";
    };
    legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (system: import ./pkgs.nix { inherit lib system; });
  };
  real =
    let
      lib = import (nixpkgs + "/lib");
    in
    {
      outPath = nixpkgs;
      lib = lib // {
        nixosSystem = given: import (nixpkgs + "/nixos/lib/eval-config.nix") ({ lib = real.lib; system = null; } // given);
      };
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (system: import nixpkgs { inherit system; });
    };
  package = system: {
    default = derivation {
      name = "nixos-anywhere";
      inherit system;
      builder = "/bin/sh";
    };
  };
  inputs = {
    self = outputs // {
      outPath = folder;
      sourceInfo = {
        outPath = folder + "/..";
        narHash = "";
      };
    };
    nixpkgs = if nixpkgs == null then stub else real;
    disko = {
      outPath = if disko == null then "/disko" else disko;
      nixosModules = rec {
        disko = if inputs.disko.outPath == "/disko" then { } else import (inputs.disko.outPath + "/module.nix");
        default = disko;
      };
    };
    nixos-anywhere.packages = {
      x86_64-linux = package "x86_64-linux";
      aarch64-linux = package "aarch64-linux";
    };
  };
  outputs = (import (folder + "/flake.nix")).outputs inputs;
in
outputs
