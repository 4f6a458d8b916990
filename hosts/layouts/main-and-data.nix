# Two disks: the system on `main`, as single-disk.nix has it, and all of `data` for /data. An install erases both.
{ disks, ... }:
{
  imports = [ ./single-disk.nix ];

  disko.devices.disk.data = {
    type = "disk";
    device = disks.data;
    content = {
      type = "gpt";
      partitions.data = {
        size = "100%";
        content = {
          type = "filesystem";
          format = "ext4";
          extraArgs = [ "-L" "data" ];
          mountpoint = "/data";
          mountOptions = [ "nofail" ]; # the system comes up without it
        };
      };
    };
  };
}
