# Stub of NixOS: services.
{ lib, pkgs, ... }:
let
  inherit (lib) types;
  d = import ../declare.nix { inherit lib; };
  json = (pkgs.formats.json { }).type;
  exporter = port: extra: extra // {
    enable = d.on;
    port = d.optional types.port port;
    listenAddress = d.optional types.str "0.0.0.0";
    openFirewall = d.on;
    firewallFilter = d.maybe types.str;
    extraFlags = d.list types.str;
    user = d.optional types.str "exporter";
    group = d.optional types.str "exporter";
  };
in
{
  options.services = {
    openssh = {
      enable = d.on;
      ports = d.optional (types.listOf types.port) [ 22 ];
      openFirewall = d.flag true;
      startWhenNeeded = d.on;
      hostKeys = d.optional (types.listOf types.attrs) [ ];
      authorizedKeysFiles = d.list types.str;
      extraConfig = d.text;
      listenAddresses = d.listOfTables { addr = d.maybe types.str; port = d.maybe types.int; };
      settings = d.optional (types.submodule {
        freeformType = types.attrsOf (types.nullOr (types.oneOf [ types.bool types.int types.str ]));
        options = {
          PasswordAuthentication = d.optional (types.nullOr types.bool) true;
          KbdInteractiveAuthentication = d.optional (types.nullOr types.bool) true;
          PermitRootLogin = d.optional (types.nullOr (types.enum [ "yes" "without-password" "prohibit-password" "forced-commands-only" "no" ])) "prohibit-password";
          X11Forwarding = d.optional (types.nullOr types.bool) false;
          UseDns = d.optional (types.nullOr types.bool) false;
          LogLevel = d.maybe types.str;
          AllowUsers = d.maybe (types.listOf types.str);
        };
      }) { };
    };
    nats = {
      enable = d.on;
      user = d.optional types.str "nats";
      group = d.optional types.str "nats";
      serverName = d.optional types.str "nats";
      jetstream = d.on;
      port = d.optional types.port 4222;
      dataDir = d.optional types.path "/var/lib/nats";
      settings = d.optional json { };
    };
    prometheus = {
      enable = d.on;
      port = d.optional types.port 9090;
      listenAddress = d.optional types.str "0.0.0.0";
      retentionTime = d.maybe types.str;
      globalConfig = d.anything;
      extraFlags = d.list types.str;
      scrapeConfigs = d.list types.attrs;
      rules = d.list types.str;
      ruleFiles = d.list types.path;
      exporters = {
        node = exporter 9100 { enabledCollectors = d.list types.str; disabledCollectors = d.list types.str; };
        nats = exporter 7777 { url = d.optional types.str "http://127.0.0.1:8222"; };
      };
    };
    grafana = {
      enable = d.on;
      dataDir = d.optional types.path "/var/lib/grafana";
      settings = d.table (types.attrsOf types.anything);
      declarativePlugins = d.maybe (types.listOf types.path);
      provision = {
        enable = d.on;
        datasources = { path = d.maybe types.path; settings = d.maybe (types.submodule { freeformType = json; options = { apiVersion = d.optional types.int 1; datasources = d.list json; deleteDatasources = d.list json; }; }); };
        dashboards = { path = d.maybe types.path; settings = d.maybe (types.submodule { freeformType = json; options = { apiVersion = d.optional types.int 1; providers = d.list json; }; }); };
      };
    };
    loki = { enable = d.on; configuration = d.optional json { }; configFile = d.maybe types.path; dataDir = d.optional types.path "/var/lib/loki"; extraFlags = d.list types.str; };
    promtail = { enable = d.on; configuration = d.optional json { }; };
    alloy = { enable = d.on; configPath = d.optional types.path "/etc/alloy"; extraFlags = d.list types.str; };
    lvm = { enable = d.flag true; boot.thin.enable = d.on; };
    zfs = { autoScrub = { enable = d.on; interval = d.optional types.str "monthly"; pools = d.list types.str; }; trim.enable = d.flag true; };
    btrfs.autoScrub = { enable = d.on; interval = d.optional types.str "monthly"; fileSystems = d.list types.path; };
    fstrim = { enable = d.flag true; interval = d.optional types.str "weekly"; };
    smartd.enable = d.on;
    timesyncd = { enable = d.flag true; servers = d.list types.str; };
    chrony = { enable = d.on; servers = d.list types.str; };
    udev = { extraRules = d.text; packages = d.list types.package; path = d.list types.package; };
    journald = { extraConfig = d.text; storage = d.optional types.str "persistent"; console = d.optional types.str ""; };
    getty = { autologinUser = d.maybe types.str; helpLine = d.text; greetingLine = d.optional types.str ""; };
    qemuGuest.enable = d.on;
    dnsmasq = { enable = d.on; settings = d.table types.anything; resolveLocalQueries = d.flag true; };
    kea.dhcp4 = { enable = d.on; settings = d.optional json { }; };
    nginx = { enable = d.on; virtualHosts = d.table types.anything; recommendedProxySettings = d.on; };
    lldpd.enable = d.on;
    speechd.enable = d.on;
    logrotate.enable = d.flag true;
    fwupd.enable = d.on;
  };
}
