# Stub of NixOS: names, addresses and the firewall.
{ lib, ... }:
let
  inherit (lib) types;
  d = import ../declare.nix { inherit lib; };
  range = { from = d.required types.port; to = d.required types.port; };
  ports = {
    allowedTCPPorts = d.list types.port;
    allowedUDPPorts = d.list types.port;
    allowedTCPPortRanges = d.listOfTables range;
    allowedUDPPortRanges = d.listOfTables range;
  };
in
{
  options.networking = {
    hostName = d.optional (types.strMatching "|[[:alnum:]]([[:alnum:]_-]{0,61}[[:alnum:]])?") "nixos";
    hostId = d.maybe types.str;
    domain = d.maybe types.str;
    useDHCP = d.flag true;
    useNetworkd = d.on;
    usePredictableInterfaceNames = d.flag true;
    enableIPv6 = d.flag true;
    nameservers = d.list types.str;
    search = d.list types.str;
    timeServers = d.list types.str;
    hosts = d.table (types.listOf types.str);
    extraHosts = d.text;
    wireless.enable = d.on;
    networkmanager.enable = d.on;
    dhcpcd.enable = d.flag true;
    defaultGateway = d.maybe (types.either types.str types.attrs);
    nftables = { enable = d.on; tables = d.tables { content = d.required types.lines; family = d.required types.str; enable = d.flag true; }; };
    firewall = ports // {
      enable = d.flag true;
      interfaces = d.tables ports;
      trustedInterfaces = d.list types.str;
      allowPing = d.flag true;
      logRefusedConnections = d.flag true;
      checkReversePath = d.optional (types.either types.bool (types.enum [ "strict" "loose" ])) true;
      connectionTrackingModules = d.list types.str;
      extraCommands = d.text;
      extraStopCommands = d.text;
      extraInputRules = d.text;
    };
    interfaces = d.tables {
      useDHCP = d.maybe types.bool;
      mtu = d.maybe types.int;
      ipv4.addresses = d.listOfTables { address = d.required types.str; prefixLength = d.required (types.ints.between 0 32); };
    };
    nat = { enable = d.on; internalInterfaces = d.list types.str; externalInterface = d.maybe types.str; };
  };
  options.services.resolved = { enable = d.on; dnssec = d.optional types.str "false"; };
}
