# An appliance of your own. Write your copy of the repository for OWNER, and your link and keys into appliance.nix.
#
#   nix build .#raw                                    an image for a disk, for UEFI
#   nixos-rebuild switch --flake .#appliance --target-host root@ADDRESS    a change, later
{
  inputs.bootstrapd.url = "github:OWNER/bootstrapd?dir=nixos-appliance";
  inputs.nixpkgs.follows = "bootstrapd/nixpkgs";

  outputs =
    { nixpkgs, bootstrapd, ... }:
    let
      appliance = nixpkgs.lib.nixosSystem {
        specialArgs = { inherit bootstrapd; };
        modules = [
          bootstrapd.nixosModules.raw
          ./appliance.nix
        ];
      };
    in
    {
      nixosConfigurations.appliance = appliance;
      packages.x86_64-linux.raw = appliance.config.system.build.raw;
    };
}
