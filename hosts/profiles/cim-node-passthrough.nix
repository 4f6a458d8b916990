# The system of profile cim-node-passthrough: the GPUs belong to vfio-pci from the first moment on, and so to the virtual
# machines of libvirt. No NVIDIA driver is installed here: the machines have their own.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  inherit (config.cim.passthrough) gpus;
in
{
  options.cim.passthrough.gpus = mkOption {
    type = types.listOf (types.strMatching "[0-9a-f]{4}:[0-9a-f]{4}");
    default = [ ];
    example = [
      "10de:2230"
      "10de:1aef"
    ];
    description = ''
      PCI ids of the GPUs, and of their audio functions: what `bootstrapd machines show` lists, and `lspci -nn` on the
      machine. Every device of such an id is taken.
    '';
  };

  config = {
    assertions = [
      {
        assertion = gpus != [ ];
        message = "cim.passthrough.gpus: expected the PCI ids of the GPUs such as \"10de:2230\" (`bootstrapd machines show` lists them), found none";
      }
    ];

    boot = {
      # AMD's IOMMU is on by itself; "pt" spares the host's own devices the translation.
      kernelParams = [
        "intel_iommu=on"
        "iommu=pt"
      ];
      # Before any driver that would take the GPU.
      initrd.kernelModules = [
        "vfio_pci"
        "vfio"
        "vfio_iommu_type1"
      ];
      extraModprobeConfig = "options vfio-pci ids=${lib.concatStringsSep "," gpus}";
      blacklistedKernelModules = [
        "nouveau"
        "nvidiafb"
      ];
    };

    virtualisation.libvirtd = {
      enable = true;
      qemu.package = pkgs.qemu_kvm;
      qemu.swtpm.enable = true;
      onBoot = "start";
    };
  };
}
