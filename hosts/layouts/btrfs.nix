# One disk, btrfs: subvolumes for the system, the store, homes and logs, compressed. Boots by BIOS and by UEFI.
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
        root = {
          size = "100%";
          content = {
            type = "btrfs";
            extraArgs = [ "-f" "-L" "nixos" ];
            subvolumes = {
              "/root" = {
                mountpoint = "/";
                mountOptions = [ "compress=zstd" ];
              };
              "/nix" = {
                mountpoint = "/nix";
                mountOptions = [ "compress=zstd" "noatime" ];
              };
              "/home" = {
                mountpoint = "/home";
                mountOptions = [ "compress=zstd" ];
              };
              "/log" = {
                mountpoint = "/var/log";
                mountOptions = [ "compress=zstd" ];
              };
            };
          };
        };
      };
    };
  };

  services.btrfs.autoScrub.enable = true;
}
