# A whole appliance around module.nix: bootstrapd with its firewall open on the boot links, its events kept on disk
# for a hub, and monitoring that is reached through SSH. Everything is a default; a site sets at least
# `services.bootstrapd.interfaces`, its SSH keys, and `system.stateVersion`.
#
# NATS: the server that bootstrapd starts is the leaf node (`settings.nats.leaf_of`), not `services.nats`. It has the
# JetStream domain of its own that a hub needs to source the stream, a login that nobody else has, and it ends after
# the last event; a second server beside it would be one more to log in to.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkDefault;
  loopback = "127.0.0.1";
  ports = {
    prometheus = 9090;
    node = 9100;
    loki = 3100;
    grafana = 3000;
    alloy = 12345;
  };
  url = port: "http://${loopback}:${toString port}";
  target = port: { targets = [ "${loopback}:${toString port}" ]; };

  # The boot listener is on the boot links' addresses alone, whatever they are: bootstrapd says where.
  targetsDir = "/run/bootstrapd-targets";
  writeTargets = pkgs.writeShellScript "bootstrapd-targets" ''
    set -eu
    status=$(bootstrapd status --json) || exit 0 # what is not there any more is told by Prometheus
    printf %s "$status" |
      jq '[.listeners[] | select(.door == "http")] | .[:1] | map({targets: ["\(.address):\(.port)"]})' >new
    mv new bootstrapd.json
  '';
  hardening = import ./hardening.nix;
in
{
  imports = [ ./module.nix ];

  services.bootstrapd = {
    enable = true;
    openFirewall = mkDefault (config.services.bootstrapd.settings.interfaces != [ ]);
  };

  networking.hostName = mkDefault "bootstrapd";
  networking.firewall.enable = mkDefault true;
  services.openssh = {
    enable = mkDefault true;
    settings = {
      PasswordAuthentication = mkDefault false;
      KbdInteractiveAuthentication = mkDefault false;
    };
  };
  # Installs are built here, from flakes.
  nix.settings.experimental-features = [
    "nix-command"
    "flakes"
  ];

  services.prometheus = {
    enable = mkDefault true;
    listenAddress = mkDefault loopback;
    port = ports.prometheus;
    retentionTime = mkDefault "90d"; # as the journal
    exporters.node = {
      enable = mkDefault true;
      listenAddress = loopback;
      port = ports.node;
    };
    scrapeConfigs = [
      {
        job_name = "bootstrapd";
        scrape_interval = "15s";
        file_sd_configs = [ { files = [ "${targetsDir}/bootstrapd.json" ]; } ];
      }
      {
        job_name = "node";
        static_configs = [ (target ports.node) ];
      }
    ];
  };

  systemd.services.bootstrapd-targets = {
    description = "Tell Prometheus where bootstrapd listens";
    path = [
      config.services.bootstrapd.package
      pkgs.jq
    ];
    serviceConfig = hardening // {
      Type = "oneshot";
      ExecStart = writeTargets;
      User = "bootstrapd";
      Group = "bootstrapd";
      RuntimeDirectory = "bootstrapd-targets";
      RuntimeDirectoryMode = "0755";
      RuntimeDirectoryPreserve = true;
      WorkingDirectory = targetsDir;
      UMask = "0022"; # Prometheus reads it
      PrivateNetwork = true;
      RestrictAddressFamilies = "AF_UNIX";
      CapabilityBoundingSet = "";
    };
  };
  systemd.timers.bootstrapd-targets = {
    description = "Tell Prometheus where bootstrapd listens";
    wantedBy = [ "timers.target" ];
    timerConfig = {
      OnActiveSec = 10;
      OnUnitActiveSec = 60;
    };
  };

  services.grafana = {
    enable = mkDefault true;
    settings = {
      server.http_addr = mkDefault loopback;
      server.http_port = ports.grafana;
      # Who reaches it came by SSH, and may look but not change.
      "auth.anonymous".enabled = mkDefault true;
      auth.disable_login_form = mkDefault true;
      users.allow_sign_up = false;
      analytics.reporting_enabled = false;
      analytics.check_for_updates = false;
      security.secret_key = mkDefault "$__file{${config.services.grafana.dataDir}/secret_key}";
      dashboards.default_home_dashboard_path = "${./dashboards}/machines.json";
    };
    provision = {
      enable = true;
      datasources.settings.datasources = [
        {
          name = "Prometheus";
          uid = "prometheus";
          type = "prometheus";
          url = url ports.prometheus;
          isDefault = true;
        }
        {
          name = "Loki";
          uid = "loki";
          type = "loki";
          url = url ports.loki;
        }
      ];
      dashboards.settings.providers = [
        {
          name = "bootstrapd";
          options.path = ./dashboards;
        }
      ];
    };
  };
  # Grafana encrypts what it stores with this; the default key is the same everywhere.
  systemd.services.grafana.preStart = lib.mkBefore ''
    key=${config.services.grafana.dataDir}/secret_key
    [ -s "$key" ] || (umask 077; ${pkgs.coreutils}/bin/head -c 32 /dev/urandom | ${pkgs.coreutils}/bin/base64 >"$key")
  '';

  services.loki = {
    enable = mkDefault true;
    configuration = {
      auth_enabled = false;
      analytics.reporting_enabled = false;
      server = {
        http_listen_address = loopback;
        http_listen_port = ports.loki;
        grpc_listen_address = loopback;
      };
      common = {
        instance_addr = loopback;
        path_prefix = config.services.loki.dataDir;
        replication_factor = 1;
        ring.kvstore.store = "inmemory";
      };
      schema_config.configs = [
        {
          from = "2024-04-01";
          store = "tsdb";
          object_store = "filesystem";
          schema = "v13";
          index = {
            prefix = "index_";
            period = "24h";
          };
        }
      ];
      storage_config.filesystem.directory = "${config.services.loki.dataDir}/chunks";
      limits_config.retention_period = "90d";
      compactor = {
        working_directory = "${config.services.loki.dataDir}/compactor";
        retention_enabled = true;
        delete_request_store = "filesystem";
      };
    };
  };

  # Promtail is at its end of life; Alloy ships the journal.
  services.alloy = {
    enable = mkDefault true;
    extraFlags = [
      "--server.http.listen-addr=${loopback}:${toString ports.alloy}"
      "--disable-reporting"
    ];
  };
  environment.etc."alloy/config.alloy".text = ''
    loki.relabel "journal" {
      forward_to = []
      rule {
        source_labels = ["__journal__systemd_unit"]
        target_label  = "unit"
      }
      rule {
        source_labels = ["__journal_priority_keyword"]
        target_label  = "priority"
      }
    }

    loki.source.journal "journal" {
      max_age       = "24h"
      relabel_rules = loki.relabel.journal.rules
      labels        = { job = "journal", host = "${config.networking.hostName}" }
      forward_to    = [loki.write.local.receiver]
    }

    loki.write "local" {
      endpoint {
        url = "${url ports.loki}/loki/api/v1/push"
      }
    }
  '';
}
