# Stub of nixpkgs' module of the same name: a kernel and an initrd that only look like ones, and what names them.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  target = pkgs.stdenv.hostPlatform.linux-kernel.target;
  # What bootstrapd/wire/bootfile.py knows kernels by: the magic at 0x202 of a bzImage, at 56 of an arm64 Image.
  head =
    if target == "bzImage" then
      "dd if=/dev/zero bs=514 count=1; printf HdrS"
    else
      "dd if=/dev/zero bs=56 count=1; printf 'ARM\\144'";
in
{
  options.system.boot.loader.kernelFile = lib.mkOption {
    type = lib.types.str;
    default = target;
  };
  config.boot.loader.grub.enable = false;
  config.fileSystems."/".fsType = "tmpfs";
  config.system.build = {
    kernel = pkgs.runCommand "linux" { } ''
      mkdir -p $out
      { ${head}; dd if=/dev/zero bs=4096 count=1; } >$out/${target} 2>/dev/null
    '';
    # The real one holds the system's store too.
    netbootRamdisk = pkgs.runCommand "initrd" { toplevel = config.system.build.toplevel; } ''
      mkdir -p $out
      echo "070701 $toplevel" >$out/initrd
    '';
  };
}
