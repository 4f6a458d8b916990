# Stub of disko (module.nix of disko): the layout as it was given. tests/test_nix_layouts.py looks closer.
{ lib, pkgs, config, ... }:
let
  inherit (lib) types;
  d = import ../declare.nix { inherit lib; };
in
{
  options.disko = {
    devices = lib.genAttrs [ "disk" "mdadm" "lvm_vg" "zpool" "nodev" ] (_: d.table types.anything);
    enableConfig = d.flag true;
    imageBuilder = d.anything;
    memSize = d.optional types.int 1024;
    tests = d.anything;
  };
  config.system.build = {
    diskoScript = pkgs.writeText "disko" (builtins.toJSON config.disko.devices);
  };
}
