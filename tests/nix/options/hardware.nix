# Stub of NixOS: hardware.
{ config, lib, pkgs, ... }:
let
  inherit (lib) types;
  d = import ../declare.nix { inherit lib; };
in
{
  options.hardware = {
    enableRedistributableFirmware = d.on;
    enableAllFirmware = d.on;
    firmware = d.list types.package;
    cpu = lib.genAttrs [ "intel" "amd" ] (_: { updateMicrocode = d.on; });
    graphics = { enable = d.on; enable32Bit = d.on; extraPackages = d.list types.package; };
    nvidia = {
      open = d.maybe types.bool;
      package = d.optional types.package config.boot.kernelPackages.nvidiaPackages.stable;
      modesetting.enable = d.on;
      nvidiaPersistenced = d.on;
      nvidiaSettings = d.flag true;
      powerManagement.enable = d.on;
      datacenter.enable = d.on;
    };
    nvidia-container-toolkit = { enable = d.on; mount-nvidia-executables = d.flag true; mounts = d.list types.attrs; };
  };
  options.services.xserver = { enable = d.on; videoDrivers = d.list types.str; };
}
