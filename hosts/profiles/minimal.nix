# The system of profile minimal: nothing but what every host has (system.nix), spoken on both consoles.
{ lib, ... }:
{
  # The last one is where systemd and the kernel's last words go: a screen, if somebody carries one there.
  boot.kernelParams = lib.mkDefault [
    "console=ttyS0,115200n8"
    "console=tty0"
  ];
}
