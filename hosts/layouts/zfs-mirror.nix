# Two disks, mirrored by ZFS: system, store, homes and /var are datasets of the pool `rpool`, compressed. Boots by BIOS
# and by UEFI, with either disk. ZFS needs `networking.hostId`, which system.nix makes of the host's name.
{
  disks,
  lib,
  pkgs,
  profile,
  ...
}:
let
  boot = {
    main = "/boot";
    mirror = "/boot-mirror";
  };

  # Both disks alike, each with an ESP and a boot loader of its own: the kernels are there, and not in the pool. The ESPs
  # have the same label, so that a netbooted machine finds the one that is left.
  half = device: mountpoint: {
    type = "disk";
    inherit device;
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
            inherit mountpoint;
            mountOptions = [ "umask=0077" "nofail" ]; # its disk may be gone
          };
        };
        zfs = {
          size = "100%";
          content = {
            type = "zfs";
            pool = "rpool";
          };
        };
      };
    };
  };

  dataset = mountpoint: {
    type = "zfs_fs";
    inherit mountpoint;
    options.mountpoint = "legacy"; # mounted by systemd, as every other file system
  };

  loaderOn = device: path: {
    inherit path;
    devices = [ (if pkgs.stdenv.hostPlatform.isx86 then device else "nodev") ];
  };
in
{
  disko.devices = {
    disk.main = half disks.main boot.main;
    disk.mirror = half disks.mirror boot.mirror;
    zpool.rpool = {
      type = "zpool";
      mode = "mirror";
      options.ashift = "12";
      rootFsOptions = {
        acltype = "posixacl";
        atime = "off";
        compression = "zstd";
        mountpoint = "none";
        xattr = "sa";
      };
      datasets = {
        root = dataset "/";
        nix = dataset "/nix";
        home = dataset "/home";
        var = dataset "/var";
      };
    };
  };

  boot.loader.grub = {
    devices = lib.mkOverride 40 [ ]; # disko names both disks here for one /boot, and system.nix none on ARM
    mirroredBoots = [
      (loaderOn disks.main boot.main)
      (loaderOn disks.mirror boot.mirror)
    ];
  };

  boot.zfs.forceImportRoot = lib.mkDefault false; # the installer exports the pool before it reboots
  services.zfs.autoScrub.enable = lib.mkDefault true;
}
