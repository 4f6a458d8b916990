# What every Mac of the fleet is, with nix-darwin: its name, and SSH for those with a key.
{ lib, host, ... }:
{
  networking.hostName = lib.mkDefault host.name;
  networking.computerName = lib.mkDefault host.name;
  nixpkgs.hostPlatform = lib.mkDefault "aarch64-darwin";
  services.openssh.enable = lib.mkDefault true;
  # Set your own: what nix-darwin's changelog calls the version that the Mac was set up with.
  system.stateVersion = lib.mkDefault 6;
}
