# A NixOS configuration of our modules over the stub options: what `nixosSystem` is with nixpkgs. `config` is refused
# when an assertion fails, as NixOS refuses to build; `unchecked` and `failures` are there to look at that.
{
  modules,
  specialArgs ? { },
  system ? "x86_64-linux",
  lib ? import ./lib.nix,
  pkgs ? import ./pkgs.nix { inherit lib system; },
}:
let
  stubs = lib.mapAttrsToList (name: _: ./options + "/${name}") (builtins.readDir ./options);
  evaluated = lib.evalModules {
    class = "nixos";
    specialArgs = { modulesPath = "/nixpkgs/nixos/modules"; } // specialArgs;
    modules = stubs ++ [ { _module.args = { inherit pkgs; }; } ] ++ modules;
  };
  unchecked = evaluated.config;
  failures = map (assertion: assertion.message) (lib.filter (assertion: !assertion.assertion) unchecked.assertions);
in
evaluated
// {
  inherit failures pkgs unchecked;
  inherit (unchecked) warnings;
  config = if failures == [ ] then unchecked else throw "Failed assertions:\n- ${lib.concatStringsSep "\n- " failures}";
}
