# A hosts folder as checked, normalised data: what bootstrapd/config/hosts.py is in Python. No nixpkgs.
#
#   import ./fleet.nix { folder = ./.; }
#     -> { hosts.<name>; profiles.<name>; networks.<name>; switches.<name>; mistakes }
#
# Each host, profile and network has every key (tables.nix), with its default where nobody wrote it, and its name.
# A mistake is an evaluation error that names file and key, with all the others; `mistakes` tells them as data.
# Profiles that ship beside this file stand in for those that the folder does not define.
{
  folder ? null,
  files ? null, # instead of a folder: path below it -> text
}:
let
  inherit (builtins)
    attrNames
    concatLists
    concatStringsSep
    elem
    filter
    foldl'
    head
    listToAttrs
    mapAttrs
    match
    pathExists
    readDir
    readFile
    replaceStrings
    substring
    tail
    toJSON
    ;
  tables = import ./tables.nix;
  kinds = import ./kinds.nix;
  addresses = import ./networks.nix;

  # -- the files

  texts = if files == null then read folder else files;

  read =
    folder:
    let
      entries = filter (name: substring 0 1 name != ".") (attrNames (readDir folder));
      hosts = map (name: "${name}/host.toml") (filter (name: !elem name [ "profiles" "layouts" ]) entries);
      candidates = hosts ++ profilesIn folder ++ [ "networks.toml" ];
    in
    textsOf folder (filter (path: pathExists (folder + "/${path}")) candidates);
  profilesIn =
    folder:
    if pathExists (folder + "/profiles") then
      map (name: "profiles/${name}") (filter (name: match "[^.].*[.]toml" name != null) (attrNames (readDir (folder + "/profiles"))))
    else
      [ ];
  textsOf = folder: paths: named (path: readFile (folder + "/${path}")) paths;
  named =
    f: names:
    listToAttrs (
      map (name: {
        inherit name;
        value = f name;
      }) names
    );

  # -- one file

  # TOML that Nix cannot read stops here with Nix's own words; `--show-trace` names the file, check-config always does.
  parse =
    table: path: text:
    let
      written = builtins.addErrorContext "while reading hosts/${path}" (builtins.fromTOML text);
      # Nix ends a text at a NUL, and so would not see what stands behind it.
      hasNul = match ".*\\\\(u0000|U00000000).*" (replaceStrings [ "\n" ] [ " " ] text) != null;
      read = table "" written;
    in
    if hasNul then { inherit (table "" { }) value; mistakes = [ "holds a NUL character" ]; inherit written; } else read // { inherit written; };

  hostOf =
    path:
    let
      name = head (match "(.*)/host[.]toml" path);
      table = parse tables.host path texts.${path};
    in
    {
      inherit path name;
      value = table.value // { inherit name; match = table.value.match // { mac = unique table.value.match.mac; }; };
      mistakes =
        (if kinds.isHostName name then [ ] else [
          ''${toJSON name} cannot be the name of a host: expected at most 63 of a-z, 0-9 and -, beginning and ending with a letter or digit, other than "profiles" and "layouts"''
        ])
        ++ table.mistakes
        ++ (if table.written ? profile then [ ] else [ "profile: expected the name of a profile, found nothing" ]);
    };

  profileOf =
    texts: path:
    let
      name = head (match "profiles/(.*)[.]toml" path);
      table = parse tables.profile path texts.${path};
    in
    {
      inherit path name;
      value = table.value // { inherit name; };
      mistakes =
        (if kinds.isName name then [ ] else [ "${toJSON name} cannot be the name of a profile: expected letters, digits and . _ -" ])
        ++ table.mistakes
        ++ (if table.value.system == "darwin" then macMistakes table.value else imageMistakes table.value.image);
    };
  imageMistakes =
    image:
    let
      images = if builtins.isAttrs image then image else { "" = image; };
      cpus = [ "aarch64" "arm" "i686" "x86_64" ];
      isUnknown = cpu: cpu != "" && !elem cpu cpus;
      isBad = cpu: images.${cpu} != "" && !kinds.isImage images.${cpu};
    in
    (
      if filter (cpu: images.${cpu} != "") (attrNames images) == [ ] then
        [ "image: expected the name of an image, or a table of one a CPU, found nothing" ]
      else
        [ ]
    )
    ++ map (cpu: "image.${cpu}: unknown CPU ${toJSON cpu}; known: ${concatStringsSep ", " cpus}") (filter isUnknown (attrNames images))
    ++ map (cpu: "image: expected a name of lower-case letters, digits and . _ -, found ${toJSON images.${cpu}}") (filter isBad (attrNames images));

  macMistakes =
    profile:
    map (key: ''${key}: a Mac (system = "darwin") boots no image and has no layout; leave it out'') (
      filter (key: !elem profile.${key} [ "" { } ]) [ "image" "layout" ]
    );

  # -- all of them together

  paths = attrNames texts;
  hostFiles = map hostOf (filter (path: match "[^/]+/host[.]toml" path != null) paths);
  ownProfiles = map (profileOf texts) (filter (path: match "profiles/[^/]*[.]toml" path != null) paths);
  shippedProfiles = map (profileOf (textsOf ./. (profilesIn ./.))) (profilesIn ./.);
  byName = map (one: { inherit (one) name value; });
  hosts = listToAttrs (byName hostFiles);
  profiles = listToAttrs (byName shippedProfiles) // listToAttrs (byName ownProfiles);
  networksFile =
    let
      path = "networks.toml";
      file = parse tables.networks path (texts.${path} or "");
    in
    file // { inherit path; mistakes = file.mistakes ++ addresses.mistakes file.written file.value; };
  networks = mapAttrs (name: network: network // { inherit name; }) networksFile.value.network;

  said = file: map (mistake: "hosts/${file.path}: ${mistake}") file.mistakes;
  unknownProfiles = map (
    file: "hosts/${file.path}: profile: unknown profile ${toJSON file.value.profile}; known: ${concatStringsSep ", " (attrNames profiles)}"
  ) (filter (file: file.value.profile != "" && !profiles ? ${file.value.profile}) hostFiles);

  # Two hosts that claim one value. Firmware and DHCP read one UUID in two byte orders: either is the same machine's.
  claimsOf =
    file:
    map (value: { key = "mac"; inherit value file; claim = value; }) file.value.match.mac
    ++ concatLists (
      map (
        key:
        let
          value = file.value.match.${key};
        in
        if value == "" then
          [ ]
        else
          [ { inherit key value file; claim = if key == "uuid" then lesser value (swapped value) else value; } ]
      ) [ "uuid" "serial" "port" ]
    );
  lesser = a: b: if a < b then a else b;
  swapped =
    uuid:
    let
      pair = at: substring at 2 uuid;
    in
    "${pair 6}${pair 4}${pair 2}${pair 0}-${pair 11}${pair 9}-${pair 16}${pair 14}${substring 18 (-1) uuid}";
  claimedTwice = concatLists (
    map (
      claims:
      let
        first = head claims;
        again = filter (claim: claim.file.path != first.file.path) (tail claims);
      in
      map (claim: "hosts/${claim.file.path}: match.${claim.key}: ${claim.value} is claimed by hosts/${first.file.path} too") again
    ) (values (builtins.groupBy (claim: "${claim.key} ${claim.claim}") (concatLists (map claimsOf hostFiles))))
  );

  takenAddresses =
    map (one: "hosts/${one.path}: ${one.mistake}") (
      addresses.taken (filter (network: network.subnet != "") (values networks)) (
        map (file: { inherit (file) path; inherit (file.value.network) address; }) (filter (file: file.value.network.address != "") hostFiles)
      )
    );

  values = set: map (name: set.${name}) (attrNames set);
  unique = foldl' (seen: value: if elem value seen then seen else seen ++ [ value ]) [ ];

  mistakes =
    concatLists (map said (hostFiles ++ ownProfiles ++ [ networksFile ])) ++ unknownProfiles ++ claimedTwice ++ takenAddresses;
  checked = value: if mistakes == [ ] then value else throw "the hosts folder has mistakes:\n${concatStringsSep "\n" mistakes}";
in
{
  inherit mistakes;
  hosts = checked hosts;
  profiles = checked profiles;
  networks = checked networks;
  switches = checked (mapAttrs (name: switch: switch // { inherit name; }) networksFile.value.switch);
}
