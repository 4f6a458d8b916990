# Each layout is installed for real, by nixos-anywhere and disko, by each firmware that can boot it. A layout is found by
# its file in hosts/layouts; its machine has the disks that the host of its name asks for.
{ rack }:
let
  inherit (builtins) attrNames concatMap filter listToAttrs replaceStrings;

  test = layout: kind: {
    name = "${replaceStrings [ "-" ] [ "_" ] layout}_${kind}";
    value =
      let
        host = rack.hostOf layout;
      in
      {
        nodes = {
          appliance.imports = [
            rack.appliance
            (rack.withInstalls [ host ])
          ];
          inherit (rack) site;
          blank = rack.machine host kind;
        };
        testScript = rack.installScript host ./install.py;
      };
  };
in
listToAttrs (
  concatMap (
    layout: map (test layout) (filter (kind: rack.layouts.${layout}.boots.${kind}) rack.firmwares)
  ) (attrNames rack.layouts)
)
