# One disk for everything, ext4: a machine boots it by BIOS and by UEFI alike.
# `disks` comes from hosts/<name>/disks.json, the disks that were chosen for the host: { main = "/dev/disk/by-id/…"; }
{ disks, profile, ... }:
{
  disko.devices.disk.main = {
    type = "disk";
    device = disks.main;
    content = {
      type = "gpt";
      partitions = {
        bios = {
          size = "1M";
          type = "EF02"; # GRUB's core, for machines without UEFI
        };
        ESP = {
          size = "512M";
          type = "EF00";
          content = {
            type = "filesystem";
            format = "vfat";
            # The label is how a netbooted machine finds its loader.
            extraArgs = [ "-F" "32" "-n" profile.esp_label ];
            mountpoint = "/boot";
            mountOptions = [ "umask=0077" ];
          };
        };
        root = {
          size = "100%";
          content = {
            type = "filesystem";
            format = "ext4";
            extraArgs = [ "-L" "nixos" ];
            mountpoint = "/";
          };
        };
      };
    };
  };
}
