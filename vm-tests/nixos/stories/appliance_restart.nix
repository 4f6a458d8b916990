# The appliance loses power twice while it brings up a machine: in the middle of the boot, and in the middle of the
# install. Both times it comes back and goes on, and erases nothing that it was not armed for.
{ rack }:
let
  host = "single-disk";
in
{
  nodes = {
    appliance.imports = [
      rack.appliance
      (rack.withInstalls [ host ])
    ];
    inherit (rack) site;
    blank = rack.machine host "uefi";
  };
  testScript = rack.installScript host ./appliance_restart.py;
}
