# One encrypted disk and a second, small one that holds its key: the machine starts by itself while both are in it, and
# `main` alone tells nobody anything. Take `key` out, or erase it, and the data is gone. Boots by BIOS and by UEFI.
#
# Nobody types a passphrase at the first boot of a machine in a rack, so there is none. The key is made on the machine,
# by disko, and stands nowhere else: not in the Nix store, not on the appliance, not on the network. Keep a copy of it
# (`dd if=/dev/disk/by-partlabel/disk-key-luks bs=4096 count=1`) if the data must outlive that small disk.
{ disks, profile, ... }:
let
  key = "/dev/disk/by-partlabel/disk-key-luks";
  keySize = 4096;
in
{
  disko.devices.disk = {
    key = {
      type = "disk";
      device = disks.key;
      content = {
        type = "gpt";
        partitions.luks.size = "1M"; # the key as it is, without a file system
      };
      postCreateHook = ''
        dd if=/dev/urandom of=${key} bs=${toString keySize} count=1 conv=fsync
      '';
    };
    main = {
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
              type = "luks";
              name = "root";
              settings = {
                keyFile = key;
                keyFileSize = keySize;
                allowDiscards = true;
              };
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
    };
  };
}
