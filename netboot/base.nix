# What every image of ours is: a NixOS in RAM on nixpkgs' netboot module, for hardware that nobody has seen yet, which
# registers, lets nobody in with a password, touches no disk by itself, and speaks on the serial line too.
{
  config,
  lib,
  modulesPath,
  pkgs,
  ...
}:
let
  cfg = config.bootstrapd.netboot;
  platform = pkgs.stdenv.hostPlatform;
  passwords = [
    "password"
    "hashedPassword"
    "initialPassword"
    "initialHashedPassword"
    "hashedPasswordFile"
  ];
  # "!" and "*" are no hash of anything: the account is locked.
  lets = user: builtins.filter (kind: !(builtins.elem (user.${kind} or null) [ null "!" "*" ])) passwords;
  open = lib.filterAttrs (_: user: lets user != [ ]) config.users.users;
in
{
  imports = [
    # Not netboot-minimal.nix: it brings installation-device.nix, with empty passwords for root and nixos, a shell for
    # everybody at the console, old arrays assembled, and a copy of nixpkgs.
    "${modulesPath}/installer/netboot/netboot.nix"
    "${modulesPath}/profiles/all-hardware.nix"
    "${modulesPath}/profiles/minimal.nix"
    ./agent/live.nix
  ];

  options.bootstrapd.netboot = {
    consoles = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ "tty0" ] ++ lib.optional platform.isAarch64 "ttyAMA0,115200" ++ [ "ttyS0,115200n8" ];
      defaultText = lib.literalExpression ''[ "tty0" "ttyS0,115200n8" ]'';
      description = ''
        Where the kernel speaks. The last one that the machine has is /dev/console, where the agent says what it does;
        `kernel_params` of a profile come behind these.
      '';
    };
  };

  config = {
    system.stateVersion = lib.mkDefault config.system.nixos.release; # it keeps no state
    system.build.bootstrapdImage = import ./image.nix { inherit lib pkgs; } {
      name = config.system.nixos.variant_id;
      arch = platform.parsed.cpu.name;
      kernel = "${config.system.build.kernel}/${config.system.boot.loader.kernelFile}";
      kernelName = config.system.boot.loader.kernelFile;
      initrd = "${config.system.build.netbootRamdisk}/initrd";
      # Of this system and no other: the initrd holds its store.
      cmdline = [ "init=${config.system.build.toplevel}/init" ] ++ config.boot.kernelParams;
    };

    # Nobody has a password, not even an empty one.
    users.mutableUsers = false;
    users.allowNoPasswordLogin = true;
    users.users.root.hashedPassword = "!";
    services.getty.autologinUser = lib.mkForce null;
    services.getty.helpLine = lib.mkForce "bootstrapd booted this system. Nobody logs in here: there are no passwords.";
    systemd.enableEmergencyMode = false; # it would wait for ever at a prompt that lets nobody in
    security.sudo.enable = lib.mkDefault false;
    assertions = [
      {
        assertion = open == { };
        message = "A netboot image goes to whoever asks for it, with every password in it, and ${
          lib.concatStringsSep ", " (lib.attrNames open)
        } would have one (${lib.concatStringsSep ", " (lib.unique (lib.concatMap lets (lib.attrValues open)))}): give SSH keys instead.";
      }
    ];

    # Serial line and screen.
    boot.kernelParams = map (console: "console=${console}") cfg.consoles ++ [
      # Disks are somebody's until their host is armed: no array is assembled, no volume group or pool started, nothing
      # mounted or swapped to because a partition table says so.
      "raid=noautodetect"
      "systemd.gpt_auto=0"
    ];
    boot.swraid.enable = lib.mkForce false; # with it goes its warning that nobody is mailed
    boot.bcache.enable = false;
    boot.zfs.forceImportRoot = false;
    environment.etc."lvm/lvm.conf".text = ''
      global/event_activation = 0
      activation/auto_activation_volume_list = []
    '';
    # A scripted stage 1 runs `vgchange -ay`.
    boot.initrd.preLVMCommands = lib.mkIf (!config.boot.initrd.systemd.enable) ''
      mkdir -p /etc/lvm
      echo 'activation/volume_list = []' >>/etc/lvm/lvm.conf
    '';

    # The address that the firmware had: some appliances know a machine by it, and DHCP servers go by the client's id.
    networking.hostName = lib.mkDefault config.system.nixos.variant_id;
    networking.useDHCP = false;
    networking.useNetworkd = true;
    systemd.network.networks."10-boot" = {
      matchConfig.Type = "ether";
      matchConfig.Kind = "!*"; # cards, no bridges and tunnels
      networkConfig = {
        DHCP = "yes";
        IPv6AcceptRA = true;
        LLDP = true;
        EmitLLDP = true;
      };
      dhcpV4Config.ClientIdentifier = "mac";
      dhcpV4Config.UseHostname = false;
      dhcpV4Config.SendHostname = false; # every machine in this system has the same
    };
    # One card is enough to begin with: a machine has more than it has cables.
    systemd.network.wait-online = {
      anyInterface = true;
      timeout = 60;
    };
    networking.firewall.enable = false; # nothing listens but sshd, where there is one

    # Small: it is loaded by every machine at once, into RAM.
    documentation.enable = false;
    environment.defaultPackages = lib.mkForce [ ];
    programs.nano.enable = false;
    nix.registry = lib.mkForce { };
    nix.channel.enable = false;
    fonts.fontconfig.enable = false;
    hardware.enableRedistributableFirmware = lib.mkDefault true; # network cards that need it
  };
}
