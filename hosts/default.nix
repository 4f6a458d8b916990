# A hosts folder -> { nixosConfigurations, darwinConfigurations, fleet }.
#
#   import ./hosts { inherit nixpkgs disko; } { folder = ./.; }
#
# The first set is flake inputs. `modules` go into every NixOS host, `darwinModules` into every Mac, `specialArgs` to all
# of them; `nix-darwin` is that flake, asked for only where a host is a Mac. What a host is made of, each part optional
# but the first: system.nix here, its layout, its profile's module, its own configuration.nix; layouts and profiles are
# looked up in the folder, then here. Module arguments of all: `host`, `profile`, `disks` (role -> device), `network`, `networks`.
{
  nixpkgs,
  disko,
}:
{
  folder,
  nix-darwin ? null,
  modules ? [ ],
  darwinModules ? [ ],
  specialArgs ? { },
}:
let
  inherit (nixpkgs) lib;
  addresses = import ./networks.nix;
  fleet = import ./fleet.nix { inherit folder; };

  # The file of this name, the user's or ours; null where neither has it.
  lookUp =
    name:
    let
      places = lib.filter builtins.pathExists [
        (folder + "/${name}")
        (./. + "/${name}")
      ];
    in
    if places == [ ] then null else lib.head places;
  existing = file: lib.optional (file != null) file;

  layoutOf =
    host: profile:
    let
      file = lookUp "layouts/${profile.layout}.nix";
    in
    if profile.layout == "" then
      null
    else if file == null then
      throw ''
        hosts/profiles/${profile.name}.toml: layout: there is no hosts/layouts/${profile.layout}.nix, and none is shipped (there are: ${lib.concatStringsSep ", " shippedLayouts})''
    else
      file;
  shippedLayouts = map (lib.removeSuffix ".nix") (builtins.attrNames (builtins.readDir ./layouts));

  # Which disk plays which role. The daemon writes disks.json when it has chosen them; until then each is a name that no
  # disk can have, so that a system evaluates and an install of it refuses.
  disksOf =
    host: profile: layout:
    let
      file = folder + "/${host.name}/disks.json";
      chosen = if builtins.pathExists file then checked (reading (lib.importJSON file)) else { };
      reading = builtins.addErrorContext "while reading hosts/${host.name}/disks.json";
      # What the appliance writes, and nothing that is another disk after the next boot.
      isStable = device: builtins.isString device && builtins.match "/dev/disk/by-[a-z]+/[A-Za-z0-9][A-Za-z0-9._:+=@-]*" device != null;
      checked =
        value:
        if builtins.isAttrs value && lib.all isStable (lib.attrValues value) then
          value
        else
          throw ''hosts/${host.name}/disks.json: expected a name in /dev/disk/by-id for each role, as in { "main": "/dev/disk/by-id/…" }, found ${builtins.toJSON value}'';
      roles = builtins.attrNames (declaredDisks host profile);
      unknown = role: "/dev/disk/by-id/no-disk-chosen-for-${host.name}-${role}";
      missing = role: throw ''
        hosts/${host.name}/host.toml: disk.${role}: missing; layout ${baseNameOf layout} needs a [disk.${role}]'';
    in
    lib.genAttrs (if layout == null then [ ] else [ "main" ] ++ asked layout) missing // lib.genAttrs roles unknown // chosen;
  # What bootstrapd/policy/claim.py chooses disks by: the host's own selectors, else its profile's, else one disk.
  declaredDisks =
    host: profile:
    if host.disk != { } then
      host.disk
    else if profile.disk or { } != { } then
      profile.disk
    else
      { main = { }; };
  # The roles that a layout's text names: `disks.NAME`.
  asked =
    layout:
    let
      code = lib.concatMapStrings (line: lib.head (builtins.match "([^#]*).*" line)) (lib.splitString "\n" (builtins.readFile layout));
    in
    lib.flatten (lib.filter lib.isList (builtins.split "disks[.]([A-Za-z0-9_-]+)" code));

  platforms = {
    x86_64 = "x86_64-linux";
    aarch64 = "aarch64-linux";
    i686 = "i686-linux";
    arm = "armv7l-linux";
  };
  # The platform of the one CPU that the profile's images are for.
  platformOf =
    profile:
    let
      cpus = if lib.isAttrs profile.image then lib.remove "" (builtins.attrNames profile.image) else [ ];
    in
    if lib.length cpus == 1 then platforms.${lib.head cpus} else "x86_64-linux";

  argsOf =
    host: profile: disks:
    specialArgs
    // {
      inherit host profile disks;
      inherit (fleet) networks;
      network = addresses.of fleet.networks host.network.address;
    };
  ownModules =
    host: profile:
    existing (lookUp "profiles/${profile.name}.nix")
    ++ lib.optional (builtins.pathExists (folder + "/${host.name}/configuration.nix")) (folder + "/${host.name}/configuration.nix");

  nixos =
    host:
    let
      profile = fleet.profiles.${host.profile};
      layout = layoutOf host profile;
    in
    nixpkgs.lib.nixosSystem {
      specialArgs = argsOf host profile (disksOf host profile layout);
      modules = [
        disko.nixosModules.disko
        ../netboot/agent/module.nix
        ./system.nix
        {
          nixpkgs.hostPlatform = lib.mkDefault (platformOf profile);
          users.users.root.openssh.authorizedKeys.keys = authorizedKeys;
        }
      ]
      ++ existing layout
      ++ modules
      ++ ownModules host profile;
    };

  mac =
    host:
    let
      profile = fleet.profiles.${host.profile};
    in
    if nix-darwin == null then
      throw "hosts/${host.name}/host.toml: profile: ${profile.name} is for Macs, and needs nix-darwin: an input of your flake, given as `bootstrapd.lib.fleet { folder = ./.; inherit nix-darwin; }`"
    else
      nix-darwin.lib.darwinSystem {
        specialArgs = argsOf host profile { };
        modules = [
          ./mac.nix
          { users.users.root.openssh.authorizedKeys.keys = authorizedKeys; }
        ]
        ++ darwinModules
        ++ ownModules host profile;
      };

  # The keys that may log in as root, one a line.
  authorizedKeys =
    let
      file = folder + "/authorized_keys";
      lines = map lib.trim (lib.splitString "\n" (builtins.readFile file));
    in
    lib.optionals (builtins.pathExists file) (lib.filter (line: line != "" && !lib.hasPrefix "#" line) lines);

  of = system: lib.filterAttrs (_: host: fleet.profiles.${host.profile}.system == system) fleet.hosts;
in
{
  inherit fleet;
  nixosConfigurations = lib.mapAttrs (_: nixos) (of "nixos");
  darwinConfigurations = lib.mapAttrs (_: mac) (of "darwin");
}
