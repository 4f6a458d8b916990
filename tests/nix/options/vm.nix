# Stub of NixOS: what makes a system a virtual machine of the test framework (virtualisation/qemu-vm.nix).
{ lib, ... }:
let
  inherit (lib) types;
  d = import ../declare.nix { inherit lib; };
in
{
  options.virtualisation = {
    cores = d.optional types.ints.positive 1;
    memorySize = d.optional types.ints.positive 1024;
    diskSize = d.optional types.ints.positive 1024;
    diskImage = d.optional (types.nullOr types.str) "./vm.qcow2";
    emptyDiskImages = d.list types.ints.positive;
    directBoot.enable = d.flag true;
    mountHostNixStore = d.flag true;
    sharedDirectories = d.anything;
    useBootLoader = d.on;
    useEFIBoot = d.on;
    vlans = d.optional (types.listOf types.ints.positive) [ 1 ];
    qemu = {
      networkingOptions = d.list types.str;
      options = d.list types.str;
      drives = d.listOfTables {
        file = d.required types.str;
        driveExtraOpts = d.table types.str;
        deviceExtraOpts = d.table types.str;
      };
    };
  };
}
