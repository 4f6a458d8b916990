# The system of profile cim-mac, for nix-darwin: a Mac Studio that runs day and night, with a NATS server that is a leaf
# node of the CIM's cluster once `cim.mac.hub` names it, and the CIM's own daemon once `cim.mac.command` does.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.cim.mac;
  files = 524288;
  state = "/var/lib/nats";

  # A daemon that starts with the machine, stays, and says what it has to say in /var/log.
  daemon = name: {
    KeepAlive = true;
    RunAtLoad = true;
    StandardOutPath = "/var/log/${name}.log";
    StandardErrorPath = "/var/log/${name}.log";
    SoftResourceLimits.NumberOfFiles = files;
    HardResourceLimits.NumberOfFiles = files;
  };

  natsConfig = pkgs.writeText "nats.conf" (
    builtins.toJSON {
      server_name = config.networking.hostName;
      host = "127.0.0.1";
      port = 4222;
      http = "127.0.0.1:8222";
      jetstream = {
        store_dir = state;
        inherit (cfg) domain;
        max_mem = "4G";
        max_file = "100G";
      };
      leafnodes.remotes = map (
        url: { inherit url; } // lib.optionalAttrs (cfg.credentialsFile != null) { credentials = cfg.credentialsFile; }
      ) cfg.hub;
    }
  );
in
{
  options.cim.mac = {
    hub = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "tls://hub.example.org:7422" ];
      description = "The cluster that the Mac's NATS server is a leaf node of; none: it stands alone.";
    };
    credentialsFile = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "/var/db/cim/leaf.creds";
      description = "The .creds file to log in to the hub with, on the Mac, readable by root.";
    };
    domain = mkOption {
      type = types.strMatching "[A-Za-z0-9_-]+";
      default = config.networking.hostName;
      defaultText = lib.literalExpression "config.networking.hostName";
      description = "JetStream's domain.";
    };
    command = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "/opt/cim/bin/cim-agent" ];
      description = "The CIM's daemon and its arguments; none: there is no such daemon.";
    };
  };

  config = {
    nix.enable = true;
    nix.settings.experimental-features = [
      "nix-command"
      "flakes"
    ];

    # -- it does not sleep, and comes back by itself

    power = {
      sleep.computer = "never";
      sleep.display = 10;
      sleep.harddisk = "never";
      restartAfterPowerFailure = true;
      restartAfterFreeze = true;
    };

    # -- daemons

    environment.systemPackages = [ pkgs.nats-server ];
    system.activationScripts.preActivation.text = "install -d -m 0700 ${state}";

    launchd.daemons = {
      nats.serviceConfig = daemon "nats" // {
        ProgramArguments = [
          (lib.getExe pkgs.nats-server)
          "--config"
          "${natsConfig}"
        ];
        ThrottleInterval = 10;
      };
      # What a login shell and all else may open; launchd's own default is 256.
      limit-maxfiles.serviceConfig = {
        ProgramArguments = [
          "/bin/launchctl"
          "limit"
          "maxfiles"
          (toString files)
          (toString files)
        ];
        RunAtLoad = true;
      };
    }
    // lib.optionalAttrs (cfg.command != [ ]) {
      cim.serviceConfig = daemon "cim" // {
        ProgramArguments = cfg.command;
        EnvironmentVariables.NATS_URL = "nats://127.0.0.1:4222";
      };
    };
  };
}
