# A hosts folder: the appliance reads it as data, and builds what it installs from it. Write your copy of the
# repository for OWNER; `nix flake lock` fixes which one, and which nixpkgs.
{
  inputs.bootstrapd.url = "github:OWNER/bootstrapd?dir=nixos-appliance";

  outputs = { bootstrapd, ... }: bootstrapd.lib.fleet { folder = ./.; };
}
