# The system of profile cim-node: NVIDIA driver, CUDA, containers with GPUs; a NATS server with JetStream, a leaf node of
# the CIM's cluster once `cim.node.hub` names it; exporters of the machine, of NATS and of the GPUs (DCGM).
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkDefault mkOption types;
  cfg = config.cim.node;
  credentials = "/run/credentials/nats.service";
  exporters = config.services.prometheus.exporters;
in
{
  options.cim.node = {
    hub = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "tls://hub.example.org:7422" ];
      description = "The cluster that the node's NATS server is a leaf node of; none: it stands alone.";
    };
    credentialsFile = mkOption {
      type = types.nullOr (types.strMatching "/.*");
      default = null;
      example = "/var/lib/secrets/leaf.creds";
      description = "The .creds file to log in to the hub with, on the node, readable by root.";
    };
    domain = mkOption {
      type = types.strMatching "[A-Za-z0-9_-]+";
      default = config.networking.hostName;
      defaultText = lib.literalExpression "config.networking.hostName";
      description = "JetStream's domain: each leaf node has its own, so that the hub can source its streams.";
    };
    cuda = mkOption {
      type = types.bool;
      default = true;
      description = "CUDA's compiler and libraries on the host; containers bring their own.";
    };
    openFirewall = mkOption {
      type = types.bool;
      default = false;
      description = "Let others read the exporters' ports.";
    };
    dcgmPort = mkOption {
      type = types.port;
      default = 9400;
      description = "Where the GPUs' metrics are served.";
    };
  };

  config = {
    assertions = [
      {
        assertion = cfg.credentialsFile == null || !lib.hasPrefix builtins.storeDir cfg.credentialsFile;
        message = "cim.node.credentialsFile is in the Nix store, which everybody can read: name a file outside of it";
      }
    ];

    # -- the GPU

    services.xserver.videoDrivers = [ "nvidia" ]; # chooses the driver; no X server is started
    hardware.graphics.enable = true;
    hardware.nvidia = {
      open = true; # NVIDIA's own choice for Turing and newer, and the profile asks for nothing older
      nvidiaPersistenced = mkDefault true; # without a display, the driver would forget the GPU between two users
      nvidiaSettings = false;
    };
    hardware.nvidia-container-toolkit.enable = true;
    virtualisation.podman.enable = mkDefault true;
    environment.systemPackages = lib.optional cfg.cuda pkgs.cudaPackages.cudatoolkit;
    nixpkgs.config.allowUnfreePredicate =
      package:
      builtins.any (prefix: lib.hasPrefix prefix (lib.getName package)) [
        "nvidia"
        "cuda"
        "libcu"
        "nsight"
        "libnpp"
        "libnv"
        "datacenter-gpu-manager"
      ];

    # -- NATS

    services.nats = {
      enable = true;
      serverName = config.networking.hostName;
      jetstream = true;
      settings = {
        host = "127.0.0.1"; # the node's own programs; all others are the hub's clients
        http = "127.0.0.1:8222"; # for the exporter
        jetstream = {
          inherit (cfg) domain;
          max_mem = mkDefault "4G";
          max_file = mkDefault "100G";
        };
        leafnodes.remotes = map (
          url:
          { inherit url; } // lib.optionalAttrs (cfg.credentialsFile != null) { credentials = "${credentials}/leaf.creds"; }
        ) cfg.hub;
      };
    };
    systemd.services.nats.serviceConfig.LoadCredential = lib.mkIf (
      cfg.credentialsFile != null
    ) "leaf.creds:${cfg.credentialsFile}";

    # -- metrics

    services.prometheus.exporters = {
      node = {
        enable = true;
        enabledCollectors = [ "systemd" ];
      };
      nats = {
        enable = true;
        url = "http://127.0.0.1:8222";
      };
    };

    # nixpkgs has the program, and no module for it.
    systemd.services.prometheus-dcgm-exporter = {
      description = "Prometheus exporter of NVIDIA's GPUs (DCGM)";
      wantedBy = [ "multi-user.target" ];
      after = [ "network.target" "nvidia-persistenced.service" ];
      environment.LD_LIBRARY_PATH = "/run/opengl-driver/lib"; # the driver's NVML
      serviceConfig = {
        ExecStart = "${lib.getExe' pkgs.prometheus-dcgm-exporter "dcgm-exporter"} --address :${toString cfg.dcgmPort}";
        Restart = "always";
        RestartSec = 10;
        DynamicUser = true;
        RuntimeDirectory = "dcgm-exporter";
        WorkingDirectory = "/run/dcgm-exporter";
        DeviceAllow = [
          "char-nvidia rw"
          "char-nvidiactl rw"
          "char-nvidia-frontend rw"
          "char-nvidia-uvm rw"
          "char-nvidia-caps rw"
        ];
        DevicePolicy = "closed";
        CapabilityBoundingSet = "";
        LockPersonality = true;
        NoNewPrivileges = true;
        ProtectClock = true;
        ProtectControlGroups = true;
        ProtectHome = true;
        ProtectHostname = true;
        ProtectKernelLogs = true;
        ProtectKernelModules = true;
        ProtectKernelTunables = true;
        ProtectSystem = "strict";
        RestrictAddressFamilies = [
          "AF_INET"
          "AF_INET6"
          "AF_UNIX"
        ];
        RestrictNamespaces = true;
        RestrictRealtime = true;
        SystemCallArchitectures = "native";
        UMask = "0077";
      };
    };

    networking.firewall.allowedTCPPorts = lib.mkIf cfg.openFirewall [
      exporters.node.port
      exporters.nats.port
      cfg.dcgmPort
    ];
  };
}
