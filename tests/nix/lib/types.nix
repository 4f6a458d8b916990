# The types of options. A type is a set of: `check` (may this value be one of me?), `merge` (place -> definitions ->
# value; a definition is { file, value }, already stripped of mkIf, mkForce and their like), `emptyValue` ({ value = …; }
# where nothing defined is something), `description` (for messages).
{ lib }:
let
  inherit (lib)
    all
    concatMapStringsSep
    concatStringsSep
    elem
    filterAttrs
    head
    isAttrs
    isFunction
    isInt
    isList
    isString
    mapAttrs
    match
    mergeEqualOption
    mergeOneOption
    showOption
    ;

  inherit (lib.modules) mergeDefinitions;

  between =
    lowest: highest:
    types.addCheck types.int (n: n >= lowest && n <= highest)
    // {
      description = "integer between ${toString lowest} and ${toString highest} (both inclusive)";
    };

  text =
    description: check:
    types.mkOptionType {
      inherit description;
      check = value: isString value && check value;
      merge = mergeEqualOption;
    };

  equal = description: check: types.mkOptionType {
    inherit description check;
    merge = mergeEqualOption;
  };

  # Where an element has no definition left (all of them mkIf false) it is not there; lazily: it is there, and empty.
  attrsWith =
    lazy: elemType:
    types.mkOptionType {
      description = "attribute set of ${elemType.description}";
      check = isAttrs;
      emptyValue.value = { };
      merge =
        loc: defs:
        let
          pushed = map (def: mapAttrs (_: value: { inherit (def) file; inherit value; }) def.value) defs;
          merged = builtins.zipAttrsWith (name: mergeDefinitions (loc ++ [ name ]) elemType) pushed;
        in
        if lazy then
          mapAttrs (_: one: one.optionalValue.value or elemType.emptyValue.value or one.mergedValue) merged
        else
          mapAttrs (_: one: one.mergedValue) (filterAttrs (_: one: one.isDefined) merged);
      nestedTypes.elemType = elemType;
    };

  types = rec {
    mkOptionType =
      {
        name ? "unnamed",
        description ? name,
        check ? (_: true),
        merge ? lib.mergeDefaultOption,
        emptyValue ? { },
        nestedTypes ? { },
        ...
      }@type:
      {
        _type = "option-type";
      }
      // type
      // {
        inherit name description check merge emptyValue nestedTypes;
      };

    raw = mkOptionType { description = "raw value"; merge = mergeOneOption; };
    unspecified = mkOptionType { description = "unspecified value"; };
    anything = mkOptionType {
      description = "anything";
      merge =
        loc: defs:
        let
          kind = value: if isAttrs value && lib.isStringLike value then "package" else builtins.typeOf value;
          kinds = lib.unique (map (def: kind def.value) defs);
        in
        if builtins.length kinds > 1 then
          throw "The option `${showOption loc}' has conflicting option types in ${lib.showFiles (lib.getFiles defs)}"
        else if kinds == [ "set" ] then
          (attrsOf anything).merge loc defs
        else if kinds == [ "package" ] then
          mergeOneOption loc defs
        else if kinds == [ "lambda" ] then
          arg: anything.merge (loc ++ [ "<function body>" ]) (map (def: def // { value = def.value arg; }) defs)
        else
          mergeEqualOption loc defs;
    };
    optionType = mkOptionType { description = "optionType"; check = value: value._type or null == "option-type"; merge = mergeOneOption; };

    bool = equal "boolean" builtins.isBool;
    int = equal "signed integer" isInt;
    float = equal "floating point number" builtins.isFloat;
    number = equal "signed integer or floating point number" (value: isInt value || builtins.isFloat value);
    port = ints.u16 // { description = "16 bit unsigned integer; between 0 and 65535 (both inclusive)"; };
    ints = {
      inherit between;
      unsigned = addCheck int (n: n >= 0) // { description = "unsigned integer, meaning >=0"; };
      positive = addCheck int (n: n > 0) // { description = "positive integer, meaning >0"; };
      u8 = between 0 255;
      u16 = between 0 65535;
      u32 = between 0 4294967295;
    };

    str = text "string" (_: true);
    nonEmptyStr = text "non-empty string" (value: match "[ \t\n]*" value == null);
    singleLineStr = text "(optionally newline-terminated) single-line string" (value: match "[^\n\r]*\n?" value != null) // {
      merge = loc: defs: lib.removeSuffix "\n" (mergeEqualOption loc defs);
    };
    strMatching = pattern: text "string matching the pattern ${pattern}" (value: match pattern value != null);
    separatedString =
      sep:
      text "strings concatenated with ${builtins.toJSON sep}" (_: true)
      // {
        merge = _: defs: concatMapStringsSep sep (def: def.value) defs;
      };
    lines = separatedString "\n";
    commas = separatedString ",";
    envVar = separatedString ":";

    path = mkOptionType {
      description = "absolute path";
      check = value: lib.isStringLike value && builtins.substring 0 1 (toString value) == "/";
      merge = mergeEqualOption;
    };
    pathInStore = path;
    package = mkOptionType {
      description = "package";
      check = value: lib.isDerivation value || (lib.isStringLike value && lib.hasPrefix builtins.storeDir (toString value));
      merge = mergeOneOption;
    };
    shellPackage = package;
    pkgs = mkOptionType { description = "Nixpkgs package set"; check = value: value._type or null == "pkgs"; merge = mergeOneOption; };
    enum = values: mkOptionType {
      description = "one of ${concatMapStringsSep ", " builtins.toJSON values}";
      check = value: elem value values;
      merge = mergeEqualOption;
    };
    uniq = unique { message = ""; };
    unique =
      _: type:
      mkOptionType {
        inherit (type) description check;
        merge = mergeOneOption;
      };

    attrs = mkOptionType {
      description = "attribute set";
      check = isAttrs;
      emptyValue.value = { };
      merge = _: defs: lib.mergeAttrsList (map (def: def.value) defs);
    };
    attrsOf = attrsWith false;
    lazyAttrsOf = attrsWith true;
    listOf = elemType: mkOptionType {
      description = "list of ${elemType.description}";
      check = isList;
      emptyValue.value = [ ];
      merge =
        loc: defs:
        let
          place = n: m: loc ++ [ "[definition ${toString n}-entry ${toString m}]" ];
          one = n: def: lib.imap1 (m: value: mergeDefinitions (place n m) elemType [ { inherit (def) file; inherit value; } ]) def.value;
        in
        map (merged: merged.mergedValue) (builtins.filter (merged: merged.isDefined) (builtins.concatLists (lib.imap1 one defs)));
      nestedTypes.elemType = elemType;
    };
    nonEmptyListOf = elemType: addCheck (listOf elemType) (values: values != [ ]) // {
      description = "non-empty list of ${elemType.description}";
      emptyValue = { };
    };

    nullOr = elemType: mkOptionType {
      description = "null or ${elemType.description}";
      check = value: value == null || elemType.check value;
      emptyValue.value = null;
      merge =
        loc: defs:
        let
          nulls = lib.count (def: def.value == null) defs;
        in
        if nulls == builtins.length defs then
          null
        else if nulls != 0 then
          throw "The option `${showOption loc}` is defined both null and not null, in ${lib.showFiles (lib.getFiles defs)}."
        else
          elemType.merge loc defs;
      nestedTypes.elemType = elemType;
    };
    either = a: b: mkOptionType {
      description = "${a.description} or ${b.description}";
      check = value: a.check value || b.check value;
      merge =
        loc: defs:
        let
          fits = type: all (def: type.check def.value) defs;
        in
        if fits a then
          a.merge loc defs
        else if fits b then
          b.merge loc defs
        else
          mergeOneOption loc defs;
    };
    oneOf = choices: lib.foldl' either (head choices) (lib.tail choices);
    coercedTo = from: f: to: mkOptionType {
      description = "${to.description} or ${from.description} convertible to it";
      check = value: (from.check value && to.check (f value)) || to.check value;
      merge =
        loc: defs:
        to.merge loc (map (def: def // { value = if from.check def.value then f (from.merge loc [ def ]) else def.value; }) defs);
      inherit (to) emptyValue;
    };
    functionTo = elemType: mkOptionType {
      description = "function that evaluates to a(n) ${elemType.description}";
      check = isFunction;
      merge =
        loc: defs: arg:
        (mergeDefinitions (loc ++ [ "<function body>" ]) elemType (map (def: def // { value = def.value arg; }) defs)).mergedValue;
    };
    addCheck = type: check: type // { check = value: type.check value && check value; };

    submodule = modules: submoduleWith {
      shorthandOnlyDefinesConfig = true;
      modules = lib.toList modules;
    };
    submoduleWith =
      {
        modules,
        specialArgs ? { },
        shorthandOnlyDefinesConfig ? false,
        description ? "submodule",
        class ? null,
      }:
      let
        asModule =
          def:
          if isAttrs def.value && shorthandOnlyDefinesConfig then
            { _file = def.file; config = def.value; }
          else
            { _file = def.file; imports = [ def.value ]; };
        evaluate =
          loc: defs:
          (lib.evalModules {
            inherit class specialArgs;
            prefix = loc;
            modules = [ { _module.args.name = lib.mkOptionDefault (lib.last loc); } ] ++ modules ++ map asModule defs;
          }).config;
      in
      mkOptionType {
        inherit description;
        check = value: isAttrs value || isFunction value || lib.isPath value;
        emptyValue.value = { };
        merge = evaluate;
        getSubModules = modules;
      };
    deferredModule = mkOptionType {
      description = "module";
      check = value: isAttrs value || isFunction value || lib.isPath value;
      merge = loc: defs: { imports = map (def: { _file = "${def.file}, via option ${showOption loc}"; imports = [ def.value ]; }) defs; };
    };
  };
in
types
