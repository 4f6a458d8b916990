# Stub of NixOS: systemd's units and networks. Keys that systemd itself defines are free, those of NixOS are not.
{ lib, ... }:
let
  inherit (lib) types;
  d = import ../declare.nix { inherit lib; };
  names = d.list types.str;
  unit = {
    enable = d.flag true;
    overrideStrategy = d.optional (types.enum [ "asDropinIfExists" "asDropin" ]) "asDropinIfExists";
    description = d.optional types.singleLineStr "";
    documentation = names;
    after = names;
    before = names;
    wants = names;
    requires = names;
    requisite = names;
    bindsTo = names;
    partOf = names;
    upholds = names;
    conflicts = names;
    wantedBy = names;
    requiredBy = names;
    upheldBy = names;
    aliases = names;
    onFailure = names;
    onSuccess = names;
    startLimitBurst = d.required types.int;
    startLimitIntervalSec = d.required types.int;
    restartTriggers = d.list types.unspecified;
    reloadTriggers = d.list types.unspecified;
    unitConfig = d.section;
  };
  service = unit // {
    environment = d.table (types.nullOr (types.oneOf [ types.str types.path types.package ]));
    path = d.list (types.nullOr (types.oneOf [ types.package types.str ]));
    serviceConfig = d.section;
    confinement = { enable = d.on; packages = d.list types.package; mode = d.optional types.str "full-apivfs"; };
    script = d.text;
    scriptArgs = d.optional types.str "";
    preStart = d.text;
    postStart = d.text;
    preStop = d.text;
    postStop = d.text;
    reload = d.text;
    startAt = d.optional (types.either types.str (types.listOf types.str)) [ ];
    restartIfChanged = d.flag true;
    reloadIfChanged = d.on;
    stopIfChanged = d.flag true;
    enableStrictShellChecks = d.on;
  };
  network = {
    enable = d.flag true;
    matchConfig = d.section;
    linkConfig = d.section;
    networkConfig = d.section;
    dhcpV4Config = d.section;
    dhcpV6Config = d.section;
    ipv6AcceptRAConfig = d.section;
    DHCP = d.maybe types.str;
    name = d.maybe types.str;
    address = names;
    gateway = names;
    dns = names;
    ntp = names;
    domains = d.maybe (types.listOf types.str);
    vlan = names;
    bridge = names;
    bond = names;
    addresses = d.sections;
    routes = d.sections;
    extraConfig = d.text;
  };
in
{
  options.systemd = {
    services = d.tables service;
    user.services = d.tables service;
    sockets = d.tables (unit // { listenStreams = names; listenDatagrams = names; socketConfig = d.section; });
    timers = d.tables (unit // { timerConfig = d.section; });
    paths = d.tables (unit // { pathConfig = d.section; });
    targets = d.tables unit;
    slices = d.tables (unit // { sliceConfig = d.section; });
    mounts = d.listOfTables (unit // { what = d.required types.str; where = d.required types.str; type = d.optional types.str ""; options = d.optional types.commas ""; mountConfig = d.section; });
    tmpfiles = {
      rules = names;
      settings = d.table (types.attrsOf (types.attrsOf (types.submodule { options = { type = d.optional types.str ""; mode = d.optional types.str "-"; user = d.optional types.str "-"; group = d.optional types.str "-"; age = d.optional types.str "-"; argument = d.optional types.str ""; }; })));
    };
    packages = d.list types.package;
    enableEmergencyMode = d.flag true;
    coredump.enable = d.flag true;
    network = {
      enable = d.on;
      networks = d.tables network;
      netdevs = d.tables { enable = d.flag true; netdevConfig = d.section; vlanConfig = d.section; bondConfig = d.section; bridgeConfig = d.section; };
      links = d.tables { enable = d.flag true; matchConfig = d.section; linkConfig = d.section; };
      wait-online = { enable = d.flag true; anyInterface = d.on; timeout = d.optional types.ints.unsigned 120; ignoredInterfaces = names; extraArgs = names; };
    };
    # Emergency access of stage 1 is boot.initrd.systemd.emergencyAccess.
  };
}
