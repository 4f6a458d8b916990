# The live system that installs: the appliance logs in with its key, and nixos-anywhere and disko do their work.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.bootstrapd.netboot;
in
{
  imports = [ ./base.nix ];

  options.bootstrapd.netboot.authorizedKeys = lib.mkOption {
    type = lib.types.listOf lib.types.singleLineStr;
    default = [ ];
    example = [ "ssh-ed25519 AAAAC3Nz… operator" ];
    description = "Public keys of people who may log in as root, beside the appliance's, which comes with every boot.";
  };

  config = {
    # nixos-anywhere looks for ID=nixos and this, and else would kexec.
    system.nixos.variant_id = "installer";

    services.openssh = {
      enable = true;
      authorizedKeysInHomedir = lib.mkForce true; # where stage 1 puts the appliance's
      # One key, of the kind that the agent registers first: an RSA key takes a slow machine half a minute.
      hostKeys = lib.mkForce [
        {
          path = "/etc/ssh/ssh_host_ed25519_key";
          type = "ed25519";
        }
      ];
      settings = {
        PermitRootLogin = "prohibit-password";
        PasswordAuthentication = false;
        KbdInteractiveAuthentication = false;
      };
    };
    users.users.root.openssh.authorizedKeys.keys = cfg.authorizedKeys;

    # All comes from the appliance, over SSH: a machine without the Internet must not wait for it.
    nix.settings = {
      experimental-features = [
        "nix-command"
        "flakes"
      ];
      substituters = lib.mkForce [ ];
      connect-timeout = 5;
    };

    # For pre-cleaning old disks, for what disko's scripts take from the system, for a person who looks.
    boot.supportedFilesystems = {
      btrfs = true;
      ext4 = true;
      f2fs = true;
      vfat = true;
      xfs = true;
      zfs = lib.mkDefault true;
    };
    networking.hostId = lib.mkDefault "8425e349"; # zfs wants one; an installed system has its own
    boot.kernelModules = [
      "dm-raid" # not loaded by itself, not even by `mdadm --create`
      "dm-crypt"
    ];
    environment.systemPackages = with pkgs; [
      btrfs-progs
      cryptsetup
      dosfstools
      e2fsprogs
      efibootmgr
      gptfdisk
      jq
      lvm2
      mdadm # without its udev rules, which assemble what they see
      nixos-facter
      nvme-cli
      parted
      pciutils
      rsync
      util-linux
      xfsprogs
    ];
    boot.kernel.sysctl."vm.overcommit_memory" = "1"; # nix forks, and all of this is RAM
  };
}
