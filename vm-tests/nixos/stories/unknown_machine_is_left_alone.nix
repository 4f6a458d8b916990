# Machines that nobody declared, with systems of their own: recorded, answered by nobody but their site, and booted from
# their own disks.
{ rack }:
{
  nodes = {
    inherit (rack) appliance site;
    bios = rack.stranger "bios" "52:54:00:0f:00:01";
    uefi = rack.stranger "uefi" "52:54:00:0f:00:02";
  };
  testScript = rack.script ./unknown_machine_is_left_alone.py;
}
