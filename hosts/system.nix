# What every installed host is: its name and address, a boot loader that any firmware finds, SSH with keys alone.
# All of it is a default that a profile or a host's configuration.nix may replace.
{
  config,
  lib,
  pkgs,
  host,
  profile,
  disks,
  ...
}:
let
  inherit (lib) mkDefault;
  isX86 = pkgs.stdenv.hostPlatform.isx86;
  hasKeys = config.users.users.root.openssh.authorizedKeys.keys != [ ];
  used = map (disk: disk.device) (lib.attrValues config.disko.devices.disk);
  declared = if host.disk != { } then host.disk else profile.disk or { };
  unused = lib.filter (role: !lib.elem disks.${role} used) (lib.attrNames declared);
in
{
  imports = [ ./address.nix ];

  networking.hostName = mkDefault host.name;
  # ZFS asks for it, and imports a pool only on the machine of this id.
  networking.hostId = mkDefault (lib.substring 0 8 (builtins.hashString "sha256" host.name));

  services.openssh = {
    enable = mkDefault true;
    settings = {
      PasswordAuthentication = mkDefault false;
      KbdInteractiveAuthentication = mkDefault false;
      PermitRootLogin = mkDefault "prohibit-password";
    };
  };
  services.bootstrapd-report.enable = mkDefault (profile.report == "agent");

  # GRUB in the place where firmware, and the iPXE of a ready machine, look without being told: EFI/BOOT/BOOTX64.EFI. By
  # grub-install it finds its disk itself, which older iPXE builds leave to the loader (docs/trouble.md). The same disk
  # boots by BIOS where the layout has a partition for that (EF02): kernels are on the ESP in any case.
  boot.loader.grub = {
    enable = mkDefault (!config.boot.loader.systemd-boot.enable);
    efiSupport = mkDefault true;
    efiInstallAsRemovable = mkDefault true;
    configurationLimit = mkDefault 10; # they share the ESP
    # Nothing but a PC has a BIOS.
    devices = lib.mkIf (!isX86) (lib.mkForce [ "nodev" ]);
  };
  # Else its disk would stand before the network in the firmware's order for ever.
  boot.loader.efi.canTouchEfiVariables = mkDefault false;

  # What servers and virtual machines have their disks behind; the hardware itself is not known before it has booted.
  boot.initrd.availableKernelModules = [
    "ahci"
    "nvme"
    "sd_mod"
    "megaraid_sas"
    "mpt3sas"
    "smartpqi"
    "aacraid"
    "virtio_pci"
    "virtio_blk"
    "virtio_scsi"
    "xhci_pci"
    "usbhid"
    "usb_storage"
  ];
  hardware.enableRedistributableFirmware = mkDefault true;
  hardware.cpu = lib.mkIf isX86 {
    intel.updateMicrocode = mkDefault config.hardware.enableRedistributableFirmware;
    amd.updateMicrocode = mkDefault config.hardware.enableRedistributableFirmware;
  };

  # Set your own in a profile: the NixOS release that its machines were first installed with.
  system.stateVersion = mkDefault "25.05";

  warnings = lib.optional (!hasKeys) ''
    nobody can log in to ${host.name}: there is no key in hosts/authorized_keys (one public key a line), nor in its own configuration'';

  assertions = [
    {
      # Every device is looked at: a role that the host lacks is said by the system too, not by the disko script alone.
      assertion = builtins.deepSeq used (profile.layout == "" || unused == [ ]);
      message = "hosts/${host.name}/host.toml: layout ${profile.layout} has no use for ${
        lib.concatMapStringsSep ", " (role: "[disk.${role}]") unused
      }, and the disk would be erased all the same: take it away, or name another layout";
    }
  ];
}
