# The keys of config.toml as options: names and defaults of bootstrapd/config/settings.py, which a test compares.
# What a value may look like in detail is said by `bootstrapd check-config`, which module.nix runs at build time.
{ lib }:
let
  inherit (lib) types;
  option =
    type: default: description:
    lib.mkOption { inherit type default description; };
  text = option types.str;
  texts = option (types.listOf types.str);
  flag = option types.bool;
  count = option types.ints.positive;
  port = option types.port;
  oneOf = words: option (types.enum words);
in
{
  interfaces = texts [ ] ''
    The links to serve. None named: every link that is up, has an IPv4 address and is neither loopback, virtual
    nor the default route's. `services.bootstrapd.interfaces` sets this.
  '';
  mode = oneOf [ "proxy" "full" ] "proxy" ''
    "proxy": the network's own DHCP server gives the addresses, and this appliance adds the boot answer.
    "full" is not built yet and refused.
  '';
  unknown = oneOf [ "ignore" "discover" ] "ignore" ''
    Machines that no host claims: "ignore" records them and leaves them alone, "discover" boots
    `discovery_image`.
  '';
  discovery_image = text "" "The image that machines boot which no host claims.";

  paths = {
    state = text "/var/lib/bootstrapd" "The journal and the keys. The unit's StateDirectory: mount a larger disk there.";
    hosts = text "" ''"" = `hosts` below the state folder. `services.bootstrapd.hostsDir` sets this.'';
    images = text "" ''"" = `images` below the state folder. Another folder must exist and be writable.'';
    runtime = text "/run/bootstrapd" "Where the operator's socket api.sock is. The unit's RuntimeDirectory.";
  };

  dhcp = {
    port = port 67 "For test networks: firmware knows 67 only.";
    pxe_port = port 4011 "For test networks: firmware knows 4011 only.";
  };

  tftp = {
    port = port 69 "The UDP port that is asked; each transfer goes out of a port of its own.";
    single_port = flag false ''
      Answer from the port above itself, for firewalls between here and the machines that cannot follow a
      transfer. The appliance's own firewall can.
    '';
    max_blksize = option (types.ints.between 512 65464) 1468 "The largest block; 1468 fits an Ethernet frame.";
    max_windowsize = option (types.ints.between 1 65535) 64 "Blocks sent before an answer must come.";
    max_transfers = count 512 "Transfers at the same time.";
  };

  http = {
    ports = option (types.nonEmptyListOf types.port) [ 80 8080 ] "The first that is free is taken.";
    max_connections = count 512 "Connections at the same time.";
  };

  nbp.dirs = texts [ ] ''
    Folders with network boot programs, searched before the package's own iPXE. An x86-64 appliance boots
    64-bit ARM machines with an iPXE that was built for them: `[ "''${pkgsCross.aarch64-multiplatform.ipxe}" ]`.
  '';

  ssh.authorized_keys = texts [ ] "Public keys that may log in to the live system.";

  install = {
    key_file = text "" ''
      The private key that logs in to live systems, its public half beside it as `.pub`; "" = one made at the
      first start. `services.bootstrapd.deploymentKeyFile` sets this.
    '';
    at_once = count 2 "Installs at the same time.";
    stall_s = count 300 "An install that says nothing for so many seconds is ended.";
    ssh_port = port 22 "Of the live systems.";
  };

  api = {
    listen = text "" ''
      The operator's API is on a Unix socket, and here on TCP too: "127.0.0.1:8470". Without TLS: keep it on
      loopback. The firewall is not opened for it.
    '';
    token_file = text "" ''The bearer token of the API over TCP; "" = keys/api.token below the state folder.'';
  };

  log = {
    level = oneOf [ "debug" "info" "warning" "error" ] "info" "What is logged.";
    format = oneOf [ "auto" "text" "json" ] "auto" ''"auto": JSON lines under systemd.'';
  };

  nats = {
    enabled = flag true "Send every event to NATS; false: they stay in the journal.";
    url = text "" ''An external server; "" = an own one on loopback, kept below the state folder.'';
    leaf_of = texts [ ] ''Make the own server a leaf node of these: [ "nats-leaf://hub.example.org:7422" ].'';
    credentials = text "" "A .creds file to log in with. `services.bootstrapd.natsCredentialsFile` sets this.";
    nkey_seed_file = text "" "A file with an nkey seed to log in with.";
    token_file = text "" "A file with a token to log in with, not for `leaf_of`.";
    tls_ca = text "" ''The authority to trust; "" = the system's.'';
    tls_cert = text "" "A certificate of our own, with";
    tls_key = text "" "its key.";
    prefix = text "cim.deployment" "Of every subject.";
    site = text "" ''Our name among appliances; "" = the name of this machine.'';
    commands = oneOf [ "none" "query" "deploy" ] "query" "Which commands are taken over NATS.";
    allow_arm = flag false ''With commands = "deploy": may it arm a host that exists, naming the disks?'';
    infrastructure = flag true "Tell the CIM's inventory, where a stream takes that.";
  };
}
