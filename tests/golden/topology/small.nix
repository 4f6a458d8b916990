# The fleet for nix-topology, made by `bootstrapd topology --format nix`. A module of its top level:
#   topology.<system> = import nix-topology { inherit pkgs; modules = [ ./topology.nix ]; };
{ ... }:
{
  networks = {
    boot = {
      name = "boot (VLAN 10)";
      cidrv4 = "10.1.0.0/24";
    };
    storage = {
      name = "storage";
      cidrv4 = "10.2.0.0/23";
    };
  };
  nodes = {
    w-1 = {
      name = "w-1";
      deviceType = "nixos";
      hardware = {
        info = "node, rack 4";
      };
      interfaces = {
        nic1 = {
          mac = "52:54:00:00:01:01";
          addresses = [ "10.1.0.11" ];
          network = "boot";
          gateways = [ "10.1.0.1" ];
          physicalConnections = [ {
            node = "rack4";
            interface = "Eth1/1";
          } ];
        };
        nic2 = {
          mac = "52:54:00:00:01:02";
        };
      };
    };
    w-2 = {
      name = "w-2";
      deviceType = "nixos";
      hardware = {
        info = "node";
      };
      interfaces = {
        nic1 = {
          network = "boot";
          gateways = [ "10.1.0.1" ];
          physicalConnections = [ {
            node = "rack4";
            interface = "Eth1/2";
          } ];
        };
      };
    };
    w-10 = {
      name = "w-10";
      deviceType = "nixos";
      hardware = {
        info = "node";
      };
      interfaces = {
        nic1 = {
          mac = "52:54:00:00:02:01";
          addresses = [ "10.2.0.10" ];
          network = "storage";
        };
        nic2 = {
          mac = "52:54:00:00:02:02";
        };
      };
    };
    mac-1 = {
      name = "mac-1";
      deviceType = "device";
      deviceIcon = "devices.desktop";
      renderer = {
        preferredType = "card";
      };
      hardware = {
        info = "desk";
      };
      interfaces = {
        nic1 = {
          mac = "52:54:00:00:03:01";
          addresses = [ "192.168.7.9" ];
        };
        nic2 = {
          mac = "52:54:00:00:03:02";
        };
      };
    };
    core = {
      name = "core";
      deviceType = "switch";
      hardware = {
        info = "";
      };
      interfaces = {
        "to rack4" = {
          sharesNetworkWith = [ ];
        };
      };
    };
    rack4 = {
      name = "rack4";
      deviceType = "switch";
      hardware = {
        info = "top of rack 4, carries boot";
      };
      interfaces = {
        "Eth1/1" = { };
        "Eth1/2" = { };
        uplink = {
          physicalConnections = [ {
            node = "core";
            interface = "to rack4";
          } ];
        };
      };
    };
    bootstrapd = {
      name = "bootstrapd";
      deviceType = "nixos";
      hardware = {
        info = "the appliance that boots and installs the hosts";
      };
      interfaces = {
        boot = {
          addresses = [ "10.1.0.2" ];
          network = "boot";
        };
      };
    };
  };
}
