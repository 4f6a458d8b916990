# What an installed system needs so that the test driver can speak to it. The live installer has none of it: the first
# that answers the driver on a machine's console is the installed system.
{ modulesPath, ... }:
{
  imports = [
    (modulesPath + "/testing/test-instrumentation.nix")
    (modulesPath + "/profiles/qemu-guest.nix")
    (modulesPath + "/profiles/minimal.nix")
  ];
  # Neither the manual nor nixpkgs itself in what is copied to a machine's disk: and the manual's text has the paths of
  # the modules in it, which are others on the appliance.
  documentation.enable = false;
  nixpkgs.flake.setNixPath = false;
  nixpkgs.flake.setFlakeRegistry = false;
}
