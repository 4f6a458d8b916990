# An image as a folder that `bootstrapd images add` takes: kernel, initrd, and manifest.json with the command line,
# sizes and checksums (bootstrapd/edge/image_source.py, format 1). What the appliance would refuse is refused here
# already, by the same rules: at evaluation where it can be known, else by the build.
{ lib, pkgs }:
{
  name,
  kernel, # a file
  kernelName ? baseNameOf kernel,
  initrd, # a file
  cmdline, # a list of words
  arch, # x86_64, aarch64 or i686
  kind ? "nixos", # or "linux"
}:
let
  text = toString cmdline;
  # Each of these would end the line, start a command or be taken away in an iPXE script.
  ipxe = builtins.filter (word: lib.hasInfix word text) [ "\"" "'" "\\" "\n" "\${" ] ++ builtins.filter (word: builtins.elem word [ "||" "&&" ";" ]) cmdline;
  mistakes =
    lib.optional (!(builtins.elem arch [ "x86_64" "aarch64" "i686" ])) "arch ${arch} is none of x86_64, aarch64, i686"
    ++ lib.optional (!(builtins.elem kind [ "nixos" "linux" ])) "kind ${kind} is neither nixos nor linux"
    ++ lib.optional (kind == "nixos" && !(builtins.any (lib.hasPrefix "init=/") cmdline)) "its command line has no init=/nix/store/…/init: the machine would end in an emergency shell (rule N1)"
    ++ map (word: "its command line has ${builtins.toJSON word}, which means something in an iPXE script") ipxe;
in
if mistakes != [ ] then
  throw "image ${name}: ${lib.concatStringsSep "; " mistakes}"
else
  pkgs.runCommand "bootstrapd-${name}-${arch}"
    {
      inherit kernel initrd kernelName;
      # JSON up to where the checksums come.
      manifest = lib.removeSuffix "}" (
        builtins.toJSON {
          format = 1;
          inherit kind arch;
          kernel = kernelName;
          initrds = [ "initrd" ];
          cmdline = toString (builtins.filter (word: !(lib.hasPrefix "initrd=" word)) cmdline);
        }
      );
    }
    ''
      checksum() { sha256sum "$1" | cut -d ' ' -f 1; }
      bytes() { wc -c < "$1" | tr -d ' '; }
      if [ "$(bytes "$initrd")" -ge 2147483648 ]; then
        echo "the initrd has 2 GiB or more: firmware and iPXE take less (rule I19)" >&2
        exit 1
      fi
      mkdir -p "$out"
      ln -s "$kernel" "$out/$kernelName"
      ln -s "$initrd" "$out/initrd"
      printf '%s,"sha256":{"%s":"%s","initrd":"%s"},"sizes":{"%s":%s,"initrd":%s}}\n' "$manifest" \
        "$kernelName" "$(checksum "$kernel")" "$(checksum "$initrd")" \
        "$kernelName" "$(bytes "$kernel")" "$(bytes "$initrd")" > "$out/manifest.json"
    ''
