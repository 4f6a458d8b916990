# Profile cim-mac as a Mac's system: over the stub options, or over nix-darwin's own where it is given.
{
  darwin ? null,
  nixpkgs ? null,
  profiles ? ../../hosts/profiles,
}:
let
  own = [
    (profiles + "/cim-mac.nix")
    {
      nixpkgs.hostPlatform = "aarch64-darwin";
      networking.hostName = "mac-1";
      system.stateVersion = 6;
      cim.mac.hub = [ "tls://hub.example.org:7422" ];
      cim.mac.command = [ "/opt/cim/bin/cim-agent" ];
    }
  ];
  stub =
    let
      lib = import ./lib.nix;
    in
    lib.evalModules {
      modules = [
        ./darwin.nix
        { _module.args.pkgs = import ./pkgs.nix { inherit lib; system = "aarch64-darwin"; }; }
      ]
      ++ own;
    };
  real = import (darwin + "/eval-config.nix") {
    lib = import (nixpkgs + "/lib");
    enableNixpkgsReleaseCheck = false;
    modules = own ++ [ { nixpkgs.source = nixpkgs; } ];
  };
  inherit (if darwin == null then stub else real) config;
in
{
  daemons = builtins.mapAttrs (_: daemon: builtins.removeAttrs daemon.serviceConfig [ "Sockets" ]) {
    inherit (config.launchd.daemons) nats limit-maxfiles cim;
  };
  sleep = { inherit (config.power.sleep) computer harddisk; };
  restarts = [ config.power.restartAfterPowerFailure config.power.restartAfterFreeze ];
}
