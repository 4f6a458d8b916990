# Small uses of nixpkgs' lib, each with a value that JSON can hold. `values` must come out the same from our lib and the
# real one (examples.json was written by the real one); `refused` must not come out of either.
{ lib }:
let
  inherit (lib) mkForce mkIf mkMerge mkOption types;

  config = modules: (lib.evalModules { inherit modules; }).config;
  # One option `x` of this type, and its definitions.
  of = type: definitions: (config ([ { options.x = mkOption { inherit type; }; } ] ++ map (x: { inherit x; }) definitions)).x;
  list = of (types.listOf types.int);
  package = derivation { name = "p-1.2"; system = "x86_64-linux"; builder = "/bin/sh"; } // {
    pname = "p";
    meta.mainProgram = "prog";
  };
  server = types.submodule (
    { name, config, ... }:
    {
      options = {
        host = mkOption { type = types.str; default = name; };
        port = mkOption { type = types.port; default = 80; };
        url = mkOption { type = types.str; readOnly = true; };
        tags = mkOption { type = types.listOf types.str; default = [ ]; };
      };
      config.url = "http://${config.host}:${toString config.port}";
    }
  );
  settings = types.submodule {
    freeformType = types.attrsOf types.anything;
    options.level = mkOption { type = types.enum [ "info" "debug" ]; default = "info"; };
  };
in
{
  values = {
    # order and priority
    importsComeFirst = list [ [ 1 ] [ 2 ] (mkIf false [ 3 ]) (mkMerge [ [ 4 ] [ 5 ] ]) ];
    before = list [ [ 2 ] (lib.mkAfter [ 3 ]) (lib.mkBefore [ 1 ]) (lib.mkOrder 1200 [ 9 ]) ];
    force = list [ [ 1 ] (mkForce [ 2 ]) (mkForce [ 3 ]) (lib.mkOverride 40 [ 7 ]) ];
    default = of types.int [ (lib.mkDefault 1) 2 ];
    forcedBefore = list [ (mkForce (lib.mkAfter [ 1 ])) (mkForce [ 2 ]) ];
    lines = of types.lines [ "a" (lib.mkBefore "b") (lib.mkAfter "c") ];
    commas = of types.commas [ "a" "b" ];
    imported =
      (config [
        {
          imports = [ { x = [ 10 ]; } { x = [ 11 ]; imports = [ { x = [ 20 ]; } ]; } ];
          options.x = mkOption { type = types.listOf types.int; };
          config.x = [ 1 ];
        }
        ({ ... }: { x = [ 2 ]; })
      ]).x;
    keyOnce =
      let
        module = { key = "once"; x = [ 1 ]; };
      in
      (config [ { options.x = mkOption { type = types.listOf types.int; }; } module { imports = [ module ]; } ]).x;

    # conditions
    ifDeep =
      (config [
        { options.a.b = mkOption { type = types.int; default = 1; }; options.on = mkOption { type = types.bool; }; }
        ({ config, ... }: { config = mkIf config.on { a.b = 2; }; })
        { on = true; }
      ]).a;
    ifOff =
      config [
        { options.a = mkOption { type = types.attrsOf types.int; }; config.a = mkIf false { b = 1; }; }
        { a = { c = mkIf false 1; d = mkIf true 2; e = mkMerge [ (mkIf true 3) ]; }; }
      ];
    mergeTop = config [ { options.x = mkOption { type = types.int; }; options.y = mkOption { type = types.int; }; config = mkMerge [ { x = 1; } (mkIf true { y = 2; }) ]; } ];
    arguments =
      (lib.evalModules {
        specialArgs.outside = 3;
        modules = [
          { options.x = mkOption { type = types.int; }; }
          { _module.args.inside = 4; }
          ({ outside, inside, ... }: { x = outside * inside; })
        ];
      }).config.x;
    extended = ((lib.evalModules { modules = [ { options.x = mkOption { type = types.int; default = 1; }; } ]; }).extendModules { modules = [ { x = 5; } ]; }).config.x;
    enable = config [ { options.on = lib.mkEnableOption "it"; } ];
    package = (config [ { options.p = lib.mkPackageOption { a.b = package; } [ "a" "b" ] { }; } ]).p.name;
    packageNull = (config [ { options.p = lib.mkPackageOption { } "none" { nullable = true; default = null; }; } ]).p;
    apply = (config [ { options.x = mkOption { type = types.int; apply = x: x + 1; }; config.x = 1; } ]).x;
    isDefined =
      let
        found = (lib.evalModules { modules = [ { options.x = mkOption { type = types.int; }; options.y = mkOption { type = types.int; default = 1; }; } { x = 2; } ]; }).options;
      in
      [ found.x.isDefined found.y.isDefined found.x.highestPrio found.y.highestPrio found.x.definitions ];

    # types
    bools = of types.bool [ true true ];
    nullOr = [ (of (types.nullOr types.int) [ null ]) (of (types.nullOr types.int) [ 1 1 ]) ];
    either = [ (of (types.either types.int types.str) [ 1 ]) (of (types.either types.int types.str) [ "a" ]) ];
    eitherLists = of (types.either types.str (types.listOf types.str)) [ [ "a" ] [ "b" ] ];
    oneOf = map (x: of (types.oneOf [ types.int types.bool types.str ]) [ x ]) [ 1 true "a" ];
    coerced = of (types.coercedTo types.int toString types.str) [ 1 "1" ];
    coercedList = of (types.coercedTo types.str lib.singleton (types.listOf types.str)) [ "a" [ "b" ] ];
    enum = of (types.enum [ "a" 1 ]) [ "a" ];
    ints = [ (of types.ints.unsigned [ 0 ]) (of types.ints.positive [ 1 ]) (of types.ints.u8 [ 255 ]) (of (types.ints.between 2 3) [ 3 ]) (of types.port [ 65535 ]) ];
    numbers = [ (of types.number [ 1.5 ]) (of types.float [ 0.5 ]) ];
    texts = [ (of types.nonEmptyStr [ "a" ]) (of types.singleLineStr [ "a\n" ]) (of (types.strMatching "[a-z]+") [ "ab" ]) ];
    path = [ (of types.path [ "/a" ]) (of types.path [ "/a" "/a" ]) ];
    attrsOf = of (types.attrsOf types.int) [ { a = 1; } { b = 2; } { c = mkIf false 3; } ];
    lazyAttrsOf = of (types.lazyAttrsOf (types.nullOr types.int)) [ { a = 1; } { c = mkIf false 3; } ];
    attrsOfLists = of (types.attrsOf (types.listOf types.int)) [ { a = [ 1 ]; } { a = [ 2 ]; } ];
    attrs = of types.attrs [ { a = { b = 1; }; } { c = 2; } ];
    anything = of types.anything [ { a.b = 1; l = [ 1 ]; } { a.c = 2; l = [ 1 ]; } ];
    anythingForce = of types.anything [ { a.b = 1; } { a.b = mkForce 2; } ];
    listOfIf = list [ [ (mkIf true 1) (mkIf false 2) ] ];
    functionTo = of (types.functionTo (types.listOf types.int)) [ (x: [ x ]) (x: [ (x + 1) ]) ] 1;
    unspecified = of types.unspecified [ { a = 1; } { b = 2; } ];
    uniq = of (types.uniq types.int) [ 1 ];
    raw = of types.raw [ { a = 1; } ];
    addCheck = of (types.addCheck types.int (x: x > 3)) [ 4 ];
    nonEmptyList = of (types.nonEmptyListOf types.int) [ [ 1 ] ];

    # submodules
    submodule = of (types.attrsOf server) [ { a = { }; b.port = 8080; } { b.host = mkForce "c"; } ];
    submoduleFunction = of (types.attrsOf server) [ { a = { name, ... }: { tags = [ name ]; }; } { a.tags = [ "x" ]; } ];
    submoduleList = map (one: one.url) (of (types.listOf server) [ [ { host = "h"; } ] ]);
    submoduleNull = (of (types.nullOr server) [ { port = 1; } ]).port;
    submoduleWith = of (types.submoduleWith { modules = [ { options.y = mkOption { type = types.int; default = 3; }; } ]; }) [ { } ];
    submoduleEmpty = (config [ { options.x = mkOption { type = types.submodule { options.y = mkOption { type = types.int; default = 3; }; }; default = { }; }; } ]).x.y;
    grown =
      (config [
        { options.x = mkOption { type = types.attrsOf (types.submodule { options.y = mkOption { type = types.int; default = 3; }; }); }; config.x.a = { }; }
      ]).x.a;
    grownTwice =
      (config [
        { options.x = mkOption { type = types.submodule { options.y = mkOption { type = types.int; default = 3; }; }; }; }
        { options.x = mkOption { type = types.submodule { options.z = mkOption { type = types.int; default = 4; }; }; }; config.x = { }; }
      ]).x;
    freeform = of settings [ { level = "debug"; a.b = 1; } { a.c = [ 1 ]; } ];
    freeformTop = config [ { freeformType = types.attrsOf types.int; options.a = mkOption { type = types.int; default = 1; }; config.b = 2; } ];
    nested = (config [ { options.a.b.c = mkOption { type = types.int; default = 1; }; options.a.d = mkOption { type = types.int; default = 2; }; } { a.d = 3; } ]).a;
    uncheckedModule = (config [ { config._module.check = false; config.nobody.knows = 1; options.x = mkOption { default = 2; }; } ]).x;

    # functions
    attrsets = {
      mapped = lib.mapAttrs' (n: v: lib.nameValuePair "${n}-x" (v + 1)) { a = 1; };
      list = lib.mapAttrsToList (n: v: "${n}=${toString v}") { a = 1; b = 2; };
      filtered = lib.filterAttrs (n: v: n != "a" && v > 1) { a = 5; b = 1; c = 2; };
      generated = lib.genAttrs [ "a" "b" ] (n: n + n);
      concat = lib.concatMapAttrs (n: v: { "${n}1" = v; "${n}2" = v; }) { a = 1; };
      recursive = lib.recursiveUpdate { a = { b = 1; c = 2; }; } { a.b = 3; d = 4; };
      byPath = [ (lib.attrByPath [ "a" "b" ] 0 { a.b = 1; }) (lib.attrByPath [ "a" "c" ] 0 { a.b = 1; }) ];
      has = [ (lib.hasAttrByPath [ "a" "b" ] { a.b = 1; }) (lib.hasAttrByPath [ "a" "b" ] { a = 1; }) ];
      set = lib.setAttrByPath [ "a" "b" ] 1;
      optional = [ (lib.optionalAttrs true { a = 1; }) (lib.optionalAttrs false { a = 1; }) ];
      merged = lib.mergeAttrsList [ { a = 1; } { b = 2; } { a = 3; } ];
      pairs = lib.attrsToList { a = 1; };
      folded = lib.foldlAttrs (acc: n: v: acc + n + toString v) "" { a = 1; b = 2; };
    };
    lists = {
      optional = [ (lib.optional true 1) (lib.optional false 1) (lib.optionals true [ 1 2 ]) (lib.optionals false [ 1 ]) ];
      unique = lib.unique [ 1 2 1 3 2 ];
      flatten = lib.flatten [ 1 [ 2 [ 3 ] ] ];
      imap = [ (lib.imap0 (n: x: n + x) [ 10 20 ]) (lib.imap1 (n: x: n + x) [ 10 20 ]) ];
      range = [ (lib.range 1 3) (lib.range 3 1) ];
      ends = [ (lib.head [ 1 2 3 ]) (lib.last [ 1 2 3 ]) (lib.init [ 1 2 3 ]) (lib.tail [ 1 2 3 ]) ];
      cut = [ (lib.take 2 [ 1 2 3 ]) (lib.drop 2 [ 1 2 3 ]) (lib.take 9 [ 1 ]) (lib.drop 9 [ 1 ]) (lib.sublist 1 1 [ 1 2 3 ]) ];
      fold = [ (lib.foldl' (a: b: a - b) 0 [ 1 2 3 ]) (lib.foldr (a: b: a - b) 0 [ 1 2 3 ]) ];
      found = [ (lib.findFirst (x: x > 1) 0 [ 1 2 3 ]) (lib.findFirst (x: x > 5) 0 [ 1 2 3 ]) ];
      sets = [ (lib.subtractLists [ 1 2 ] [ 1 2 3 ]) (lib.intersectLists [ 1 2 ] [ 2 3 ]) (lib.remove 1 [ 1 2 1 ]) ];
      count = lib.count (x: x > 1) [ 1 2 3 ];
      reversed = lib.reverseList [ 1 2 3 ];
      zipped = lib.zipListsWith (a: b: a + b) [ 1 2 3 ] [ 10 20 ];
      sorted = lib.sort (a: b: a < b) [ 3 1 2 ];
      sortedOn = lib.sortOn (x: 0 - x) [ 3 1 2 ];
      replicated = lib.replicate 2 "a";
      toList = [ (lib.toList 1) (lib.toList [ 1 ]) ];
      allUnique = [ (lib.allUnique [ 1 2 ]) (lib.allUnique [ 1 1 ]) ];
    };
    strings = {
      split = lib.splitString "." "a.b..c";
      prefix = [ (lib.hasPrefix "ab" "abc") (lib.hasPrefix "b" "abc") (lib.removePrefix "ab" "abc") (lib.removePrefix "x" "abc") ];
      suffix = [ (lib.hasSuffix "bc" "abc") (lib.hasSuffix "b" "abc") (lib.removeSuffix "bc" "abc") (lib.hasSuffix "abcd" "bcd") ];
      infix = [ (lib.hasInfix "b" "abc") (lib.hasInfix "x" "abc") ];
      shell = lib.escapeShellArgs [ "a" "b c" "it's" "" "x=y" 1 "$HOME" ];
      cases = [ (lib.toUpper "aBc1") (lib.toLower "AbC1") ];
      concat = [ (lib.concatMapStringsSep "," toString [ 1 2 ]) (lib.concatStringsSep "," [ "a" "b" ]) (lib.concatLines [ "a" "b" ]) (lib.concatMapStrings toString [ 1 2 ]) ];
      optional = [ (lib.optionalString true "a") (lib.optionalString false "a") ];
      escaped = [ (lib.escape [ "." ] "a.b") (lib.escapeRegex "a.b*(c)[d]") ];
      ints = [ (lib.toInt "12") (lib.toInt "-3") (lib.toInt " 4 ") ];
      trimmed = [ (lib.trim "  a b \n") (lib.trim "") (lib.trim "a") ];
      fixed = [ (lib.fixedWidthString 4 "0" "12") (lib.fixedWidthNumber 3 7) ];
      versions = [ (lib.versionAtLeast "2.8" "2.10") (lib.versionOlder "2.8" "2.10") ];
      hex = map lib.toHexString [ 0 10 255 4096 ];
      booleans = [ (lib.boolToString true) (lib.boolToString false) ];
      chars = lib.stringToCharacters "abc";
    };
    packages = {
      exe = baseNameOf (lib.getExe package);
      exe' = baseNameOf (lib.getExe' package "other");
      path = lib.hasSuffix "/bin" (lib.makeBinPath [ package ]);
    };
    small = {
      pipe = lib.pipe 1 [ (x: x + 1) (x: x * 3) ];
      flip = lib.flip (a: b: a - b) 1 3;
      bounds = [ (lib.min 1 2) (lib.max 1 2) (lib.mod 7 3) ];
      throwIf = [ (lib.throwIf false "no" 1) (lib.throwIfNot true "no" 2) ];
      isOption = lib.isOption (mkOption { });
      showOption = [ (lib.showOption [ "a" "b-c" "d.e" ]) (lib.showOption [ "x" "eth0" "1" ]) ];
    };
  };

  refused = {
    unknownOption = config [ { options.x = mkOption { default = 1; }; } { y = 1; } ];
    unknownInSubmodule = of (types.attrsOf server) [ { a.prot = 1; } ];
    unknownNested = config [ { options.a.b = mkOption { default = 1; }; } { a.c = 1; } ];
    unknownUnderMkIf = config [ { options.x = mkOption { default = 1; }; } { config = mkIf true { y = 1; }; } ];
    wrongType = of types.int [ "1" ];
    wrongItem = list [ [ "1" ] ];
    wrongPort = of types.port [ 65536 ];
    negative = of types.ints.unsigned [ (-1) ];
    notEnum = of (types.enum [ "a" ]) [ "b" ];
    conflict = of types.str [ "a" "b" ];
    conflictBool = of types.bool [ true false ];
    twice = of types.raw [ { a = 1; } { b = 2; } ];
    twicePath = of types.path [ "/a" "/b" ];
    relativePath = of types.path [ "a" ];
    undefined = (config [ { options.x = mkOption { type = types.int; }; } ]).x;
    undefinedByIf = of types.int [ (mkIf false 1) ];
    emptyList = of (types.nonEmptyListOf types.int) [ [ ] ];
    nullAndNot = of (types.nullOr types.int) [ null 1 ];
    neither = of (types.nullOr types.int) [ "a" ];
    failedCheck = of (types.addCheck types.int (x: x > 3)) [ 3 ];
    noMatch = of (types.strMatching "[a-z]+") [ "A" ];
    twoLines = of types.singleLineStr [ "a\nb" ];
    anythingConflict = of types.anything [ { a = 1; } { a = 2; } ];
    anythingLists = of types.anything [ { a = [ 1 ]; } { a = [ 2 ]; } ];
    readOnly = config [ { options.x = mkOption { type = types.int; readOnly = true; default = 1; }; } { x = 2; } { x = 2; } ];
    declaredTwice = config [ { options.x = mkOption { type = types.int; default = 1; }; } { options.x = mkOption { type = types.int; default = 1; }; } ];
    parentOfOption = config [ { options.x = mkOption { default = 1; }; } { options.x.y = mkOption { default = 1; }; } ];
    strayAttribute = config [ { options.x = mkOption { default = 1; }; y = 1; } ];
    freeformWrong = of settings [ { level = "loud"; } ];
    notPackage = of types.package [ 1 ];
    packageMissing = (config [ { options.p = lib.mkPackageOption { } "none" { }; } ]).p;
    wrongClass = lib.evalModules { class = "nixos"; modules = [ { _class = "darwin"; } ]; };
    toInt = lib.toInt "x";
    throwIf = lib.throwIf true "no" 1;
  };
}
