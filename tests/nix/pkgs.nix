# Stub packages: each is a derivation that a shell could build, none of them holds a program. A package that is not
# named here is an error, as a misspelt one would be with nixpkgs; add what your module needs. The builders that write
# text (`writeText`, `formats.*.generate`, …) really write it.
{
  lib ? import ./lib.nix,
  system ? "x86_64-linux",
  overlays ? [ ],
  ...
}:
let
  cpu = builtins.head (lib.splitString "-" system);
  platform = {
    inherit system;
    config = "${cpu}-unknown-linux-gnu";
    isLinux = !isDarwin;
    inherit isDarwin;
    isx86_64 = cpu == "x86_64";
    isAarch64 = cpu == "aarch64";
    isx86 = cpu == "x86_64";
    efiArch = if cpu == "x86_64" then "x64" else "aa64";
    linuxArch = if cpu == "x86_64" then "x86_64" else "arm64";
    linux-kernel.target = if cpu == "x86_64" then "bzImage" else "Image";
    parsed.cpu.name = cpu;
    isEfi = true;
    canExecute = other: other.system == system;
  };
  isDarwin = lib.hasSuffix "darwin" system;

  # `write` is a shell command that makes $out; `about` comes on top of the derivation and can be looked at.
  build =
    name: env: write: about:
    let
      drv = derivation (
        {
          inherit name system;
          builder = "/bin/sh";
          args = [ "-c" "PATH=/usr/bin:/bin\n${write}" ];
        }
        // env
      );
    in
    drv
    // {
      inherit name;
      pname = about.pname or name;
      meta = { };
      passthru = { };
      override = _: drv // about;
      overrideAttrs = change: build name (env // (if lib.isFunction change then change (env // about) else change)) write about;
    }
    // about;

  stub =
    pname: about:
    build "${pname}-1.0" { } "mkdir -p $out/bin" (
      {
        inherit pname;
        version = "1.0";
        out = stub pname about;
        meta.mainProgram = pname;
      }
      // about
    );

  text =
    name: content: about:
    build name { inherit content; } "printf %s \"$content\" > $out" ({ text = content; } // about);
  script =
    name: content:
    build name { inherit content; } "mkdir -p $out/bin; printf %s \"$content\" > $out/bin/${name}; chmod +x $out/bin/${name}" {
      text = content;
      meta.mainProgram = name;
    };
  folder = name: entries: build name { inherit entries; } "mkdir -p $out; printf %s \"$entries\" > $out/.entries" { inherit entries; };

  # A document of one type of format: `generate` writes it, and keeps the value to be looked at.
  format = render: valueType: _: {
    type = valueType;
    generate = name: value: text name (render value) { inherit value; };
  };
  toml = import ./toml.nix { inherit lib; };
  atom = with lib.types; nullOr (oneOf [ bool int float str path ]);
  nested = lib.types.nullOr (lib.types.oneOf [ lib.types.bool lib.types.int lib.types.float lib.types.str lib.types.path (lib.types.attrsOf nested) (lib.types.listOf nested) ]);

  named = lib.genAttrs [
    "acl" "attr" "bash" "busybox" "btrfs-progs" "cacert" "coreutils" "cpio" "cryptsetup" "curl" "dosfstools" "e2fsprogs" "xfsprogs"
    "edk2-uefi-shell" "efibootmgr" "ethtool" "findutils" "gawk" "gnugrep" "gnused" "gnutar" "grafana" "grub2" "grub2_efi"
    "gzip" "iproute2" "ipxe" "jq" "kmod" "linux" "lvm2" "mdadm" "mtools" "nats-server" "natscli" "nix" "nixos-anywhere"
    "nixos-facter" "nixos-install-tools" "nvme-cli" "openssh" "parted" "pciutils" "prometheus-dcgm-exporter"
    "prometheus-nats-exporter" "prometheus-node-exporter" "prometheus" "qemu" "sgdisk" "gptfdisk" "smartmontools"
    "sudo" "syslinux" "systemd" "tftp-hpa" "util-linux" "dmidecode" "usbutils" "vim" "wimboot" "xz" "zfs" "zstd"
    "loki" "promtail" "alloy" "dnsmasq" "git" "gitMinimal" "grafana-alloy" "iputils" "hwdata" "squashfsTools" "xorriso" "rsync" "htop" "cudatoolkit"
  ] (name: stub name { });

  python = stub "python3" {
    pkgs = pythonPackages;
    interpreter = "/bin/python3";
    sitePackages = "lib/python3.13/site-packages";
    withPackages = choose: stub "python3-env" { paths = choose pythonPackages; };
  };
  pythonPackages =
    lib.genAttrs [
      "aiohttp" "click" "dnslib" "hatchling" "hypothesis" "jinja2" "jsonschema" "mkdocs" "msgspec" "nats-py" "nkeys"
      "prometheus-client" "pynacl" "pyroute2" "pytest" "pytest-asyncio" "pytest-cov" "pytest-timeout" "pytest-xdist"
      "rich" "scapy" "structlog" "tftpy" "tomlkit" "uvloop"
    ] (name: stub "python3-${name}" { })
    // {
      inherit python;
      buildPythonApplication = attrs: built attrs;
      buildPythonPackage = attrs: built attrs;
      pytestCheckHook = stub "pytest-check-hook" { };
      pythonRelaxDepsHook = stub "python-relax-deps-hook" { };
      pythonImportsCheckHook = stub "python-imports-check-hook" { };
    };
  # What mkDerivation and its like were given stays to be looked at.
  built =
    given:
    let
      attrs = if lib.isFunction given then lib.fix given else given;
      name = attrs.name or "${attrs.pname}-${attrs.version}";
    in
    build name { } "mkdir -p $out/bin" (attrs // { pname = attrs.pname or name; meta = attrs.meta or { }; given = attrs; } // (attrs.passthru or { }));

  kernel = stub "linux" { version = "6.12"; modDirVersion = "6.12.0"; target = platform.linux-kernel.target; config = { }; features = { }; kernelOlder = _: false; kernelAtLeast = _: true; };
  kernelPackages = {
    inherit kernel;
    nvidiaPackages = lib.genAttrs [ "stable" "production" "beta" "latest" "dc" ] (name: stub "nvidia-x11-${name}" { open = stub "nvidia-open" { }; });
    zfs = stub "zfs-kernel" { };
    extend = _: kernelPackages;
  };

  pkgs =
    named
    // {
      _type = "pkgs";
      inherit lib system pkgs;
      config = { };
      hostPlatform = platform;
      targetPlatform = platform;
      buildPlatform = platform;
      stdenv = {
        mkDerivation = built;
        hostPlatform = platform;
        buildPlatform = platform;
        targetPlatform = platform;
        inherit isDarwin;
        isLinux = !isDarwin;
        cc = stub "cc" { };
        shell = "/bin/sh";
      };
      stdenvNoCC = pkgs.stdenv;
      python3 = python;
      python3Packages = pythonPackages;
      python311Packages = pythonPackages;
      python312Packages = pythonPackages;
      python313Packages = pythonPackages;
      python313 = python;
      linuxPackages = kernelPackages;
      linuxPackages_latest = kernelPackages;
      cudaPackages = { cudatoolkit = stub "cudatoolkit" { }; cuda_nvcc = stub "cuda_nvcc" { }; cuda_cudart = stub "cuda_cudart" { }; };
      runtimeShell = "/bin/sh";

      callPackage =
        what: given:
        let
          f = if lib.isFunction what then what else import what;
        in
        f (builtins.intersectAttrs (lib.functionArgs f) (pkgs // pythonPackages // given) // given);
      extend = overlay: pkgs // overlay (pkgs.extend overlay) pkgs;
      appendOverlays = lib.foldl' (set: overlay: set.extend overlay) pkgs;

      writeText = name: content: text name content { };
      writeTextFile =
        { name, text, executable ? false, destination ? "", ... }:
        build name { inherit text; } "target=\"$out${destination}\"; mkdir -p \"$(dirname \"$target\")\"; printf %s \"$text\" > \"$target\"${lib.optionalString executable "; chmod +x \"$target\""}" { inherit text; };
      writeTextDir = path: content: pkgs.writeTextFile { name = baseNameOf path; text = content; destination = "/${path}"; };
      writeScript = name: content: text name content { };
      writeScriptBin = script;
      writeShellScript = name: content: text name "#!/bin/sh\n${content}" { };
      writeShellScriptBin = name: content: script name "#!/bin/sh\n${content}";
      writeShellApplication =
        { name, text, runtimeInputs ? [ ], ... }:
        script name "#!/bin/sh\nset -o errexit -o nounset -o pipefail\nexport PATH=\"${lib.makeBinPath runtimeInputs}:$PATH\"\n${text}" // { inherit runtimeInputs; };
      runCommand = name: env: command: build name (removeAttrs env [ "meta" "passthru" "nativeBuildInputs" "buildInputs" ]) "set -e\nPATH=${lib.makeBinPath (env.nativeBuildInputs or [ ])}:$PATH\n${command}" ({ inherit env; buildCommand = command; meta = env.meta or { }; } // (env.passthru or { }));
      runCommandLocal = pkgs.runCommand;
      symlinkJoin = { name, paths, ... }: folder name (map toString paths);
      buildEnv = { name, paths, ... }: folder name (map toString paths);
      linkFarm =
        name: entries:
        let
          paths = if lib.isList entries then lib.listToAttrs (map (entry: lib.nameValuePair entry.name entry.path) entries) else entries;
          links = lib.mapAttrsToList (entry: path: "ln -s ${path} $out/${entry}\n") paths;
        in
        build name { } "mkdir -p $out\n${lib.concatStrings links}" { inherit entries; };
      concatText = name: files: folder name (map toString files);
      closureInfo = { rootPaths, ... }: folder "closure-info" (map toString rootPaths);
      makeWrapper = stub "make-wrapper" { };
      installShellFiles = stub "install-shell-files" { };
      fetchurl = { url, ... }: text (baseNameOf url) "" { };
      formats = {
        toml = format toml nested;
        json = format builtins.toJSON nested;
        yaml = format builtins.toJSON nested; # JSON is YAML
        ini = format (sections: lib.concatStrings (lib.mapAttrsToList (name: keys: "[${name}]\n" + lib.concatStrings (lib.mapAttrsToList (key: value: "${key}=${lib.generators.mkValueStringDefault { } value}\n") keys)) sections)) (lib.types.attrsOf (lib.types.attrsOf atom));
        keyValue = format (keys: lib.concatStrings (lib.mapAttrsToList (key: value: "${key}=${lib.generators.mkValueStringDefault { } value}\n") keys)) (lib.types.attrsOf atom);
      };
      testers = {
        runNixOSTest = test: stub "vm-test" { inherit test; };
        nixosTest = test: stub "vm-test" { inherit test; };
      };
      nixosTest = pkgs.testers.nixosTest;
    };
in
lib.foldl' (set: overlay: set // overlay set set) pkgs overlays
