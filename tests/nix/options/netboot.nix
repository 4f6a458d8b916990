# Stub of NixOS: what only live systems touch. nixpkgs' netboot modules themselves: tests/nix/nixos.
{ lib, pkgs, ... }:
let
  inherit (lib) types;
  d = import ../declare.nix { inherit lib; };
in
{
  options = {
    system.nixos.release = d.optional types.str "25.11";
    boot.bcache.enable = d.flag true;
    boot.initrd = {
      postMountCommands = d.text;
      preLVMCommands = d.text;
      systemd.services = d.tables {
        description = d.optional types.str "";
        wantedBy = d.list types.str;
        before = d.list types.str;
        after = d.list types.str;
        unitConfig = d.section;
        serviceConfig = d.section;
        script = d.text;
      };
    };
    services.openssh.authorizedKeysInHomedir = d.flag true;
  };
}
