# The appliance as something to write to a stick or a disk: two modules, each over appliance.nix. Neither knows the
# names of the links of the machine that it will run on; name them in a module of your own, as the template does.
#   iso: system.build.isoImage  a live appliance; its state is in RAM, or on a file system labelled "bootstrapd"
#   raw: system.build.raw       a disk image for UEFI; its root grows to the disk that it finds itself on
let
  # Drivers for whatever it finds itself on: an option since NixOS 25.05, a profile before.
  anyHardware =
    modulesPath:
    if builtins.pathExists "${modulesPath}/hardware/all-hardware.nix" then
      { hardware.enableAllHardware = true; }
    else
      { imports = [ "${modulesPath}/profiles/all-hardware.nix" ]; };

  image =
    { config, lib, ... }:
    let
      inherit (config.services.bootstrapd) settings;
      isAnyLink = settings.interfaces == [ ];
    in
    {
      imports = [ ./appliance.nix ];

      # With no link named, bootstrapd takes those that are not the default route's: it is heard on all of them.
      networking.firewall = {
        allowedUDPPorts = lib.mkIf isAnyLink [
          settings.dhcp.port
          settings.dhcp.pxe_port
          settings.tftp.port
        ];
        allowedTCPPorts = lib.mkIf isAnyLink settings.http.ports;
      };
      # An image has no password and, until you bring one, no key: who stands before the machine may log in.
      services.getty.autologinUser = lib.mkDefault "root";
      hardware.enableRedistributableFirmware = lib.mkDefault true; # network cards that need it
      documentation.enable = lib.mkDefault false;
      system.stateVersion = lib.mkDefault config.system.nixos.release; # a new image is a new machine
    };
in
{
  iso =
    {
      lib,
      pkgs,
      modulesPath,
      ...
    }:
    let
      label = "/dev/disk/by-label/bootstrapd";
    in
    {
      imports = [
        image
        (anyHardware modulesPath)
        "${modulesPath}/installer/cd-dvd/iso-image.nix"
      ];
      isoImage = {
        volumeID = lib.mkDefault "BOOTSTRAPD";
        makeEfiBootable = true;
        makeUsbBootable = true;
      };
      # Not a file system of the configuration: the daemon would wait for one that is not there, and then give up.
      systemd.services.bootstrapd-state = {
        description = "Keep the state of bootstrapd on the file system that is labelled so, where there is one";
        wantedBy = [ "bootstrapd.service" ];
        before = [
          "bootstrapd-images.service"
          "bootstrapd.service"
        ];
        wants = [ "systemd-udev-settle.service" ];
        after = [ "systemd-udev-settle.service" ];
        unitConfig.ConditionPathExists = label;
        serviceConfig = {
          Type = "oneshot";
          RemainAfterExit = true;
          ExecStart = "${pkgs.util-linux}/bin/mount ${label} /var/lib/bootstrapd";
        };
      };
    };

  raw =
    {
      config,
      lib,
      pkgs,
      modulesPath,
      ...
    }:
    {
      imports = [
        image
        (anyHardware modulesPath)
      ];
      # The labels are those that make-disk-image gives.
      fileSystems = {
        "/" = {
          device = "/dev/disk/by-label/nixos";
          fsType = "ext4";
          autoResize = true;
        };
        "/boot" = {
          device = "/dev/disk/by-label/ESP";
          fsType = "vfat";
        };
      };
      boot.growPartition = true;
      boot.loader.systemd-boot.enable = true;
      boot.loader.efi.canTouchEfiVariables = lib.mkDefault false; # the image is made on another machine
      boot.kernelParams = [
        "console=ttyS0,115200n8"
        "console=tty0"
      ];
      system.build.raw = import "${modulesPath}/../lib/make-disk-image.nix" {
        inherit config lib pkgs;
        name = "bootstrapd";
        format = "raw";
        partitionTableType = "efi";
        diskSize = "auto";
        additionalSpace = "2G"; # for the first image and the first build, until the root has grown
      };
    };
}
