# host.toml, profiles/<name>.toml and networks.toml as a person writes them: each key, its kind, its default.
# The keys are those of bootstrapd/config/tables.py; a key more on one side fails tests/nix/test_fleet.py.
let
  kinds = import ./kinds.nix;
  inherit (kinds)
    field
    inner
    listOf
    oneOf
    table
    tableOf
    ;
  diskType = field (oneOf [ "" "nvme" "ssd" "hdd" "virtual" ]) "";
  disks = field (tableOf kinds.oneName (table {
    type = diskType;
    size = field kinds.sizeBound "";
    serial = field kinds.text "";
    wwn = field kinds.text "";
    pick = field (oneOf [ "" "smallest" "largest" ]) "";
  })) { };
in
{
  host = table {
    profile = field kinds.oneName "";
    match = inner {
      mac = field (listOf kinds.mac) [ ];
      uuid = field kinds.machineUuid "";
      serial = field kinds.machineSerial "";
      port = field kinds.text "";
    };
    disk = disks;
    network = inner { address = field kinds.address ""; };
    labels = field (tableOf kinds.oneName kinds.text) { };
    boot = inner {
      program = field kinds.optionalName "";
      tftp_blksize = field kinds.blksize 0;
      tftp_windowsize = field kinds.windowsize 0;
    };
  };

  profile = table {
    system = field (oneOf [ "nixos" "darwin" ]) "nixos";
    image = field kinds.image "";
    layout = field kinds.optionalName "";
    flake = field kinds.flakeRef "";
    install = field (oneOf [ "auto" "approve" ]) "auto";
    report = field (oneOf [ "agent" "ssh" ]) "agent";
    local_boot = field (oneOf [ "disk" "cancel" "silence" ]) "disk";
    esp_label = field kinds.espLabel "ESP";
    kernel_params = field (listOf kinds.kernelParam) [ ];
    disk = disks;
    requires = inner {
      cpu = inner { threads = field kinds.threads 0; };
      memory = field kinds.anySize "0";
      disk = field (listOf (table {
        type = diskType;
        size = field kinds.anySize "0";
      })) [ ];
      gpu = field (table {
        vendor = field (oneOf [ "" "nvidia" "amd" "intel" ]) "";
        memory = field kinds.anySize "0";
        compute_capability = field kinds.capability 0;
        allow = field (listOf kinds.pciId) [ ];
      }) null;
      nic = inner { speed = field kinds.linkSpeed "0M"; };
    };
  };

  networks = table {
    network = field (tableOf kinds.oneName (table {
      subnet = field kinds.subnet "";
      vlan = field kinds.vlan 0;
      tagged = field kinds.bool false;
      gateway = field kinds.optionalIp "";
      dns = field (listOf kinds.ip) [ ];
      appliance = field kinds.optionalIp "";
      description = field kinds.text "";
    })) { };
    switch = field (tableOf kinds.oneName (table {
      networks = field (listOf kinds.oneName) [ ];
      uplink = field kinds.optionalName "";
      description = field kinds.text "";
    })) { };
  };
}
