# Short words for the stub options: `optional TYPE DEFAULT`, `required TYPE`, `on` (an enable switch), lists and tables.
{ lib }:
let
  inherit (lib) mkOption types;
in
rec {
  required = type: mkOption { inherit type; };
  optional = type: default: mkOption { inherit type default; };
  made = type: default: mkOption { inherit type default; readOnly = true; };
  flag = optional types.bool;
  on = flag false;
  maybe = type: optional (types.nullOr type) null;
  list = type: optional (types.listOf type) [ ];
  table = type: optional (types.attrsOf type) { };
  tables = options: table (types.submodule { inherit options; });
  listOfTables = options: list (types.submodule { inherit options; });
  text = optional types.lines "";
  anything = optional types.anything { };

  # A value in a systemd unit or network file: one, or a list that grows.
  scalar = types.nullOr (types.oneOf [ types.bool types.int types.float types.str types.path types.package ]);
  setting = types.either scalar (types.listOf scalar);
  section = table setting;
  sections = list (types.attrsOf setting);
}
