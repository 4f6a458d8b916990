# Stub of NixOS: assertions, nixpkgs, environment, users, files, security, nix itself.
{ config, lib, pkgs, ... }:
let
  inherit (lib) types;
  d = import ../declare.nix { inherit lib; };
in
{
  options = {
    assertions = d.list types.unspecified;
    warnings = d.list types.str;
    meta = d.table types.unspecified;

    system = {
      build = d.optional (types.submodule { freeformType = types.lazyAttrsOf types.unspecified; }) { };
      stateVersion = d.required types.str;
      nixos.label = d.optional types.str "stub";
      nixos.variant_id = d.maybe types.str;
      name = d.optional types.str "stub";
      activationScripts = d.table (types.either types.str types.attrs);
      extraDependencies = d.list types.pathInStore;
      switch.enable = d.flag true;
      disableInstallerTools = d.on;
      image = { id = d.maybe types.str; version = d.maybe types.str; };
    };
    nixpkgs = {
      hostPlatform = d.required (types.either types.str types.attrs);
      buildPlatform = d.maybe (types.either types.str types.attrs);
      config = d.anything;
      overlays = d.list types.unspecified;
      pkgs = d.maybe types.pkgs;
    };
    nix = {
      enable = d.flag true;
      settings = d.table (types.either d.setting types.str);
      gc = { automatic = d.on; dates = d.optional types.str "03:15"; options = d.optional types.str ""; };
      optimise.automatic = d.on;
      channel.enable = d.flag true;
      extraOptions = d.text;
      package = d.optional types.package pkgs.nix;
      registry = d.table types.attrs;
      nixPath = d.list types.str;
      buildMachines = d.list types.attrs;
      distributedBuilds = d.on;
    };
    environment = {
      systemPackages = d.list types.package;
      defaultPackages = d.list types.package;
      etc = d.tables {
        enable = d.flag true;
        text = d.maybe types.lines;
        source = d.maybe types.path;
        mode = d.optional types.str "symlink";
        user = d.optional types.str "+0";
        group = d.optional types.str "+0";
        target = d.maybe types.str;
      };
      variables = d.table (types.either types.str (types.listOf types.str));
      sessionVariables = d.table (types.either types.str (types.listOf types.str));
      shellAliases = d.table types.str;
      stub-ld.enable = d.flag true;
      enableAllTerminfo = d.on;
    };
    users = {
      mutableUsers = d.flag true;
      allowNoPasswordLogin = d.on;
      defaultUserShell = d.optional (types.either types.path types.package) "/bin/sh";
      users = d.table (types.submodule (
        { name, ... }:
        {
          options = {
            name = d.optional types.str name;
            uid = d.maybe types.int;
            group = d.optional types.str "";
            extraGroups = d.list types.str;
            description = d.optional types.str "";
            home = d.optional types.path "/var/empty";
            createHome = d.on;
            isSystemUser = d.on;
            isNormalUser = d.on;
            shell = d.optional (types.nullOr (types.either types.path types.package)) null;
            password = d.maybe types.str;
            hashedPassword = d.maybe types.str;
            initialHashedPassword = d.maybe types.str;
            initialPassword = d.maybe types.str;
            hashedPasswordFile = d.maybe types.str;
            linger = d.on;
            packages = d.list types.package;
            openssh.authorizedKeys = { keys = d.list types.singleLineStr; keyFiles = d.list types.path; };
          };
        }
      ));
      groups = d.tables { gid = d.maybe types.int; members = d.list types.str; };
    };
    security = {
      sudo = { enable = d.flag true; wheelNeedsPassword = d.flag true; };
      polkit = { enable = d.on; extraConfig = d.text; };
      rtkit.enable = d.on;
      protectKernelImage = d.on;
      pam.loginLimits = d.list types.attrs;
      pki.certificateFiles = d.list types.path;
    };
    time = { timeZone = d.maybe types.str; hardwareClockInLocalTime = d.on; };
    i18n = { defaultLocale = d.optional types.str "en_US.UTF-8"; supportedLocales = d.list types.str; };
    console = { enable = d.flag true; keyMap = d.optional (types.either types.str types.path) "us"; font = d.maybe types.str; };
    documentation = {
      enable = d.flag true;
      man.enable = d.flag true;
      doc.enable = d.flag true;
      info.enable = d.flag true;
      nixos.enable = d.flag true;
    };
    fonts.fontconfig.enable = d.flag true;
    xdg = { mime.enable = d.flag true; icons.enable = d.flag true; sounds.enable = d.flag true; autostart.enable = d.flag true; menus.enable = d.flag true; };
    programs = {
      bash.interactiveShellInit = d.text;
      bash.loginShellInit = d.text;
      git.enable = d.on;
      command-not-found.enable = d.flag true;
      less.lessopen = d.maybe types.str;
      nano.enable = d.flag true;
      vim.enable = d.on;
      ssh = { knownHosts = d.table types.attrs; setXAuthLocation = d.on; extraConfig = d.text; };
    };
    powerManagement = { enable = d.flag true; cpuFreqGovernor = d.maybe types.str; };
    zramSwap = { enable = d.on; memoryPercent = d.optional types.int 50; };
    specialisation = d.tables { configuration = d.anything; inheritParentConfig = d.flag true; };
    fileSystems = d.table (types.submodule (
      { name, ... }:
      {
        options = {
          mountPoint = d.optional types.str name;
          device = d.maybe types.nonEmptyStr;
          label = d.maybe types.nonEmptyStr;
          fsType = d.optional types.nonEmptyStr "auto";
          options = d.optional (types.nonEmptyListOf types.nonEmptyStr) [ "defaults" ];
          depends = d.list types.str;
          neededForBoot = d.on;
          autoResize = d.on;
          autoFormat = d.on;
          noCheck = d.on;
        };
      }
    ));
    swapDevices = d.listOfTables { device = d.required types.str; size = d.maybe types.int; options = d.list types.str; };
    virtualisation = {
      docker = { enable = d.on; package = d.optional types.package pkgs.coreutils; daemon.settings = d.anything; };
      podman = { enable = d.on; dockerCompat = d.on; defaultNetwork.settings = d.anything; };
      containers.enable = d.on;
      libvirtd = { enable = d.on; onBoot = d.optional types.str "start"; qemu = { runAsRoot = d.flag true; swtpm.enable = d.on; package = d.optional types.package pkgs.qemu; }; };
    };
  };

  # toplevel is what nixos-install gets: never built while an assertion fails.
  config.system.build.toplevel =
    let
      failed = lib.filter (assertion: !assertion.assertion) config.assertions;
      units = lib.attrNames (lib.filterAttrs (_: service: service.enable) config.systemd.services);
    in
    lib.mkDefault (
      if failed != [ ] then
        throw "Failed assertions:\n- ${lib.concatMapStringsSep "\n- " (assertion: assertion.message) failed}"
      else
        pkgs.runCommand "nixos-system-${config.networking.hostName}" { } (
          lib.concatMapStrings (unit: "mkdir -p $out/etc/systemd/system; : > $out/etc/systemd/system/${unit}.service\n") units
        )
    );
}
