# NixOS module of the appliance: services.bootstrapd. It opens no port unless told, and sets no overlay.
# config.toml is made from `settings` and checked by `bootstrapd check-config` while the system is built.
{
  config,
  lib,
  pkgs,
  utils,
  ...
}:
let
  inherit (lib)
    mkIf
    mkOption
    types
    ;
  cfg = config.services.bootstrapd;
  inherit (cfg) settings;

  stateDir = "/var/lib/bootstrapd";
  runtimeDir = "/run/bootstrapd";
  # systemd copies them there before each start, readable by the service alone.
  credentialsDir = "/run/credentials/bootstrapd.service";
  isInStore = path: lib.hasPrefix builtins.storeDir "${path}";

  toml = pkgs.formats.toml { };
  configFile = toml.generate "bootstrapd-config.toml" settings;
  imagesDir = if settings.paths.images == "" then "${stateDir}/images" else settings.paths.images;
  declaredImages = pkgs.linkFarm "bootstrapd-images" cfg.images;
  # The same settings, with the declared images in the place of the folder that only the machine has.
  configWithImages = toml.generate "bootstrapd-config-with-images.toml" (
    lib.recursiveUpdate settings { paths.images = "${declaredImages}"; }
  );
  # `content`, once bootstrapd has found no mistake in `config`.
  checked =
    name: config: content:
    if pkgs.stdenv.buildPlatform.canExecute pkgs.stdenv.hostPlatform then
      pkgs.runCommand name { nativeBuildInputs = [ cfg.package ]; } ''
        bootstrapd check-config ${config}
        ln -s ${content} $out
      ''
    else
      content;
  checkedConfig = checked "config.toml" configFile configFile;
  checkedImages = checked "bootstrapd-images-checked" configWithImages declaredImages;

  # The service is another user than who wrote the files, and these are outside of its state folder.
  writableElsewhere = lib.filter (path: path != "" && !isInStore path && !lib.hasPrefix stateDir path) [
    settings.paths.hosts
    settings.paths.images
  ];
  links = map (
    name: "sys-subsystem-net-devices-${utils.escapeSystemdPath name}.device"
  ) settings.interfaces;
  secret = mkOption {
    type = types.nullOr (types.strMatching "/.*");
    default = null;
  };
  hardening = import ./hardening.nix;
in
{
  options.services.bootstrapd = {
    enable = lib.mkEnableOption "bootstrapd, which turns bare metal into running NixOS over the network";

    package = mkOption {
      type = types.package;
      default = pkgs.bootstrapd or (pkgs.callPackage ./package.nix { });
      defaultText = lib.literalExpression "pkgs.bootstrapd, or the one built from this tree";
      description = "The bootstrapd package.";
    };

    interfaces = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "enp3s0" ];
      description = "The links to serve; see `settings.interfaces` for what none means.";
    };

    settings = mkOption {
      type = types.submodule {
        freeformType = toml.type;
        options = import ./settings.nix { inherit lib; };
      };
      default = { };
      description = "config.toml. A key that bootstrapd does not know ends the build with its name.";
    };

    hostsDir = mkOption {
      type = types.nullOr types.path;
      default = null;
      example = lib.literalExpression "./hosts";
      description = ''
        The hosts folder. null: /var/lib/bootstrapd/hosts, edited on the appliance. A path of your
        configuration: a read-only copy in the store, checked at build time.
      '';
    };

    images = mkOption {
      type = types.attrsOf types.package;
      default = { };
      example = lib.literalExpression "{ installer = bootstrapd.packages.x86_64-linux.installer; }";
      description = ''
        What machines boot: folders with the `manifest.json` of an image, linked into the images folder by
        name. Images that `bootstrapd images add` put there stay.
      '';
    };

    openFirewall = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Open the ports of DHCP, the PXE boot server, TFTP and HTTP on `interfaces`, and nowhere else. The
        operator's API is not opened.
      '';
    };

    natsCredentialsFile = secret // {
      example = "/run/secrets/nats.creds";
      description = "The .creds file for `nats.url` or `nats.leaf_of`, readable by root; the service gets a copy.";
    };

    deploymentKeyFile = secret // {
      example = "/run/secrets/deploy_ed25519";
      description = ''
        The private SSH key that logs in to live systems, its public half beside it as `.pub`, both readable by
        root; the service gets copies. null: one is made at the first start, and stays on the appliance.
      '';
    };
  };

  config = mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.openFirewall -> settings.interfaces != [ ];
        message = "services.bootstrapd.openFirewall opens ports on named links only: set services.bootstrapd.interfaces";
      }
      {
        assertion = settings.paths.state == stateDir && settings.paths.runtime == runtimeDir;
        message = ''
          services.bootstrapd.settings.paths: state and runtime are the unit's own folders, ${stateDir} and
          ${runtimeDir}: mount another disk there instead
        '';
      }
    ]
    ++ map (name: {
      assertion = builtins.match "[a-z0-9][a-z0-9._-]{0,62}" name != null;
      message = "services.bootstrapd.images.${name}: an image's name is 1 to 63 of a-z, 0-9, . _ -, a letter or digit first";
    }) (builtins.attrNames cfg.images)
    ++ map (name: {
      assertion = cfg.${name} == null || !isInStore cfg.${name};
      message = "services.bootstrapd.${name} is in the Nix store, which everybody can read: name a file outside of it";
    }) [ "natsCredentialsFile" "deploymentKeyFile" ];

    services.bootstrapd.settings = {
      interfaces = mkIf (cfg.interfaces != [ ]) cfg.interfaces;
      paths.hosts = mkIf (cfg.hostsDir != null) "${cfg.hostsDir}";
      nats.credentials = mkIf (cfg.natsCredentialsFile != null) "${credentialsDir}/nats.creds";
      install.key_file = mkIf (cfg.deploymentKeyFile != null) "${credentialsDir}/deploy_key";
    };

    # TFTP's transfers need no port of their own here: each begins with our packet from a new port, so that the
    # machine's answers belong to a known connection. DHCP questions from 0.0.0.0 pass the reverse path filter.
    networking.firewall.interfaces = mkIf cfg.openFirewall (
      lib.genAttrs settings.interfaces (_: {
        allowedUDPPorts = [
          settings.dhcp.port
          settings.dhcp.pxe_port
          settings.tftp.port
        ];
        allowedTCPPorts = settings.http.ports;
      })
    );

    users.users.bootstrapd = {
      isSystemUser = true;
      group = "bootstrapd";
      home = stateDir;
      description = "bootstrapd";
    };
    # Its members are operators: they may talk to the socket, and write hosts and images.
    users.groups.bootstrapd = { };

    environment.systemPackages = [ cfg.package ];
    environment.etc."bootstrapd/config.toml".source = checkedConfig; # what the CLI reads
    environment.etc."bootstrapd/images".source = checkedImages; # what is declared, for a person to see

    systemd.tmpfiles.settings."10-bootstrapd" =
      let
        folder = mode: {
          inherit mode;
          user = "bootstrapd";
          group = "bootstrapd";
        };
      in
      {
        ${stateDir}.d = folder "0750";
        "${stateDir}/hosts".d = folder "0770";
        "${stateDir}/images".d = folder "0770";
      };

    # A unit of its own: an image that changes restarts this one, not the daemon with its installs.
    systemd.services.bootstrapd-images = {
      description = "Images of bootstrapd that the system's configuration declares";
      wantedBy = [ "bootstrapd.service" ];
      before = [ "bootstrapd.service" ];
      unitConfig.RequiresMountsFor = [ imagesDir ];
      serviceConfig = hardening // {
        Type = "oneshot";
        RemainAfterExit = true;
        User = "bootstrapd";
        Group = "bootstrapd";
        ExecStart = utils.escapeSystemdExecArgs [
          pkgs.runtimeShell
          ./link-images.sh
          imagesDir
          checkedImages
        ];
        # On a disk that is mounted late, tmpfiles found nothing: the folders are made here.
        StateDirectory = "bootstrapd";
        StateDirectoryMode = "0750";
        ReadWritePaths = lib.optional (settings.paths.images != "") "-${imagesDir}";
        PrivateNetwork = true;
        PrivateUsers = true;
        RestrictAddressFamilies = "none";
        CapabilityBoundingSet = "";
        IPAddressDeny = "any";
      };
    };

    systemd.services.bootstrapd = {
      description = "Network boot and installation of machines (bootstrapd)";
      wantedBy = [ "multi-user.target" ];
      # A named link is waited for; with none named, those are served that are up now.
      wants = [ "network-online.target" ] ++ links;
      after = [ "network-online.target" "nix-daemon.socket" ] ++ links;
      unitConfig.RequiresMountsFor = [ stateDir ] ++ writableElsewhere;
      startLimitIntervalSec = 0; # a site that has no other boot server never gives up
      path = [
        config.nix.package
        pkgs.gitMinimal
      ]; # the rest is on the package's own PATH, behind these
      stopIfChanged = false; # the old one answers until the new one is there
      serviceConfig = hardening // {
        Type = "notify";
        NotifyAccess = "main";
        ExecStart = "${lib.getExe cfg.package} serve --config ${checkedConfig}";
        ExecReload = "${pkgs.coreutils}/bin/kill -HUP $MAINPID";
        Restart = "on-failure";
        RestartSec = 5;
        KillMode = "mixed"; # it ends its own children, and its NATS server after the last event
        TimeoutStopSec = 60;
        OOMPolicy = "continue"; # a Nix evaluation that took all memory is one failed install
        User = "bootstrapd";
        Group = "bootstrapd";
        StateDirectory = "bootstrapd";
        StateDirectoryMode = "0750";
        RuntimeDirectory = "bootstrapd";
        RuntimeDirectoryMode = "0750";
        ReadWritePaths = map (path: "-${path}") writableElsewhere; # one that is missing is said by the daemon
        LoadCredential =
          lib.optional (cfg.natsCredentialsFile != null) "nats.creds:${cfg.natsCredentialsFile}"
          ++ lib.optionals (cfg.deploymentKeyFile != null) [
            "deploy_key:${cfg.deploymentKeyFile}"
            "deploy_key.pub:${cfg.deploymentKeyFile}.pub"
          ];
        # Nix counts processors in /proc/stat; what newer ones look for there is not known to us.
        ProcSubset = "all";
        # setpriv, which ties the NATS server's life to the daemon's, sets the capabilities that it has anyway.
        SystemCallFilter = hardening.SystemCallFilter ++ [ "capset" ];
        # Ports below 1024; packet sockets, which overhear the other DHCP servers of a link.
        AmbientCapabilities = [
          "CAP_NET_BIND_SERVICE"
          "CAP_NET_RAW"
        ];
        CapabilityBoundingSet = [
          "CAP_NET_BIND_SERVICE"
          "CAP_NET_RAW"
        ];
        RestrictAddressFamilies = [
          "AF_INET"
          "AF_INET6"
          "AF_UNIX"
          "AF_NETLINK"
          "AF_PACKET"
        ];
      };
    };
  };
}
