# What the appliance's NixOS module makes of `settings`, as data that JSON can carry. `folder` is where module.nix is:
# the repository's, or a copy that a test has broken.
{
  folder ? ../../nixos-appliance,
  services, # services.bootstrapd, but for its package
  package ? "/nix/store/bootstrapd", # where it stands; nothing is there
}:
let
  lib = import ./lib.nix;
  system = import ./system.nix {
    specialArgs.utils = import ./utils.nix { inherit lib; };
    modules = [
      (folder + "/module.nix")
      {
        services.bootstrapd = {
          enable = true;
          package = {
            type = "derivation";
            name = "bootstrapd";
            outPath = package;
            meta.mainProgram = "bootstrapd";
          };
        } // services;
      }
    ];
  };
  inherit (system) config;
  defined = value: builtins.tryEval value;
  unit = name: {
    inherit (config.systemd.services.${name})
      description
      wants
      requires
      after
      before
      wantedBy
      unitConfig
      serviceConfig
      stopIfChanged
      ;
    startLimitIntervalSec = (defined config.systemd.services.${name}.startLimitIntervalSec).value;
    path = map toString config.systemd.services.${name}.path;
  };
  etc = config.environment.etc."bootstrapd/config.toml".source;
in
{
  inherit (config.services.bootstrapd) settings;
  units = lib.genAttrs [ "bootstrapd" "bootstrapd-images" ] unit;
  firewall = {
    inherit (config.networking.firewall) allowedTCPPorts allowedUDPPorts interfaces;
  };
  tmpfiles = config.systemd.tmpfiles.settings;
  user = { inherit (config.users.users.bootstrapd) group isSystemUser home; };
  groups = lib.attrNames config.users.groups;
  packages = map toString config.environment.systemPackages;
  # Derivations: who builds them has had them checked by bootstrapd.
  config = etc;
  images = config.environment.etc."bootstrapd/images".source;
}
