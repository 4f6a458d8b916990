# In an installed system: reports to the appliance, once, that it runs. The unit is the one of
# bootstrapd-report.service beside this file, key by key; a test compares them. The appliance refuses to install a
# system without it (etc/systemd/system/bootstrapd-report.service in its closure).
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.bootstrapd-report;
in
{
  options.services.bootstrapd-report = {
    enable = lib.mkEnableOption "the report of the first boot to the bootstrapd that installed this system" // {
      default = true;
    };
    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.callPackage ./package.nix { };
      defaultText = lib.literalExpression "pkgs.callPackage ./package.nix { }";
      description = "The agent that reports.";
    };
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];

    systemd.services.bootstrapd-report = {
      description = "Report to bootstrapd that this system runs";
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      # The report tells the SSH host keys: sshd's first start makes them.
      after = [
        "network-online.target"
        "sshd-keygen.service"
        "sshd.service"
        "ssh.service"
      ];
      unitConfig.ConditionPathExists = "/var/lib/bootstrapd-report/token";
      # The agent itself asks again for ever; this bounds only how often it may die.
      startLimitIntervalSec = 3600;
      startLimitBurst = 20;
      serviceConfig = {
        Type = "exec";
        ExecStart = "${cfg.package}/bin/bootstrapd-agent report";
        Restart = "on-failure";
        RestartSec = 30;
        # 1: the appliance refused it, with the reason; 2: it cannot report at all. Neither changes by itself.
        RestartPreventExitStatus = "1 2";
        UMask = "0077";

        CapabilityBoundingSet = "";
        NoNewPrivileges = true;
        ProtectSystem = "strict";
        ReadWritePaths = "/var/lib/bootstrapd-report";
        ProtectHome = true;
        PrivateTmp = true;
        ProtectKernelTunables = true;
        ProtectKernelModules = true;
        ProtectControlGroups = true;
        RestrictAddressFamilies = "AF_UNIX AF_INET AF_INET6";
        RestrictNamespaces = true;
        LockPersonality = true;
        MemoryDenyWriteExecute = true;
        SystemCallArchitectures = "native";
      };
    };
  };
}
