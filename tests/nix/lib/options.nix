# Options: how they are declared, and what is said of them.
{ lib }:
let
  inherit (lib) concatStringsSep match;
in
rec {
  mkOption = attrs: attrs // { _type = "option"; };
  isOption = value: value._type or null == "option";
  mkEnableOption =
    what:
    mkOption {
      default = false;
      example = true;
      description = "Whether to enable ${what}.";
      type = lib.types.bool;
    };
  mkPackageOption =
    pkgs: names:
    {
      nullable ? false,
      default ? names,
      ...
    }:
    let
      path = lib.toList default;
      type = if nullable then lib.types.nullOr lib.types.package else lib.types.package;
    in
    mkOption (
      {
        inherit type;
        description = "The ${lib.last (lib.toList names)} package to use.";
      }
      // lib.optionalAttrs (default == null && nullable) { default = null; }
      // lib.optionalAttrs (default != null) {
        default = lib.attrByPath path (throw "pkgs.${concatStringsSep "." path} cannot be found in pkgs") pkgs;
        defaultText = literalExpression "pkgs.${concatStringsSep "." path}";
      }
    );
  literalExpression = text: {
    _type = "literalExpression";
    inherit text;
  };
  literalMD = text: {
    _type = "literalMD";
    inherit text;
  };

  showOption = path: concatStringsSep "." (map (step: if match "[a-zA-Z_][a-zA-Z0-9_'-]*|<.*>" step == null then builtins.toJSON step else step) path);
  showFiles = files: concatStringsSep " and " (map (file: "`${file}'") files);
  getFiles = map (def: def.file);
  showDefs = defs: lib.concatMapStrings (def: "\n- In `${def.file}'${showValue def.value}") defs;

  showValue =
    value:
    if builtins.elem (builtins.typeOf value) [ "string" "int" "bool" "float" "null" ] then
      ": ${builtins.toJSON value}"
    else
      ": <${builtins.typeOf value}>";

  # One definition alone, or all of them the same.
  mergeOneOption =
    loc: defs:
    if builtins.length defs == 1 then
      (builtins.head defs).value
    else
      throw "The option `${showOption loc}' is defined multiple times while it's expected to be unique.\nDefinition values:${showDefs defs}";
  mergeEqualOption =
    loc: defs:
    let
      first = (builtins.head defs).value;
    in
    if builtins.all (def: def.value == first) defs then
      first
    else
      throw "The option `${showOption loc}' has conflicting definition values:${showDefs defs}";
  mergeDefaultOption =
    loc: defs:
    if builtins.length defs == 1 then
      (builtins.head defs).value
    else if builtins.all (def: builtins.isList def.value) defs then
      builtins.concatMap (def: def.value) defs
    else if builtins.all (def: builtins.isAttrs def.value) defs then
      lib.mergeAttrsList (map (def: def.value) defs)
    else
      mergeEqualOption loc defs;
}
