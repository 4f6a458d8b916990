# The stories through the real test framework, as far as an evaluation goes: each node's options are checked, each
# assertion holds, and the driver has its script. Nothing is built. `nixpkgs` and `disko` are folders.
{ nixpkgs, disko }:
let
  lib = import (nixpkgs + "/lib");
  pkgs = import nixpkgs { system = "x86_64-linux"; };
  framework = import (nixpkgs + "/nixos/lib") { inherit lib; };

  flake = folder: {
    outPath = folder;
    narHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    lastModified = 1;
  };

  stories = import ../../vm-tests/nixos {
    inherit lib pkgs;
    nixpkgs = flake nixpkgs // {
      lib = lib // {
        nixosSystem = args: import (nixpkgs + "/nixos/lib/eval-config.nix") ({ inherit lib; system = null; } // args);
      };
    };
    disko = flake disko // {
      nixosModules.disko = import (disko + "/module.nix");
      nixosModules.default = import (disko + "/module.nix");
    };
    bootstrapd = {
      sourceInfo = flake ../..;
      nixosModules.bootstrapd = {
        imports = [ ../../nixos-appliance/module.nix ];
        services.bootstrapd.package = pkgs.hello; # the flake sets its own
      };
      packages.x86_64-linux.installer = pkgs.hello;
    };
    fleet = if builtins.pathExists ../../hosts/default.nix then null else { nixosConfigurations.single-disk.config.system.build = { toplevel = pkgs.hello; diskoScript = pkgs.hello; }; };
    runTest =
      test:
      (framework.evalTest {
        imports = [ test ];
        hostPkgs = pkgs;
        node.pkgs = pkgs;
        node.pkgsReadOnly = true;
      }).config;
  };

  node = config: {
    failed = map (assertion: assertion.message) (lib.filter (assertion: !assertion.assertion) config.assertions);
    vm = config.system.build.vm.drvPath;
    qemu = config.virtualisation.qemu.options ++ config.virtualisation.qemu.networkingOptions;
    drives = map (drive: drive.deviceExtraOpts) config.virtualisation.qemu.drives;
    mounts = lib.attrNames config.fileSystems;
    units = lib.length (lib.attrNames config.systemd.units);
  };
in
lib.mapAttrs (_: story: {
  driver = story.driver.drvPath;
  script = story.testScriptString;
  nodes = lib.mapAttrs (_: node) story.nodes;
}) stories
