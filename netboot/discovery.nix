# The live system for machines that no host claims (unknown = "discover"): tells the appliance what they are. Nobody
# logs in, it cannot install, and the kernel refuses every write to a disk, whoever tries.
{ lib, pkgs, ... }:
{
  imports = [ ./base.nix ];

  system.nixos.variant_id = "discovery"; # not an installer: the appliance's probe and nixos-anywhere refuse it

  services.openssh.enable = lib.mkForce false;
  nix.enable = false;
  system.disableInstallerTools = true;
  services.lvm.enable = false;

  # Every disk, as soon as the kernel finds it; the store's loop device and RAM disks are no disks.
  services.udev.extraRules = ''
    ACTION=="add|change", SUBSYSTEM=="block", KERNEL!="loop*|ram*|zram*|sr*", RUN+="${pkgs.util-linux}/bin/blockdev --setro $devnode"
  '';
}
