# What a value in host.toml, a profile or networks.toml may be, each with words for people: bootstrapd/config/kinds.py
# once more, in Nix. A kind is a function: the place (dotted key) -> the value -> { value, mistakes }; nothing throws, and
# what is wrong is null until the table around it takes the key's default.
# tests/nix/test_fleet.py holds both sides together.
let
  inherit (builtins)
    attrNames
    concatLists
    concatStringsSep
    elem
    filter
    genList
    isAttrs
    isFloat
    isInt
    isList
    isString
    length
    listToAttrs
    mapAttrs
    match
    replaceStrings
    stringLength
    substring
    toJSON
    ;

  imap = f: values: genList (n: f n (builtins.elemAt values n)) (length values);
  values = set: map (name: set.${name}) (attrNames set);

  # -- text

  # One character by its number, below U+0100.
  char = n: builtins.fromJSON "\"\\u00${digit (n / 16)}${digit (n - n / 16 * 16)}\"";
  digit = n: substring n 1 "0123456789abcdef";
  chars = first: last: genList (n: char (first + n)) (last - first + 1);
  has = some: text: replaceStrings some (map (_: "") some) text != text;
  controls = chars 1 31 ++ chars 127 159;
  # What Python's \s takes for a blank besides the controls.
  blanks = [ " " (char 133) ] ++ map (code: builtins.fromJSON "\"\\u${code}\"") [
    "00a0" "1680" "2000" "2001" "2002" "2003" "2004" "2005" "2006" "2007" "2008" "2009" "200a" "2028" "2029" "202f" "205f" "3000"
  ];
  # Text is bytes to Nix: these continue a character of UTF-8.
  continuing = map (substring 1 1) (chars 128 191);
  characters = text: stringLength (replaceStrings continuing (map (_: "") continuing) text);
  firstCharacter =
    text:
    let
      upTo = n: if elem (substring n 1 text) continuing then upTo (n + 1) else n;
    in
    substring 0 (upTo 1) text;

  strip = text: builtins.head (match "[[:space:]]*(([^[:space:]]|[[:space:]]+[^[:space:]])*)[[:space:]]*" text);
  lower =
    let
      letters = text: genList (at: substring at 1 text) (stringLength text);
    in
    replaceStrings (letters "ABCDEFGHIJKLMNOPQRSTUVWXYZ") (letters "abcdefghijklmnopqrstuvwxyz");

  # -- what kinds are made of

  right = value: {
    inherit value;
    mistakes = [ ];
  };
  wrong = key: mistake: {
    value = null;
    mistakes = [ "${key}: ${mistake}" ];
  };
  found =
    value:
    if isAttrs value then
      "a table"
    else if isList value then
      "a list"
    else
      toJSON value;
  that =
    expected: holds: key: value:
    if holds value then right value else wrong key "expected ${expected}, found ${found value}";
  like = expected: pattern: that expected (value: isString value && match pattern value != null);
  whole = expected: smallest: largest: that expected (value: isInt value && value >= smallest && value <= largest);

  isLine = value: isString value && stringLength value <= 1024 && characters value <= 256 && !has controls value;
  bare = name: if match "[A-Za-z0-9_-]+" name == null then toJSON name else name;
  below = key: name: if key == "" then bare name else "${key}.${bare name}";

  name = "[A-Za-z0-9][A-Za-z0-9._-]{0,63}";
  size = "[0-9]{1,9}([.][0-9]{1,3})?[KMGTP]?";
  octet = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"; # no leading zero: octal to some
  ipv4 = "(${octet}[.]){3}${octet}";
  prefix = "(3[0-2]|[12]?[0-9])";
  uuid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";

  junkUuids = [ "03000200-0400-0500-0006-000700080009" "12345678-1234-5678-90ab-cddeefaabbcc" ];
  junkSerials = [
    "to be filled by o.e.m." "to be filled by oem" "default string" "system serial number" "serial number" "none"
    "n/a" "na" "not specified" "not applicable" "unknown" "oem" "empty" "invalid" "0123456789" "123456789" "1234567890"
  ];
  isOneCharacter = text: text == "" || replaceStrings [ (firstCharacter text) ] [ "" ] text == "";
  identity =
    what: expected: clean: isJunk: key: value:
    if !isLine value then
      wrong key "expected one line of text, found ${found value}"
    else if value != "" && isJunk (clean value) then
      wrong key "${toJSON value} identifies no machine: expected ${expected}, or leave it out"
    else
      right (clean value);
in
rec {
  inherit strip lower;
  isName = value: match name value != null;
  isImage = value: match "[a-z0-9][a-z0-9._-]{0,62}" value != null;
  isHostName = value: match "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?" value != null && !elem value [ "profiles" "layouts" ];

  # -- kinds

  text = that "one line of text" isLine;
  image = that "text or a table" (value: isString value || (isAttrs value && builtins.all isString (values value)));
  oneName = like "a name of letters, digits and . _ -" name;
  optionalName = like "a name of letters, digits and . _ -" "(${name})?";
  sizeBound = like ''a size such as ">=900G", "<=2T" or "1T"'' "((>=|<=|=)?${size})?";
  anySize = like ''a size such as "64G" or "1.5T"'' size;
  address = like ''an IPv4 address with its prefix such as "10.1.0.11/24"'' "${ipv4}/${prefix}";
  subnet = like ''an IPv4 network such as "10.1.0.0/24"'' "${ipv4}/${prefix}";
  ip = like ''an IPv4 address such as "10.1.0.1"'' ipv4;
  optionalIp = like ''an IPv4 address such as "10.1.0.1"'' "(${ipv4})?";
  espLabel = like "a FAT label: at most 11 letters, digits, _ or -" "[A-Za-z0-9_-]{1,11}";
  pciId = like ''a PCI id such as "10de:20b5"'' "[0-9a-f]{4}:[0-9a-f]{4}";
  linkSpeed = like ''a speed such as "10G"'' "[0-9]{1,6}[MG]";
  kernelParam = like "one kernel parameter without blanks, quotes, $ or &" "[]A-Za-z0-9_.,:;=@%/+*~^()[<>!?-]{1,512}";
  flakeRef = that ''a flake such as "github:me/fleet"'' (
    value: isString value && !has (chars 1 31 ++ blanks) value && substring 0 1 value != "-"
  );
  threads = whole "a number of threads" 0 65536;
  blksize = whole "a block size from 8 to 65464 bytes (RFC 2348)" 8 65464;
  windowsize = whole "a window from 1 to 65535 blocks (RFC 7440)" 1 65535;
  bool = that "true or false" builtins.isBool;
  vlan = whole "a VLAN from 1 to 4094" 1 4094;
  capability = that "a number such as 8.6" (value: (isInt value || isFloat value) && value >= 0 && value <= 1000);
  oneOf =
    words:
    that "one of ${concatStringsSep ", " (map toJSON (filter (word: word != "") words))}" (value: elem value words);

  mac =
    key: value:
    let
      digits = replaceStrings [ ":" "." "-" ] [ "" "" "" ] (lower (strip value));
      octets = genList (n: substring (2 * n) 2 digits) 6;
    in
    if !isString value then
      wrong key "expected a MAC address as text, found ${found value}"
    else if match "[0-9a-f]{12}" digits == null then
      wrong key "${toJSON value} is not a MAC address: expected six hex bytes such as 52:54:00:aa:bb:01"
    else if match ".[13579bdf].*" digits != null || digits == "000000000000" then
      wrong key "${toJSON value} is not the address of one network card (multicast or all zero)"
    else
      right (concatStringsSep ":" octets);
  machineUuid =
    identity "uuid" "the SMBIOS UUID (32 hex digits in five groups) and not a placeholder" (value: lower (strip value))
      (value: match uuid value == null || elem value junkUuids || isOneCharacter (replaceStrings [ "-" ] [ "" ] value));
  machineSerial = identity "serial" "the maker's serial number and not a placeholder" strip (
    value: elem (lower value) junkSerials || isOneCharacter value
  );

  # Tables within tables, lists and tables by name.
  listOf =
    kind: key: value:
    let
      items = imap (n: kind "${key}[${toString n}]") value;
    in
    if !isList value then
      wrong key "expected a list, found ${found value}"
    else
      {
        value = filter (value: value != null) (map (item: item.value) items);
        mistakes = concatLists (map (item: item.mistakes) items);
      };
  tableOf =
    nameKind: kind: key: value:
    let
      check =
        each:
        let
          here = below key each;
          named = nameKind here each;
        in
        if named.mistakes != [ ] then named else kind here value.${each};
      items = listToAttrs (
        map (each: {
          name = each;
          value = check each;
        }) (attrNames value)
      );
    in
    if !isAttrs value then
      wrong key "expected a table, found ${found value}"
    else
      {
        value = mapAttrs (_: item: item.value) (builtins.removeAttrs items (filter (each: items.${each}.value == null) (attrNames items)));
        mistakes = concatLists (map (item: item.mistakes) (values items));
      };
  # fields: name -> { kind, default }; a key that is no field is a mistake.
  table =
    fields: key: value:
    let
      known = mapAttrs (
        each: field: if value ? ${each} then field.kind (below key each) value.${each} else right field.default
      ) fields;
      unknown = filter (each: !fields ? ${each}) (attrNames value);
    in
    if !isAttrs value then
      wrong key "expected a table, found ${found value}"
    else
      {
        value = mapAttrs (each: item: if item.value == null then fields.${each}.default else item.value) known;
        mistakes =
          concatLists (map (item: item.mistakes) (values known))
          ++ map (each: "${below key each}: unknown key ${toJSON each}; known: ${concatStringsSep ", " (attrNames fields)}") unknown;
      };
  field = kind: default: { inherit kind default; };
  # A table that is there with its defaults where nobody wrote it.
  inner = fields: field (table fields) (table fields "" { }).value;
}
