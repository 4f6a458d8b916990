# The flake.nix and flake.lock of a hosts folder whose inputs are store paths: what evaluates it needs no network, and by
# the hash in the lock Nix knows that it has them. The inputs are flakes as a flake's `outputs` gets them.
{
  lib,
  nixpkgs,
  disko,
  bootstrapd,
}:
let
  source = input: {
    type = "path";
    path = "${input}";
  };
  locked = input: {
    original = source input;
    locked = source input // { inherit (input) narHash; };
  };
in
{
  flake = ''
    {
      inputs.nixpkgs.url = "path:${nixpkgs}";
      inputs.disko.url = "path:${disko}";
      inputs.disko.inputs.nixpkgs.follows = "nixpkgs";
      inputs.bootstrapd.url = "path:${bootstrapd}";
      inputs.bootstrapd.flake = false;
      outputs = { nixpkgs, disko, bootstrapd, ... }:
        import "''${bootstrapd}/hosts" { inherit nixpkgs disko; } { folder = ./.; };
    }
  '';

  lock = builtins.toJSON {
    version = 7;
    root = "root";
    nodes = {
      root.inputs = lib.genAttrs [ "nixpkgs" "disko" "bootstrapd" ] (name: name);
      nixpkgs = locked nixpkgs;
      disko = locked disko // {
        inputs.nixpkgs = [ "nixpkgs" ];
      };
      bootstrapd = locked bootstrapd // {
        flake = false;
      };
    };
  };
}
