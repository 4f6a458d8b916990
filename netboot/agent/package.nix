# The agent with what it needs on its PATH. The script itself stays as it is, the one file that travels: the image, the
# overlay and a person with a serial line have the same.
{
  lib,
  runCommand,
  runtimeShell,
  coreutils,
  curl,
  gawk,
  gnugrep,
  gnused,
  iproute2,
  openssh,
  util-linux,
  # Without it the agent makes no SSH host key and tells none: for images that nobody logs in to.
  withHostKey ? true,
}:
let
  programs = [
    coreutils
    curl
    gawk
    gnugrep
    gnused
    iproute2 # which card has an address
    util-linux # blkid
  ]
  ++ lib.optional withHostKey openssh;
in
runCommand "bootstrapd-agent-0.1.0"
  {
    inherit runtimeShell;
    agent = ./bootstrapd-agent;
    binPath = lib.makeBinPath programs;
    passthru = { inherit programs; };
    meta = {
      description = "Tells a bootstrapd appliance what machine this is, and that its installed system runs";
      mainProgram = "bootstrapd-agent";
      platforms = lib.platforms.linux;
    };
  }
  ''
    mkdir -p "$out/bin" "$out/libexec"
    cp "$agent" "$out/libexec/bootstrapd-agent"
    chmod 555 "$out/libexec/bootstrapd-agent"
    printf '#!%s\nPATH=%s''${PATH:+:$PATH}\nexport PATH\nexec %s %s "$@"\n' \
      "$runtimeShell" "$binPath" "$runtimeShell" "$out/libexec/bootstrapd-agent" > "$out/bin/bootstrapd-agent"
    chmod 555 "$out/bin/bootstrapd-agent"
  ''
