# Two disks: the system on `main`, as single-disk.nix has it, and all of `data` for /data. An install erases both.
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

  disko.devices.disk.data = {
    type = "disk";
    device = disks.data;
    content = {
      type = "gpt";
      partitions.data = {
        size = "100%";
        content = {
          type = "filesystem";
          format = "ext4";
          extraArgs = [ "-L" "data" ];
          mountpoint = "/data";
          mountOptions = [ "nofail" ]; # the system comes up without it
        };
      };
    };
  };
}
