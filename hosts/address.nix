# A host's address on its network card, by systemd-networkd. Which card is told by [match] mac; the first one named gets
# the address, others ask DHCP. Gateway and DNS are those of its network in networks.toml, and its VLAN where that network
# is `tagged`; what no network tells comes from DHCP.
{
  lib,
  host,
  network,
  ...
}:
let
  inherit (lib) mkDefault;
  macs = host.match.mac;
  hasAddress = host.network.address != "";
  hasVlan = network != null && network.tagged;
  vlan = "vlan${toString network.vlan}";

  # The card itself, not a VLAN, bridge or bond on top of it, which has its address too.
  card = mac: {
    MACAddress = mac;
    Kind = "!*";
  };
  anyCard = {
    Type = "ether";
    Kind = "!*";
  };
  dhcp = {
    networkConfig.DHCP = "yes";
    linkConfig.RequiredForOnline = "no";
  };

  # The address, and all that is known of what is around it.
  addressed = {
    address = [ host.network.address ];
    gateway = lib.optional (network != null && network.gateway != "") network.gateway;
    dns = lib.optionals (network != null) network.dns;
    networkConfig.DHCP = if network == null || (network.gateway == "" && network.dns == [ ]) then "ipv4" else "no";
    linkConfig.RequiredForOnline = "routable";
  };
in
{
  assertions = [
    {
      assertion = !hasAddress || macs != [ ];
      message = "hosts/${host.name}/host.toml: network.address: give [match] mac too, to say which network card has the address";
    }
  ];

  networking.useDHCP = mkDefault false;
  networking.useNetworkd = mkDefault true;

  systemd.network = {
    enable = mkDefault true;
    # One link that is up is enough: not every card of a server has a cable.
    wait-online.anyInterface = mkDefault true;

    netdevs = lib.optionalAttrs (hasAddress && hasVlan) {
      "20-${vlan}" = {
        netdevConfig = {
          Name = vlan;
          Kind = "vlan";
        };
        vlanConfig.Id = network.vlan;
      };
    };

    networks =
      lib.optionalAttrs (hasAddress && macs != [ ]) (
        if hasVlan then
          {
            # Frames without a tag are those of the network that it booted from: it asks for an address there too, and
            # goes no further by it.
            "10-${host.name}" = {
              matchConfig = card (lib.head macs);
              vlan = [ vlan ];
              networkConfig.DHCP = "ipv4";
              dhcpV4Config = {
                UseGateway = false;
                UseDNS = false;
              };
              linkConfig.RequiredForOnline = "no";
            };
            "20-${vlan}" = {
              matchConfig.Name = vlan;
            }
            // addressed;
          }
        else
          {
            "10-${host.name}" = {
              matchConfig = card (lib.head macs);
            }
            // addressed;
          }
      )
      // {
        "90-dhcp" = {
          matchConfig = anyCard;
        }
        // dhcp
        // lib.optionalAttrs (!hasAddress) { linkConfig.RequiredForOnline = "routable"; };
      };
  };
}
