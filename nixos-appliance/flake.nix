# Used as github:…/bootstrapd?dir=nixos-appliance: the whole repository is fetched, and ../hosts and ../netboot with it.
{
  description = "bootstrapd: turns bare metal into running NixOS over the network";

  inputs = {
    # nats-py 2.15 or newer; the package says so where it is older.
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
    disko = {
      url = "github:nix-community/disko";
      inputs.nixpkgs.follows = "nixpkgs";
    };
    nixos-anywhere = {
      url = "github:nix-community/nixos-anywhere";
      inputs.nixpkgs.follows = "nixpkgs";
      inputs.disko.follows = "disko";
    };
  };

  outputs =
    {
      self,
      nixpkgs,
      disko,
      nixos-anywhere,
      ...
    }:
    let
      inherit (nixpkgs) lib;
      eachSystem = lib.genAttrs [
        "x86_64-linux"
        "aarch64-linux"
      ];
      packageFor =
        pkgs:
        pkgs.callPackage ./package.nix {
          nixos-anywhere = nixos-anywhere.packages.${pkgs.stdenv.hostPlatform.system}.default;
        };
      # The module sets no overlay, which NixOS tests refuse: the package comes from here.
      withPackage =
        module:
        { pkgs, ... }:
        {
          imports = [ module ];
          services.bootstrapd.package = lib.mkDefault (packageFor pkgs);
        };
      image = import ./image.nix;
      appliance =
        system: module:
        lib.nixosSystem {
          modules = [
            (withPackage module)
            { nixpkgs.hostPlatform = system; }
          ];
        };
      fleet = import ../hosts { inherit nixpkgs disko; };
      # The template's fleet, evaluated: its systems' paths, none of them built.
      evaluated =
        pkgs:
        pkgs.writeText "fleet.json" (
          builtins.toJSON (
            lib.mapAttrs (_: host: builtins.unsafeDiscardStringContext host.config.system.build.toplevel.drvPath)
              (fleet { folder = ./templates/hosts; }).nixosConfigurations
          )
        );
      stories = ../vm-tests/nixos;
    in
    {
      packages = eachSystem (
        system:
        let
          bootstrapd = packageFor nixpkgs.legacyPackages.${system};
          netboot = import ../netboot { inherit nixpkgs system; };
        in
        {
          inherit bootstrapd;
          inherit (netboot) installer discovery;
          default = bootstrapd;
          iso = (appliance system image.iso).config.system.build.isoImage;
          raw = (appliance system image.raw).config.system.build.raw;
        }
      );

      overlays.default = final: _: { bootstrapd = packageFor final; };

      nixosModules = rec {
        bootstrapd = withPackage ./module.nix;
        default = bootstrapd;
        appliance = withPackage ./appliance.nix;
        iso = withPackage image.iso;
        raw = withPackage image.raw;
        # Attribute sets: `nix flake check` takes no path for a module.
        installer.imports = [ ../netboot/installer.nix ];
        discovery.imports = [ ../netboot/discovery.nix ];
        report.imports = [ ../netboot/agent/module.nix ];
      };

      nixosConfigurations.appliance = appliance "x86_64-linux" image.raw;

      lib = { inherit fleet; };

      templates = {
        default = {
          path = ./templates/appliance;
          description = "An appliance of your own";
        };
        hosts = {
          path = ./templates/hosts;
          description = "A hosts folder: machines as data, NixOS by profile and layout";
        };
      };

      checks = eachSystem (
        system:
        let
          pkgs = nixpkgs.legacyPackages.${system};
        in
        {
          package = self.packages.${system}.bootstrapd;
          fleet = evaluated pkgs;
        }
        // lib.optionalAttrs (builtins.pathExists (stories + "/default.nix")) (
          import stories {
            inherit pkgs nixpkgs disko;
            bootstrapd = self;
          }
        )
      );
    };
}
