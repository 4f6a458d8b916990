# The module system: modules in, one checked configuration out. Three steps: collect (follow `imports`, each file
# once), declare (all `options` make one tree), define (each option's definitions, stripped of their properties, are
# merged by its type). What no option declares goes to `freeformType`, or is an error that names the file.
{ lib }:
let
  inherit (lib)
    all
    concatMap
    filter
    head
    isAttrs
    isFunction
    isOption
    mapAttrs
    showOption
    ;
  inherit (lib.options) showDefs;

  isKind = kind: value: value._type or null == kind;

  # -- collect

  load =
    args: file: key: module:
    if isFunction module then
      load args file key (callWith args module)
    else if isKind "if" module || isKind "override" module then
      structure file key { config = module; }
    else if isAttrs module then
      structure file key module
    else if lib.isPath module || lib.isString module then
      load args (toString module) (toString module) (import module)
    else
      throw "Module `${file}' imports a ${builtins.typeOf module}, which is no module.";

  # Arguments that are not given from outside come from `_module.args`, and only when they are looked at.
  callWith = args: f: f (args // mapAttrs (name: _: args.${name} or args.config._module.args.${name}) (lib.functionArgs f));

  structure =
    file: key: module:
    let
      about = [ "_class" "_file" "key" "disabledModules" "imports" "freeformType" ];
      isLong = module ? config || module ? options;
      unsupported = removeAttrs module (about ++ [ "options" "config" "meta" ]);
      config = if isLong then module.config or { } else removeAttrs module about;
    in
    if isLong && unsupported != { } then
      throw "Module `${key}' has an unsupported attribute `${head (lib.attrNames unsupported)}'. This is caused by introducing a top-level `config' or `options' attribute."
    else
      {
        file = toString module._file or file;
        key = toString module.key or key;
        class = module._class or null;
        imports = module.imports or [ ];
        options = if isLong then module.options or { } else { };
        config = if module ? freeformType then mkMerge [ config { _module.freeformType = module.freeformType; } ] else config;
      };

  collect =
    class: args: modules:
    let
      below =
        file: key:
        lib.imap1 (
          n: module:
          let
            loaded = load args file "${key}:anon-${toString n}" module;
          in
          if class != null && loaded.class != null && loaded.class != class then
            throw "The module `${loaded.file}` (class: \"${loaded.class}\") cannot be imported into a module evaluation that expects class \"${class}\"."
          else
            loaded
        );
    in
    builtins.genericClosure {
      startSet = below "<unknown-file>" "" modules;
      operator = module: below module.file module.key module.imports;
    };

  # -- properties: mkIf and mkMerge go down to the values, mkOverride and mkOrder choose and sort them

  pushDown =
    config:
    if isKind "merge" config then
      concatMap pushDown config.contents
    else if isKind "if" config then
      map (mapAttrs (_: mkIf config.condition)) (pushDown config.content)
    else if isKind "override" config then
      map (mapAttrs (_: mkOverride config.priority)) (pushDown config.content)
    else if isAttrs config then
      [ config ]
    else
      throw "a module's config is a ${builtins.typeOf config}, not an attribute set";

  discharge =
    value:
    if isKind "merge" value then
      concatMap discharge value.contents
    else if isKind "if" value then
      if value.condition then discharge value.content else [ ]
    else
      [ value ];

  strongest =
    defs:
    let
      priority = def: if isKind "override" def.value then def.value.priority else defaultOverridePriority;
      best = lib.foldl' (best: def: lib.min best (priority def)) 9999 defs;
      strip = def: if isKind "override" def.value then def // { value = def.value.content; } else def;
    in
    {
      inherit best;
      defs = map strip (filter (def: priority def == best) defs);
    };

  ordered =
    defs:
    let
      rank = def: if isKind "order" def.value then def.value.priority else defaultOrderPriority;
      strip = def: if isKind "order" def.value then def // { value = def.value.content; } else def;
    in
    if lib.any (def: isKind "order" def.value) defs then map strip (builtins.sort (a: b: rank a < rank b) defs) else defs;

  mergeDefinitions =
    loc: type: defs:
    let
      plain = concatMap (def: map (value: { inherit (def) file; inherit value; }) (discharge def.value)) defs;
      chosen = strongest plain;
      final = ordered chosen.defs;
      wrong = filter (def: !(type.check def.value)) final;
    in
    rec {
      defsFinal = final;
      highestPrio = chosen.best;
      isDefined = final != [ ];
      mergedValue =
        if !isDefined then
          throw "The option `${showOption loc}' was accessed but has no value defined. Try setting the option."
        else if wrong == [ ] then
          type.merge loc final
        else
          throw "A definition for option `${showOption loc}' is not of type `${type.description}'. Definition values:${showDefs wrong}";
      optionalValue = lib.optionalAttrs isDefined { value = mergedValue; };
    };

  # -- declare and define

  evalOption =
    loc: declarations: defs:
    let
      declaration = joined loc declarations;
      type = declaration.option.type or lib.types.unspecified;
      default = lib.optional (declaration.option ? default) {
        file = declaration.file;
        value = mkOptionDefault declaration.option.default;
      };
      merged = mergeDefinitions loc type (defs ++ default);
      value =
        if declaration.option.readOnly or false && builtins.length merged.defsFinal > 1 then
          throw "The option `${showOption loc}' is read-only, but it's set multiple times. Definition values:${showDefs merged.defsFinal}"
        else
          merged.mergedValue;
    in
    declaration.option
    // {
      inherit loc type;
      value = (declaration.option.apply or lib.id) value;
      isDefined = merged.isDefined;
      inherit (merged) highestPrio;
      definitions = map (def: def.value) merged.defsFinal;
      files = map (def: def.file) merged.defsFinal;
    };

  # Two declarations of one option are a mistake, unless both are submodules, which grow.
  joined =
    loc: declarations:
    let
      first = head declarations;
      second = head (lib.tail declarations);
      growing = all (one: one.option ? type.getSubModules) declarations;
    in
    if builtins.length declarations == 1 then
      first
    else if growing then
      first
      // {
        option =
          lib.mergeAttrsList (map (one: one.option) declarations)
          // {
            type = lib.types.submodule (concatMap (one: one.option.type.getSubModules) declarations);
          };
      }
    else
      throw "The option `${showOption loc}' in `${first.file}' is already declared in `${second.file}'.";

  # declarations, definitions: [ { file, value } ]; value is a set of options, of configuration.
  mergeTree =
    loc: declarations: definitions:
    let
      byName =
        parts:
        builtins.zipAttrsWith (_: found: found) (
          map (part: mapAttrs (_: value: { inherit (part) file; inherit value; }) part.value) parts
        );
      declared = byName declarations;
      defined = byName (concatMap (def: map (value: { inherit (def) file; inherit value; }) (pushDown def.value)) definitions);
      each =
        name: parts:
        let
          here = loc ++ [ name ];
          found = defined.${name} or [ ];
          leaves = filter (part: isOption part.value) parts;
        in
        if leaves == [ ] then
          mergeTree here parts found
        else if builtins.length leaves == builtins.length parts then
          {
            options = evalOption here (map (part: { inherit (part) file; option = part.value; }) parts) found;
            unmatched = [ ];
          }
        else
          throw "The option `${showOption here}' in `${(head leaves).file}' would be a parent of other options, which is not possible.";
      trees = mapAttrs each declared;
      undeclared = removeAttrs defined (lib.attrNames declared);
    in
    {
      options = mapAttrs (_: tree: tree.options) trees;
      unmatched =
        concatMap (tree: tree.unmatched) (lib.attrValues trees)
        ++ lib.concatLists (lib.mapAttrsToList (name: map (def: def // { prefix = loc ++ [ name ]; })) undeclared);
    };

  internal =
    specialArgs: extendModules:
    {
      _file = "lib/modules.nix";
      options._module = {
        args = lib.mkOption { type = lib.types.lazyAttrsOf lib.types.raw; };
        check = lib.mkOption { type = lib.types.bool; default = true; };
        freeformType = lib.mkOption { type = lib.types.nullOr lib.types.optionType; default = null; };
        specialArgs = lib.mkOption { readOnly = true; };
      };
      config._module = {
        args = { inherit extendModules; };
        inherit specialArgs;
      };
    };

  evalModules =
    {
      modules,
      specialArgs ? { },
      prefix ? [ ],
      class ? null,
    }@given:
    let
      args = { inherit lib options specialArgs; config = everything; _class = class; _prefix = prefix; } // specialArgs;
      collected = lib.reverseList (collect class args (modules ++ [ (internal specialArgs extendModules) ]));
      tree = mergeTree prefix (map (m: { inherit (m) file; value = m.options; }) collected) (
        map (m: { inherit (m) file; value = m.config; }) collected
      );
      options = tree.options;
      declared = lib.mapAttrsRecursiveCond (value: !isOption value) (_: option: option.value) options;
      freeformType = declared._module.freeformType;
      below = path: lib.drop (builtins.length prefix) path;
      freeform = freeformType.merge prefix (map (def: { inherit (def) file; value = lib.setAttrByPath (below def.prefix) def.value; }) tree.unmatched);
      everything = if freeformType == null || tree.unmatched == [ ] then declared else lib.recursiveUpdate freeform declared;
      first = head tree.unmatched;
      checked =
        if declared._module.check && freeformType == null && tree.unmatched != [ ] then
          throw "The option `${showOption first.prefix}' does not exist. Definition values:${showDefs [ first ]}"
        else
          lib.id;
      extendModules =
        { modules ? [ ], specialArgs ? { }, prefix ? given.prefix or [ ] }:
        evalModules (given // { inherit prefix; modules = given.modules ++ modules; specialArgs = given.specialArgs or { } // specialArgs; });
    in
    {
      _type = "configuration";
      options = checked options;
      config = checked (removeAttrs everything [ "_module" ]);
      _module = checked everything._module;
      inherit extendModules class;
      type = lib.types.submoduleWith { inherit modules specialArgs class; };
    };

  defaultOverridePriority = 100;
  defaultOrderPriority = 1000;

  mkIf = condition: content: { _type = "if"; inherit condition content; };
  mkMerge = contents: { _type = "merge"; inherit contents; };
  mkOverride = priority: content: { _type = "override"; inherit priority content; };
  mkOrder = priority: content: { _type = "order"; inherit priority content; };
  mkOptionDefault = mkOverride 1500;
in
{
  inherit
    defaultOrderPriority
    defaultOverridePriority
    evalModules
    mergeDefinitions
    mkIf
    mkMerge
    mkOptionDefault
    mkOrder
    mkOverride
    ;
  mkDefault = mkOverride 1000;
  mkImageMediaOverride = mkOverride 60;
  mkForce = mkOverride 50;
  mkVMOverride = mkOverride 10;
  mkBefore = mkOrder 500;
  mkAfter = mkOrder 1500;
  mkAssert = assertion: message: content: if assertion then content else throw message;
  mkAliasDefinitions = option: mkIf (option.isDefined or false) (mkMerge option.definitions);
  setDefaultModuleLocation = file: module: { _file = file; imports = [ module ]; };
}
