# What an installed system needs so that the test driver can speak to it. The live installer has none of it: the first
# that answers the driver on a machine's console is the installed system.
{ lib, modulesPath, ... }:
{
  imports = [
    (modulesPath + "/testing/test-instrumentation.nix")
    (modulesPath + "/profiles/qemu-guest.nix")
    (modulesPath + "/profiles/minimal.nix")
  ];
  system.stateVersion = lib.trivial.release; # to the instrumentation's default and ours, which differ

  # The appliance must come to the very path that was built outside of it. There nixpkgs has a revision and a date, and
  # the manual, which names the files of all options, others than here. It is also less to copy to a machine's disk.
  system.nixos.versionSuffix = lib.mkForce ".test";
  system.nixos.revision = lib.mkForce "test";
  documentation.enable = false;
  nixpkgs.flake.setNixPath = false;
  nixpkgs.flake.setFlakeRegistry = false;
}
