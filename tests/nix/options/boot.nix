# Stub of NixOS: kernel, stage 1, boot loaders.
{ config, lib, pkgs, ... }:
let
  inherit (lib) types;
  d = import ../declare.nix { inherit lib; };
  filesystems = d.optional (types.coercedTo (types.listOf types.str) (names: lib.genAttrs names (_: true)) (types.attrsOf types.bool)) { };
in
{
  options.boot = {
    kernelPackages = d.optional types.raw pkgs.linuxPackages;
    kernelParams = d.list (types.strMatching ''([^"[:space:]]|"[^"]*")+'');
    kernelModules = d.list types.str;
    extraModulePackages = d.list types.package;
    extraModprobeConfig = d.text;
    blacklistedKernelModules = d.list types.str;
    kernel.sysctl = d.optional (types.submodule { freeformType = types.attrsOf (types.nullOr (types.oneOf [ types.bool types.str types.int ])); }) { };
    consoleLogLevel = d.optional types.int 4;
    growPartition = d.on;
    supportedFilesystems = filesystems;
    tmp = { useTmpfs = d.on; cleanOnBoot = d.on; tmpfsSize = d.optional (types.oneOf [ types.str types.ints.positive ]) "50%"; };
    swraid = { enable = d.on; mdadmConf = d.text; };
    zfs = {
      forceImportRoot = d.flag true;
      forceImportAll = d.on;
      devNodes = d.optional types.path "/dev/disk/by-id";
      extraPools = d.list types.str;
      requestEncryptionCredentials = d.optional (types.either types.bool (types.listOf types.str)) true;
      package = d.optional types.package pkgs.zfs;
    };
    initrd = {
      enable = d.flag true;
      availableKernelModules = d.list types.str;
      kernelModules = d.list types.str;
      supportedFilesystems = filesystems;
      includeDefaultModules = d.flag true;
      secrets = d.table (types.nullOr (types.either types.path types.str));
      compressor = d.optional (types.either types.str (types.functionTo types.str)) "zstd";
      compressorArgs = d.maybe (types.listOf types.str);
      luks.devices = d.tables {
        device = d.required types.path;
        keyFile = d.maybe types.str;
        keyFileSize = d.maybe types.int;
        keyFileTimeout = d.maybe types.int;
        fallbackToPassword = d.on;
        allowDiscards = d.on;
        bypassWorkqueues = d.on;
        preLVM = d.flag true;
        crypttabExtraOpts = d.list types.singleLineStr;
      };
      services.lvm.enable = d.on;
      systemd = {
        enable = d.on;
        emergencyAccess = d.optional (types.either types.bool types.str) false;
        network.enable = d.on;
      };
      network.enable = d.on;
    };
    loader = {
      timeout = d.optional (types.nullOr types.int) 5;
      efi = { canTouchEfiVariables = d.on; efiSysMountPoint = d.optional types.str "/boot"; };
      grub = {
        enable = d.flag (!config.boot.loader.systemd-boot.enable);
        device = d.optional types.str "";
        devices = d.list types.str;
        mirroredBoots = d.listOfTables {
          path = d.required types.str;
          efiSysMountPoint = d.maybe types.str;
          efiBootloaderId = d.maybe types.str;
          devices = d.list types.str;
        };
        efiSupport = d.on;
        efiInstallAsRemovable = d.on;
        zfsSupport = d.on;
        configurationLimit = d.optional types.int 100;
        copyKernels = d.on;
        default = d.optional (types.either types.int types.str) "0";
        extraConfig = d.text;
        extraEntries = d.text;
        useOSProber = d.on;
        splashImage = d.maybe types.path;
        timeoutStyle = d.optional (types.enum [ "menu" "countdown" "hidden" ]) "menu";
        memtest86.enable = d.on;
      };
      systemd-boot = {
        enable = d.on;
        editor = d.flag true;
        configurationLimit = d.maybe types.int;
        consoleMode = d.optional (types.enum [ "0" "1" "2" "auto" "max" "keep" ]) "keep";
        graceful = d.on;
        memtest86.enable = d.on;
        extraInstallCommands = d.text;
        xbootldrMountPoint = d.maybe types.str;
      };
      generic-extlinux-compatible.enable = d.on;
    };
  };
}
