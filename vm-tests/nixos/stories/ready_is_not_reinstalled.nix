# An installed machine that asks the network first at each power-on starts its own disk, and keeps what is on it.
{ rack }:
let
  host = "single-disk";
  test = kind: {
    nodes = {
      appliance.imports = [
        rack.appliance
        (rack.withInstalls [ host ])
      ];
      inherit (rack) site;
      blank = rack.machine host kind;
    };
    testScript = rack.installScript host ./ready_is_not_reinstalled.py;
  };
in
{
  bios = test "bios";
  uefi = test "uefi";
}
