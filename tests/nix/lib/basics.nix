# Attribute sets, lists, text and small functions, as nixpkgs' lib names them.
let
  inherit (builtins)
    attrNames
    concatStringsSep
    elemAt
    filter
    foldl'
    genList
    isAttrs
    isFunction
    isList
    length
    listToAttrs
    match
    replaceStrings
    split
    stringLength
    substring
    ;
in
rec {
  inherit (builtins)
    add
    all
    any
    attrNames
    attrValues
    baseNameOf
    bitAnd
    bitOr
    catAttrs
    ceil
    compareVersions
    concatLists
    concatMap
    concatStringsSep
    deepSeq
    elem
    elemAt
    filter
    floor
    foldl'
    fromJSON
    functionArgs
    genList
    groupBy
    hasAttr
    head
    intersectAttrs
    isAttrs
    isBool
    isFloat
    isFunction
    isInt
    isList
    isPath
    isString
    length
    lessThan
    listToAttrs
    mapAttrs
    match
    mul
    partition
    readDir
    readFile
    removeAttrs
    replaceStrings
    seq
    sort
    split
    splitVersion
    stringLength
    sub
    substring
    tail
    toJSON
    trace
    typeOf
    zipAttrsWith
    ;

  # small functions
  id = x: x;
  const = x: _: x;
  flip = f: a: b: f b a;
  pipe = foldl' (x: f: f x);
  min = x: y: if x < y then x else y;
  max = x: y: if x > y then x else y;
  mod = base: int: base - (int * (base / int));
  boolToString = b: if b then "true" else "false";
  assertMsg = pred: msg: pred || throw msg;
  throwIf = cond: msg: if cond then throw msg else id;
  throwIfNot = cond: msg: if cond then id else throw msg;
  warn = msg: builtins.trace "warning: ${msg}";
  warnIf = cond: msg: if cond then warn msg else id;
  importTOML = path: builtins.fromTOML (builtins.readFile path);
  importJSON = path: builtins.fromJSON (builtins.readFile path);
  setFunctionArgs = f: args: {
    __functor = _: f;
    __functionArgs = args;
  };
  toHexString =
    n:
    let
      digit = at: substring at 1 "0123456789ABCDEF";
    in
    (if n < 16 then "" else toHexString (n / 16)) + digit (mod n 16);

  fix =
    f:
    let
      x = f x;
    in
    x;
  generators = {
    toJSON = _: builtins.toJSON;
    mkValueStringDefault = _: value: if builtins.isBool value then boolToString value else toString value;
  };

  # attribute sets
  nameValuePair = name: value: { inherit name value; };
  optionalAttrs = cond: set: if cond then set else { };
  genAttrs = names: f: listToAttrs (map (name: nameValuePair name (f name)) names);
  mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
  mapAttrs' = f: set: listToAttrs (mapAttrsToList f set);
  filterAttrs = keep: set: removeAttrs set (filter (name: !keep name set.${name}) (attrNames set));
  concatMapAttrs = f: set: mergeAttrsList (mapAttrsToList f set);
  mergeAttrsList = foldl' (a: b: a // b) { };
  attrsToList = mapAttrsToList nameValuePair;
  foldlAttrs =
    f: first: set:
    foldl' (acc: name: f acc name set.${name}) first (attrNames set);
  getAttrs = names: set: genAttrs names (name: set.${name});
  isDerivation = value: value.type or null == "derivation";
  getAttrFromPath = path: set: attrByPath path (throw "cannot find attribute '${concatStringsSep "." path}'") set;
  attrByPath =
    path: default: set:
    if path == [ ] then
      set
    else if isAttrs set && set ? ${builtins.head path} then
      attrByPath (builtins.tail path) default set.${builtins.head path}
    else
      default;
  hasAttrByPath =
    path: set: path == [ ] || (isAttrs set && set ? ${builtins.head path} && hasAttrByPath (builtins.tail path) set.${builtins.head path});
  setAttrByPath = path: value: foldr (name: inner: { ${name} = inner; }) value path;
  recursiveUpdate =
    left: right:
    left
    // builtins.mapAttrs (
      name: value: if isAttrs value && isAttrs (left.${name} or null) then recursiveUpdate left.${name} value else value
    ) right;
  mapAttrsRecursiveCond =
    cond: f:
    let
      walk =
        path: builtins.mapAttrs (name: value: if isAttrs value && cond value then walk (path ++ [ name ]) value else f (path ++ [ name ]) value);
    in
    walk [ ];
  mapAttrsRecursive = mapAttrsRecursiveCond (_: true);
  zipAttrs = builtins.zipAttrsWith (_: values: values);

  # lists
  optional = cond: value: if cond then [ value ] else [ ];
  optionals = cond: values: if cond then values else [ ];
  singleton = value: [ value ];
  toList = value: if isList value then value else [ value ];
  last = values: elemAt values (length values - 1);
  init = values: sublist 0 (length values - 1) values;
  take = n: sublist 0 n;
  drop = n: values: sublist n (length values) values;
  sublist =
    start: count: values:
    let
      size = length values;
    in
    genList (n: elemAt values (start + n)) (if start >= size then 0 else min count (size - start));
  range = first: last: if first > last then [ ] else genList (n: first + n) (last - first + 1);
  replicate = n: value: genList (_: value) n;
  imap0 = f: values: genList (n: f n (elemAt values n)) (length values);
  imap1 = f: imap0 (n: f (n + 1));
  fold = foldr;
  foldr =
    op: nul: values:
    let
      go = n: if n == length values then nul else op (elemAt values n) (go (n + 1));
    in
    go 0;
  foldl = foldl';
  forEach = values: f: map f values;
  count = pred: foldl' (n: value: if pred value then n + 1 else n) 0;
  reverseList =
    values:
    let
      size = length values;
    in
    genList (n: elemAt values (size - n - 1)) size;
  unique = foldl' (seen: value: if builtins.elem value seen then seen else seen ++ [ value ]) [ ];
  allUnique = values: length (unique values) == length values;
  subtractLists = drop: filter (value: !builtins.elem value drop);
  intersectLists = keep: filter (value: builtins.elem value keep);
  remove = value: filter (other: other != value);
  findFirst =
    pred: default: values:
    let
      found = filter pred values;
    in
    if found == [ ] then default else builtins.head found;
  flatten = value: if isList value then builtins.concatMap flatten value else [ value ];
  zipListsWith = f: a: b: genList (n: f (elemAt a n) (elemAt b n)) (min (length a) (length b));
  zipLists = zipListsWith (fst: snd: { inherit fst snd; });
  sortOn = f: builtins.sort (a: b: f a < f b);
  naturalSort = builtins.sort (a: b: a < b);

  # text
  concatStrings = concatStringsSep "";
  concatMapStrings = f: values: concatStrings (map f values);
  concatMapStringsSep = sep: f: values: concatStringsSep sep (map f values);
  concatMapAttrsStringSep = sep: f: set: concatStringsSep sep (mapAttrsToList f set);
  concatImapStringsSep = sep: f: values: concatStringsSep sep (imap1 f values);
  concatLines = concatMapStrings (line: line + "\n");
  optionalString = cond: text: if cond then text else "";
  getName = package: if isAttrs package then package.pname or (builtins.parseDrvName package.name).name else (builtins.parseDrvName package).name;
  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
  hasSuffix =
    suffix: text:
    let
      rest = stringLength text - stringLength suffix;
    in
    rest >= 0 && substring rest (-1) text == suffix;
  hasInfix = infix: text: stringLength (replaceStrings [ infix ] [ "" ] text) != stringLength text || infix == "";
  removePrefix = prefix: text: if hasPrefix prefix text then substring (stringLength prefix) (-1) text else text;
  removeSuffix =
    suffix: text: if hasSuffix suffix text then substring 0 (stringLength text - stringLength suffix) text else text;
  splitString = sep: text: filter builtins.isString (split (escapeRegex sep) text);
  stringToCharacters = text: genList (at: substring at 1 text) (stringLength text);
  lowerChars = stringToCharacters "abcdefghijklmnopqrstuvwxyz";
  upperChars = stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  toLower = replaceStrings upperChars lowerChars;
  toUpper = replaceStrings lowerChars upperChars;
  escape = chars: replaceStrings chars (map (char: "\\${char}") chars);
  escapeRegex = escape (stringToCharacters "\\[{()^$?*+|.");
  escapeShellArg =
    arg:
    let
      text = toString arg;
    in
    if match "[[:alnum:],._+:@%/-]+" text == null then "'${replaceStrings [ "'" ] [ "'\\''" ] text}'" else text;
  escapeShellArgs = concatMapStringsSep " " escapeShellArg;
  isStringLike = value: builtins.isString value || builtins.isPath value || value ? outPath || value ? __toString;
  fixedWidthString = width: filler: text: if stringLength text >= width then text else fixedWidthString width filler (filler + text);
  fixedWidthNumber = width: n: fixedWidthString width "0" (toString n);
  trim = text: builtins.head (match "[[:space:]]*(([^[:space:]]|[[:space:]]+[^[:space:]])*)[[:space:]]*" text);
  toInt =
    text:
    if match "[[:space:]]*-?(0|[1-9][0-9]*)[[:space:]]*" text == null then
      throw "toInt: Could not convert ${builtins.toJSON text} to int."
    else
      builtins.fromJSON (trim text);
  versionAtLeast = a: b: builtins.compareVersions a b >= 0;
  versionOlder = a: b: builtins.compareVersions a b < 0;
  makeSearchPath = below: packages: concatStringsSep ":" (map (package: "${package}/${below}") (filter (p: p != null) packages));
  makeBinPath = packages: makeSearchPath "bin" (map getBin packages);
  nameFromURL = url: sep: builtins.head (splitString sep (last (splitString "/" url)));

  # packages
  getBin = package: package.bin or package.out or package;
  getExe' = package: name: "${getBin package}/bin/${name}";
  getExe = package: getExe' package (package.meta.mainProgram or package.pname or (builtins.parseDrvName package.name).name);
  cleanSource = src: src;
  licenses = genAttrs [ "mit" "asl20" "gpl2Plus" "gpl3Plus" "agpl3Plus" "bsd3" "unfree" ] (spdx: { shortName = spdx; });
  platforms = {
    linux = [ "x86_64-linux" "aarch64-linux" ];
    darwin = [ "aarch64-darwin" ];
    all = platforms.linux ++ platforms.darwin;
  };
}
