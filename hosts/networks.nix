# IPv4 arithmetic on text, and what may be wrong with networks.toml beyond its kinds: bootstrapd/config/networks.py and
# bootstrapd/policy/network.py once more, in Nix.
let
  inherit (builtins)
    attrNames
    concatLists
    elem
    elemAt
    filter
    foldl'
    fromJSON
    genList
    head
    length
    listToAttrs
    match
    sort
    tail
    toJSON
    ;

  values = set: map (name: set.${name}) (attrNames set);
  power = n: if n == 0 then 1 else 2 * power (n - 1);

  # "10.1.0.11/24" or "10.1.0.11" as a number.
  number = text: foldl' (sum: octet: sum * 256 + fromJSON octet) 0 (match "([0-9]+)[.]([0-9]+)[.]([0-9]+)[.]([0-9]+).*" text);
  prefixOf = text: fromJSON (head (match ".*/([0-9]+)" text));
  size = network: power (32 - prefixOf network);
  first = network: number network / size network * size network;
  last = network: first network + size network - 1;
  octets = n: [ (n / 16777216) (n / 65536) (n / 256) n ];
  write = n: builtins.concatStringsSep "." (map (part: toString (part - part / 256 * 256)) (octets n));
  holds = network: address: number address >= first network && number address <= last network;

  unusable =
    network: address:
    if !holds network address then
      "outside ${network}"
    else if prefixOf network < 31 && number address == first network then
      "the name of ${network} itself"
    else if prefixOf network < 31 && number address == last network then
      "the broadcast address of ${network}"
    else
      "";

  # -- mistakes: [ "key: what is wrong" ]

  ofAddresses =
    name: network:
    let
      key = "network.${name}";
      whole = "${write (first network.subnet)}/${toString (prefixOf network.subnet)}";
      wrong = field: if network.${field} == "" then "" else unusable whole network.${field};
      about = field: if wrong field == "" then [ ] else [ "${key}.${field}: expected an address in ${whole}, found ${network.${field}}, which is ${wrong field}" ];
    in
    (if whole == network.subnet then [ ] else [ ''${key}.subnet: ${network.subnet} is an address in a network: did you mean "${whole}"?'' ])
    ++ about "gateway"
    ++ about "appliance"
    ++ (if network.gateway != "" && network.gateway == network.appliance then [ "${key}.appliance: ${network.appliance} is the gateway's address: the appliance routes nothing" ] else [ ]);

  # Each network with one that begins before it and reaches into it; of two that begin alike, the wider is the first.
  overlapping =
    networks:
    let
      # By start, then by width, then by name: `sort` keeps the order of equals.
      sorted = sort (a: b: first a.subnet < first b.subnet || (first a.subnet == first b.subnet && prefixOf a.subnet < prefixOf b.subnet)) networks;
      step =
        found: network:
        if found.widest != null && first network.subnet <= last found.widest.subnet then
          found // { mistakes = found.mistakes ++ [ "network.${network.name}.subnet: ${network.subnet} overlaps ${found.widest.subnet} of network ${found.widest.name}: an address is in one of them" ]; }
        else
          found // { widest = network; };
    in
    (foldl' step { widest = null; mistakes = [ ]; } sorted).mistakes;
  ofTag =
    network:
    if network.tagged && network.vlan == 0 then
      [ "network.${network.name}.tagged: expected vlan beside it, the number that frames carry" ]
    else
      [ ];
  sameVlan =
    networks:
    concatLists (
      map (same: map (network: "network.${network.name}.vlan: VLAN ${toString network.vlan} is that of network ${(head same).name} too") (tail same)) (
        values (builtins.groupBy (network: toString network.vlan) (filter (network: network.vlan != 0) networks))
      )
    );

  ofSwitch =
    switches: networks: name:
    let
      switch = switches.${name};
      named = n: elemAt switch.networks n;
      before = n: genList named n;
      of = n: if !networks ? ${named n} then [ "switch.${name}.networks[${toString n}]: unknown network ${toJSON (named n)}" ] else if elem (named n) (before n) then [ "switch.${name}.networks[${toString n}]: ${named n} is named twice" ] else [ ];
      above =
        seen: at:
        let
          up = switches.${at}.uplink;
        in
        if up == "" || !switches ? ${up} || elem up seen then seen else above (seen ++ [ up ]) up;
    in
    concatLists (genList of (length switch.networks))
    ++ (
      if switch.uplink != "" && !switches ? ${switch.uplink} then
        [ "switch.${name}.uplink: unknown switch ${toJSON switch.uplink} (a switch without more to say is [switch.${switch.uplink}])" ]
      else if elem name (above [ ] name) then
        [ "switch.${name}.uplink: leads back to ${name}: ${builtins.concatStringsSep " -> " ([ name ] ++ above [ ] name)}" ]
      else
        [ ]
    );
in
{
  inherit prefixOf;

  # The file's tables -> its mistakes. `written` is the file as it was read.
  mistakes =
    written: table:
    let
      withSubnet = filter (name: table.network.${name}.subnet != "") (attrNames table.network);
      without = filter (name: table.network.${name}.subnet == "" && !written.network.${name} ? subnet) (attrNames table.network);
      networks = map (name: table.network.${name} // { inherit name; }) withSubnet;
    in
    concatLists (map (network: ofAddresses network.name network ++ ofTag network) networks)
    ++ map (name: ''network.${name}.subnet: expected an IPv4 network such as "10.1.0.0/24", found nothing'') without
    ++ overlapping networks
    ++ sameVlan networks
    ++ concatLists (map (ofSwitch table.switch table.network) (attrNames table.switch));

  # hosts: [ { path, address } ] -> [ { path, mistake } ]: an address that another host, a gateway or the appliance has.
  taken =
    networks: hosts:
    let
      fixed = concatLists (
        map (
          network:
          concatLists (map (key: if network.${key} == "" then [ ] else [ { name = toString (number network.${key}); value = "hosts/networks.toml (network.${network.name}.${key})"; } ]) [ "gateway" "appliance" ])
        ) networks
      );
      step =
        found: host:
        let
          at = toString (number host.address);
        in
        if found.taken ? ${at} then
          found // { mistakes = found.mistakes ++ [ { inherit (host) path; mistake = "network.address: ${host.address} is the address of ${found.taken.${at}} too"; } ]; }
        else
          found // { taken = found.taken // { ${at} = "hosts/${host.path}"; }; };
    in
    (foldl' step { taken = listToAttrs fixed; mistakes = [ ]; } hosts).mistakes;

  # The network whose subnet the address is in, or null.
  of =
    networks: address:
    let
      found = filter (network: holds network.subnet address) (values networks);
    in
    if address == "" || found == [ ] then null else head found;
}
