# What the stories are played with: the appliance, the site's own DHCP server, and machines that have nothing but
# firmware, a network card and empty disks. All are nodes of the test, so that the framework wires and starts them.
#
# The fleet is the folder hosts/ here, evaluated by the same hosts/default.nix as a user's. The appliance has no
# network beyond the rack: what an install needs is in its store already (`withInstalls`).
{
  lib,
  pkgs,
  nixpkgs,
  disko,
  bootstrapd,
  fleet,
}:
let
  inherit (pkgs.stdenv.hostPlatform) system;

  theFleet =
    if fleet != null then fleet else import ../../hosts { inherit nixpkgs disko; } { folder = ./hosts; };

  declared = host: builtins.fromTOML (builtins.readFile (./hosts + "/${host}/host.toml"));

  built = host: theFleet.nixosConfigurations.${host}.config.system.build;

  # What the appliance serves: hosts/ as a flake that needs no network.
  offline = import ./offline.nix {
    inherit lib nixpkgs disko;
    bootstrapd = bootstrapd.sourceInfo;
  };
  hostsFolder = pkgs.runCommand "hosts" { } ''
    cp -r ${./hosts} $out
    chmod -R u+w $out
    cp ${pkgs.writeText "flake.nix" offline.flake} $out/flake.nix
    cp ${pkgs.writeText "flake.lock" offline.lock} $out/flake.lock
  '';

  # The one network card, first in the boot order, on the VLAN that the framework calls 1.
  card = mac: rom: {
    virtualisation.vlans = lib.mkForce [ ];
    virtualisation.qemu.networkingOptions = lib.mkForce [
      ''-netdev vde,id=rack,sock="$QEMU_VDE_SOCKET_1"''
      "-device virtio-net-pci,netdev=rack,mac=${mac},bootindex=0${rom}"
    ];
  };

  firmware = {
    bios = mac: card mac ""; # SeaBIOS, and the iPXE that QEMU has in the card's ROM
    uefi = mac: {
      imports = [ (card mac ",romfile=") ]; # without that iPXE: OVMF's own network stack boots
      virtualisation.useEFIBoot = true;
      # Each option by IPv6 takes a minute before the next has its turn.
      virtualisation.qemu.options = [ "-fw_cfg name=opt/org.tianocore/IPv6Support,string=no" ];
    };
  };
  text = files: lib.concatMapStringsSep "\n\n" builtins.readFile files;
in
{
  firmwares = builtins.attrNames firmware;

  # The layouts that a host can name, and whether BIOS can boot a disk of theirs: they have a partition for GRUB then.
  layouts = lib.mapAttrs' (
    file: _:
    lib.nameValuePair (lib.removeSuffix ".nix" file) {
      boots = {
        uefi = true;
        bios = lib.hasInfix "EF02" (builtins.readFile (../../hosts/layouts + "/${file}"));
      };
    }
  ) (builtins.readDir ../../hosts/layouts);

  # The host of hosts/ that is there to prove this layout has the layout's name.
  hostOf =
    layout:
    if builtins.pathExists (./hosts + "/${layout}/host.toml") then
      layout
    else
      throw "vm-tests/nixos/hosts/${layout}/host.toml is missing: each layout is installed once, on a host of its name that has its disks";

  appliance = {
    imports = [ bootstrapd.nixosModules.bootstrapd ];
    virtualisation.memorySize = 4096; # `nix build` evaluates a whole system in it
    virtualisation.cores = 2;
    virtualisation.diskSize = 4096;
    services.bootstrapd = {
      enable = true;
      interfaces = [ "eth1" ];
      openFirewall = true;
      hostsDir = hostsFolder;
      images.installer = bootstrapd.packages.${system}.installer;
    };
    environment.systemPackages = [ pkgs.jq ]; # the stories' scripts ask with it
    nix.settings = {
      substituters = lib.mkForce [ ];
      connect-timeout = 1;
      flake-registry = ""; # every input is locked to a path
    };
  };

  # On top of the appliance: whole systems in its store, so that to build one is to find it. Everything on the way from
  # the flake to them is evaluated again over there, and must come to the same paths.
  withInstalls = hosts: {
    system.extraDependencies = lib.concatMap (host: [
      (built host).toplevel
      (built host).diskoScript
    ]) hosts;
  };

  # The site's own DHCP server: it gives addresses and knows nothing of network boot.
  site = {
    networking.firewall.allowedUDPPorts = [ 67 ];
    services.dnsmasq.enable = true;
    services.dnsmasq.resolveLocalQueries = false;
    services.dnsmasq.settings = {
      port = 0;
      interface = "eth1";
      bind-dynamic = true; # the link may come up after it
      dhcp-authoritative = true;
      dhcp-range = "192.168.1.100,192.168.1.199,1h";
    };
  };

  # The machine of a host of hosts/: the MAC that its host.toml matches, and an empty disk for each [disk.<name>], with
  # the serial that is asked for there. It has no system of its own: this node is never booted, only its QEMU is started.
  machine =
    host: kind:
    let
      disks = lib.attrValues (declared host).disk or { };
    in
    {
      imports = [ (firmware.${kind} (builtins.head (declared host).match.mac)) ];
      virtualisation = {
        memorySize = 4096; # the installer's initrd stands in it twice while it unpacks
        cores = 2;
        directBoot.enable = false; # its firmware boots it, not QEMU
        mountHostNixStore = false;
        sharedDirectories = lib.mkForce { };
        diskImage = null;
        emptyDiskImages = map (_: 8192) disks;
        # The same disks once more, now with the serials that make their names in /dev/disk/by-id.
        qemu.drives = lib.mkForce (
          lib.imap0 (number: disk: {
            file = "$(pwd)/empty${toString number}.qcow2";
            driveExtraOpts.werror = "report";
            deviceExtraOpts.serial = disk.serial;
            deviceExtraOpts.bootindex = toString (10 + number);
          }) disks
        );
      };
    };

  # A machine that no host claims, with a system of its own on its disk. Its firmware asks the network first as well.
  stranger = kind: mac: {
    imports = [ (firmware.${kind} mac) ];
    virtualisation.useBootLoader = true;
    boot.loader.timeout = 0;
    boot.loader.systemd-boot.enable = kind == "uefi";
  };

  # The text of a test's script: the verbs that the stories share, and the story.
  script = story: text [ ./story.py story ];

  # The same for a story that installs `host`: with what it is about as constants, and the verbs for that.
  installScript =
    host: story:
    lib.concatStrings (
      lib.mapAttrsToList (name: value: "${name} = ${builtins.toJSON value}\n") {
        HOST = host;
        HOSTS = "${hostsFolder}";
        CLOSURE = "${(built host).toplevel}";
      }
    )
    + text [ ./story.py ./install_story.py story ];
}
