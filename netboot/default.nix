# The images as packages: `import ../netboot { inherit nixpkgs; system = "x86_64-linux"; }` in a flake.
{
  nixpkgs,
  system,
  modules ? [ ], # more of your own, for both
}:
let
  image =
    module:
    (import "${nixpkgs}/nixos/lib/eval-config.nix" {
      lib = nixpkgs.lib or (import "${nixpkgs}/lib"); # a flake's, or that of a folder
      system = null;
      modules = [
        module
        { nixpkgs.hostPlatform = system; }
      ]
      ++ modules;
    }).config.system.build.bootstrapdImage;
in
{
  installer = image ./installer.nix;
  discovery = image ./discovery.nix;
}
