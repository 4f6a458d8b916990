# One disk, LVM: the volume group has 40 % left for volumes of your own, and for snapshots. Boots by BIOS and by UEFI.
{ disks, profile, ... }:
{
  disko.devices = {
    disk.main = {
      type = "disk";
      device = disks.main;
      content = {
        type = "gpt";
        partitions = {
          bios = {
            size = "1M";
            type = "EF02";
          };
          ESP = {
            size = "1G";
            type = "EF00";
            content = {
              type = "filesystem";
              format = "vfat";
              extraArgs = [ "-F" "32" "-n" profile.esp_label ];
              mountpoint = "/boot";
              mountOptions = [ "umask=0077" ];
            };
          };
          lvm = {
            size = "100%";
            content = {
              type = "lvm_pv";
              vg = "system";
            };
          };
        };
      };
    };
    lvm_vg.system = {
      type = "lvm_vg";
      lvs.root = {
        size = "60%VG";
        content = {
          type = "filesystem";
          format = "ext4";
          extraArgs = [ "-L" "nixos" ];
          mountpoint = "/";
        };
      };
    };
  };
}
