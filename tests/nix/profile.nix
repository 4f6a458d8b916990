# A profile's module as a system of one host: over the stub options, or, where they are given, over all of NixOS or
# nix-darwin. `profiles` is the repository's folder, or a copy that a test has broken.
{
  profiles ? ../../hosts/profiles,
  name,
  extra ? { },
  nixpkgs ? null,
}:
let
  modules = [
    (profiles + "/${name}.nix")
    {
      nixpkgs.hostPlatform = "x86_64-linux";
      networking.hostName = "node-1";
      system.stateVersion = "25.05";
    }
    extra
  ];
  real = import (nixpkgs + "/nixos/lib/eval-config.nix") {
    lib = import (nixpkgs + "/lib");
    system = null;
    modules = modules ++ [
      {
        boot.loader.grub.enable = false;
        fileSystems."/" = {
          device = "/dev/vda";
          fsType = "ext4";
        };
      }
    ];
  };
  chosen = if nixpkgs == null then import ./system.nix { inherit modules; } else real;
  config = chosen.config;
  failures = map (one: one.message) (builtins.filter (one: !one.assertion) config.assertions);
  dcgm = config.systemd.services.prometheus-dcgm-exporter or null;
in
{
  failures = if nixpkgs == null then chosen.failures else failures;
  inherit (config.boot) kernelParams extraModprobeConfig;
  inherit (config.services.xserver) videoDrivers;
  nvidia = config.hardware.nvidia.open;
  graphics = config.hardware.graphics.enable;
  containers = config.hardware.nvidia-container-toolkit.enable;
  nats = {
    inherit (config.services.nats) enable jetstream serverName settings;
    credentials = config.systemd.services.nats.serviceConfig.LoadCredential or null;
  };
  exporters = builtins.mapAttrs (name: _: config.services.prometheus.exporters.${name}.enable) {
    node = null;
    nats = null;
  };
  ports = config.networking.firewall.allowedTCPPorts;
  libvirt = config.virtualisation.libvirtd.enable;
  dcgm = if dcgm == null then null else { inherit (dcgm) serviceConfig; library = dcgm.environment.LD_LIBRARY_PATH; };
  mayInstall = map (pname: config.nixpkgs.config.allowUnfreePredicate or (_: false) { inherit pname; }) [ "nvidia-x11" "cuda_nvcc" "libcublas" "steam" ];
}
