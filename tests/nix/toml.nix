# A value as TOML: what `pkgs.formats.toml` writes, less pretty (tables below the first level stand on one line).
{ lib }:
let
  key = name: if builtins.match "[A-Za-z0-9_-]+" name == null then builtins.toJSON name else name;
  isTable = value: lib.isAttrs value && !(lib.isStringLike value);
  drop = lib.filterAttrs (_: value: value != null);
  pair = name: value: "${key name} = ${inline value}";
  inline =
    value:
    if isTable value then
      "{ ${lib.concatStringsSep ", " (lib.mapAttrsToList pair (drop value))} }"
    else if lib.isList value then
      "[ ${lib.concatMapStringsSep ", " inline value} ]"
    else if lib.isStringLike value && !lib.isString value then
      builtins.toJSON (toString value)
    else
      builtins.toJSON value; # text, whole numbers, fractions and truth are written alike
  table =
    keys:
    let
      tables = lib.filterAttrs (_: isTable) (drop keys);
      plain = lib.filterAttrs (_: value: !isTable value) (drop keys);
    in
    lib.concatLines (lib.mapAttrsToList pair plain)
    + lib.concatStrings (lib.mapAttrsToList (name: keys: "\n[${key name}]\n${lib.concatLines (lib.mapAttrsToList pair (drop keys))}") tables);
in
table
