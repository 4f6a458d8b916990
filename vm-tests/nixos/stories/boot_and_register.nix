# Two machines boot the installer by their own firmware, one by BIOS and one by UEFI, and register.
{ rack }:
{
  nodes = {
    inherit (rack) appliance site;
    bios = rack.machine "live-bios" "bios";
    uefi = rack.machine "live-uefi" "uefi";
  };
  testScript = rack.script ./boot_and_register.py;
}
