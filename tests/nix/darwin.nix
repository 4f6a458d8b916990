# Stub of nix-darwin: the options that our Mac's modules touch, strictly typed as nix-darwin has them.
{ lib, ... }:
let
  inherit (lib) types;
  d = import ./declare.nix { inherit lib; };
  idle = d.maybe (types.either types.ints.positive (types.enum [ "never" ]));
  limits = d.maybe (types.submodule { options.NumberOfFiles = d.maybe types.int; });
in
{
  options = {
    assertions = d.list types.unspecified;
    warnings = d.list types.str;
    nixpkgs.hostPlatform = d.required (types.either types.str types.attrs);
    networking = {
      hostName = d.maybe types.str;
      computerName = d.maybe types.str;
    };
    services.openssh.enable = d.on;
    users.users = d.tables { openssh.authorizedKeys.keys = d.list types.singleLineStr; };
    nix = {
      enable = d.flag true;
      settings = d.table (types.either d.setting types.str);
    };
    power = {
      sleep = {
        computer = idle;
        display = idle;
        harddisk = idle;
      };
      restartAfterPowerFailure = d.maybe types.bool;
      restartAfterFreeze = d.maybe types.bool;
    };
    environment.systemPackages = d.list types.package;
    system = {
      stateVersion = d.required types.int;
      primaryUser = d.maybe types.str;
      activationScripts = d.tables { text = d.text; };
    };
    launchd.daemons = d.tables {
      serviceConfig = d.optional (types.submodule {
        options = {
          ProgramArguments = d.maybe (types.listOf types.str);
          EnvironmentVariables = d.maybe (types.attrsOf types.str);
          KeepAlive = d.maybe types.bool;
          RunAtLoad = d.maybe types.bool;
          StandardOutPath = d.maybe types.path;
          StandardErrorPath = d.maybe types.path;
          ThrottleInterval = d.maybe types.int;
          SoftResourceLimits = limits;
          HardResourceLimits = limits;
        };
      }) { };
    };
  };
}
