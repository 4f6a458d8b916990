# NixOS' `utils`, the module argument, as far as our modules use it (nixpkgs: nixos/lib/utils.nix).
{ lib }:
let
  # systemd.unit(5), "String escaping for inclusion in unit names", for names without odd characters.
  escapePath = lib.replaceStrings [ "-" "/" ] [ "\\x2d" "-" ];
  # systemd.service(5), "Command lines": quoted as JSON quotes, and no specifier or variable is expanded.
  escapeArgument =
    argument:
    let
      text = if builtins.isPath argument then "${argument}" else toString argument;
    in
    lib.replaceStrings [ "%" "$" ] [ "%%" "$$" ] (builtins.toJSON text);
in
{
  escapeSystemdPath = path: escapePath (lib.removePrefix "/" path);
  escapeSystemdExecArg = escapeArgument;
  escapeSystemdExecArgs = lib.concatMapStringsSep " " escapeArgument;
}
