# In a live system that an appliance booted: registers with it. Which appliance, with which token, and the appliance's
# own agent come with every boot, as /bootstrapd in one more initrd (bootstrapd/wire/cpio.py); stage 1 hands them on.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.bootstrapd-agent;
  carry = to: import ./carry.nix { inherit to; keys = cfg.carryKeys; };
  # The appliance's agent speaks the appliance's language; the image's own is for an image that was booted by hand,
  # with bootstrapd.server= and bootstrapd.token= on the command line.
  start = pkgs.writeShellScript "bootstrapd-agent" ''
    if [ -r /bootstrapd/agent ]; then exec ${pkgs.runtimeShell} /bootstrapd/agent register; fi
    exec ${cfg.package}/bin/bootstrapd-agent register
  '';
in
{
  options.services.bootstrapd-agent = {
    enable = lib.mkEnableOption "the registration with the bootstrapd that booted this live system" // {
      default = true;
    };
    package = lib.mkOption {
      type = lib.types.package;
      default = pkgs.callPackage ./package.nix { withHostKey = config.services.openssh.enable; };
      defaultText = lib.literalExpression "pkgs.callPackage ./package.nix { }";
      description = "The agent for boots that bring none, and the programs on the PATH of either.";
    };
    carryKeys = lib.mkOption {
      type = lib.types.bool;
      default = config.services.openssh.enable;
      defaultText = lib.literalExpression "config.services.openssh.enable";
      description = "Whether the SSH keys that come with the boot may log in as root.";
    };
  };

  config = lib.mkIf cfg.enable {
    systemd.services.bootstrapd-agent = {
      description = "Register with the bootstrapd that booted this system";
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      # The appliance comes in over SSH, pinned to the key that was registered: both are there first.
      after = [
        "network-online.target"
        "sshd-keygen.service"
        "sshd.service"
        "sshd.socket"
      ];
      path = cfg.package.programs;
      startLimitIntervalSec = 3600;
      startLimitBurst = 20;
      serviceConfig = {
        Type = "exec";
        ExecStart = start;
        Restart = "on-failure";
        RestartSec = 10;
        # 1: the appliance refused it, with the reason; 2: this boot brought no token. Another boot may.
        RestartPreventExitStatus = "1 2";
        UMask = "0077";

        # It reads every disk and writes none, and speaks on the console.
        DevicePolicy = "closed";
        DeviceAllow = [
          "block-* r"
          "/dev/console w"
        ];
        NoNewPrivileges = true;
        ProtectSystem = "strict";
        ReadWritePaths = "-/etc/ssh"; # where no sshd has made a host key
        ProtectHome = true;
        PrivateTmp = true;
        ProtectKernelTunables = true;
        ProtectKernelModules = true;
        ProtectControlGroups = true;
        RestrictAddressFamilies = "AF_UNIX AF_INET AF_INET6 AF_NETLINK";
        RestrictNamespaces = true;
        LockPersonality = true;
        MemoryDenyWriteExecute = true;
        SystemCallArchitectures = "native";
      };
    };

    # Stage 1 as a script ...
    boot.initrd.postMountCommands = lib.mkIf (!config.boot.initrd.systemd.enable) (carry "/mnt-root");

    # ... or as systemd's.
    boot.initrd.systemd.services.bootstrapd-overlay = lib.mkIf config.boot.initrd.systemd.enable {
      description = "Hand on what the boot brought for bootstrapd's agent";
      wantedBy = [ "initrd.target" ];
      before = [
        "initrd.target"
        "initrd-switch-root.target"
      ];
      unitConfig = {
        DefaultDependencies = false;
        RequiresMountsFor = "/sysroot";
      };
      serviceConfig.Type = "oneshot";
      script = carry "/sysroot";
    };
  };
}
