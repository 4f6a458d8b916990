# What the netboot modules make of a system, as data that JSON can carry: over the stub options, or, where `nixpkgs` is
# given, over all of NixOS. `netboot` is where our modules are: the repository's, or a copy that a test has broken.
{
  netboot ? ../../netboot,
  module, # a file in it
  extra ? { },
  system ? "x86_64-linux",
  nixpkgs ? null,
}:
let
  modules = [
    (netboot + "/${module}")
    {
      nixpkgs.hostPlatform = system;
    }
    extra
  ];
  stub = import ./system.nix {
    inherit system modules;
    specialArgs.modulesPath = toString ./nixos/modules;
  };
  real =
    let
      evaluated = import (nixpkgs + "/nixos/lib/eval-config.nix") {
        lib = import (nixpkgs + "/lib");
        system = null;
        inherit modules;
      };
      failed = builtins.filter (assertion: !assertion.assertion) evaluated.config.assertions;
    in
    {
      unchecked = evaluated.config;
      inherit (evaluated.config) warnings;
      failures = map (assertion: assertion.message) failed;
    };
  chosen = if nixpkgs == null then stub else real;
  config = chosen.unchecked;
  isOurs = name: builtins.match "bootstrapd-.*" name != null;
  ours = services: builtins.listToAttrs (map (name: { inherit name; value = services.${name}; }) (builtins.filter isOurs (builtins.attrNames services)));
  unit = service: {
    inherit (service)
      description
      wants
      after
      before
      wantedBy
      startLimitIntervalSec
      startLimitBurst
      unitConfig
      serviceConfig
      ;
    path = map toString service.path;
  };
  passwords = [ "password" "hashedPassword" "initialPassword" "initialHashedPassword" "hashedPasswordFile" ];
in
{
  inherit (chosen) failures warnings;
  units = builtins.mapAttrs (_: unit) (ours config.systemd.services);
  packages = map (package: package.pname or package.name) config.environment.systemPackages;
}
// (
  if config ? bootstrapd then
    {
      stage1 = {
        inherit (config.boot.initrd) postMountCommands preLVMCommands;
        services = builtins.mapAttrs (_: service: {
          inherit (service) script wantedBy before unitConfig serviceConfig;
        }) (ours config.boot.initrd.systemd.services);
      };
      users = builtins.mapAttrs (_: user: builtins.listToAttrs (map (name: { inherit name; value = user.${name}; }) passwords)) config.users.users;
      rootKeys = config.users.users.root.openssh.authorizedKeys.keys;
      variant = config.system.nixos.variant_id;
      ssh = {
        inherit (config.services.openssh) enable hostKeys authorizedKeysInHomedir;
        inherit (config.services.openssh.settings) PasswordAuthentication KbdInteractiveAuthentication PermitRootLogin;
      };
      autologin = config.services.getty.autologinUser;
      swraid = config.boot.swraid.enable;
      bcache = config.boot.bcache.enable;
      lvm = config.environment.etc."lvm/lvm.conf".text;
      udev = config.services.udev.extraRules;
      nix = { inherit (config.nix) enable; inherit (config.nix) settings; };
      network = {
        inherit (config.networking) useNetworkd useDHCP;
        boot = { inherit (config.systemd.network.networks."10-boot") matchConfig networkConfig dhcpV4Config; };
      };
      parameters = config.boot.kernelParams;
    }
  else
    { }
)
// (
  if nixpkgs == null then
    { }
  else
    {
      texts = builtins.mapAttrs (_: unit: unit.text) (ours config.systemd.units);
      names = builtins.attrNames config.systemd.units;
    }
    // (if config ? bootstrapd then {
      release = config.environment.etc."os-release".source.text or "";
      script = config.system.build.netbootIpxeScript.text or "";
      manifest = config.system.build.bootstrapdImage.manifest or config.system.build.bootstrapdImage.env.manifest;
      udevPackages = map (package: package.pname or package.name) config.services.udev.packages;
      stage1Texts = builtins.mapAttrs (_: unit: unit.text) (ours config.boot.initrd.systemd.units);
    } else { })
)
