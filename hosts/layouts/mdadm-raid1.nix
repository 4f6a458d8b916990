# Two disks, mirrored by md: the system stands on an ext4 on the array. Boots by BIOS and by UEFI, with either disk.
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

  # Both disks alike, each with an ESP and a boot loader of its own: firmware knows nothing of arrays. The ESPs have the
  # same label, so that a netbooted machine finds the one that is left.
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
        root = {
          size = "100%";
          content = {
            type = "mdraid";
            name = "root";
          };
        };
      };
    };
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
    mdadm.root = {
      type = "mdadm";
      level = 1;
      content = {
        type = "filesystem";
        format = "ext4";
        extraArgs = [ "-L" "nixos" ];
        mountpoint = "/";
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

  # A disk that has failed is told in the journal; set MAILADDR to have it by mail.
  boot.swraid.mdadmConf = lib.mkDefault "PROGRAM ${pkgs.writeShellScript "md-event" ''echo "md: $*" | ${pkgs.systemd}/bin/systemd-cat --priority=crit --identifier=mdadm''}";
}
