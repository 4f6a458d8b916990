# What the stories of vm-tests/nixos are made of, as data that JSON can carry: their scripts as the driver gets them, and
# their nodes as the stub options take them. `module` is the appliance's NixOS module, where there is one.
{ module }:
let
  lib = import ./lib.nix;
  pkgs = import ./pkgs.nix { inherit lib; };

  input = name: {
    outPath = "/nix/store/00000000000000000000000000000000-${name}";
    narHash = "sha256-${name}";
    lastModified = 1;
    lib = { };
  };
  system = name: {
    config.system.build = lib.genAttrs [ "toplevel" "diskoScript" ] (
      output: "/nix/store/00000000000000000000000000000000-${name}-${output}"
    );
  };

  stories = import ../../vm-tests/nixos {
    inherit pkgs;
    nixpkgs = input "nixpkgs";
    disko = input "disko";
    bootstrapd = {
      sourceInfo = input "bootstrapd";
      nixosModules.bootstrapd.imports = [
        module
        { services.bootstrapd.package = pkgs.hello or pkgs.jq; }
      ];
      packages.${pkgs.stdenv.hostPlatform.system}.installer = pkgs.linux;
    };
    fleet.nixosConfigurations = lib.mapAttrs (name: _: system name) (builtins.readDir ../../vm-tests/nixos/hosts);
    runTest = test: test;
  };

  node = module: import ./system.nix {
    specialArgs.utils = import ./utils.nix { inherit lib; };
    modules = [ module ];
  };
  machine = module: {
    inherit ((node module).config.virtualisation) directBoot useBootLoader useEFIBoot emptyDiskImages qemu vlans;
  };
in
lib.mapAttrs (_: test: {
  inherit (test) name testScript;
  nodes = lib.attrNames test.nodes;
  machines = lib.mapAttrs (_: machine) (removeAttrs test.nodes [ "appliance" "site" ]);
  appliance =
    let
      inherit ((node test.nodes.appliance).config) nix services system;
    in
    {
      inherit (services.bootstrapd) settings interfaces;
      images = lib.attrNames services.bootstrapd.images;
      store = map toString system.extraDependencies;
      inherit (nix.settings) substituters;
    };
  site = (node test.nodes.site).config.services.dnsmasq;
}) stories
