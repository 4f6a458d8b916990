{ bootstrapd, ... }:
{
  nixpkgs.hostPlatform = "x86_64-linux";
  system.stateVersion = "26.05"; # of the first install; it stays

  # The link to the machines. Its own address; the network's DHCP server gives all others.
  services.bootstrapd.interfaces = [ "enp3s0" ];
  networking.interfaces.enp3s0.ipv4.addresses = [
    {
      address = "10.1.0.2";
      prefixLength = 24;
    }
  ];

  # What they boot. The hosts are in /var/lib/bootstrapd/hosts: `nix flake init -t github:OWNER/bootstrapd?dir=nixos-appliance#hosts`
  services.bootstrapd.images.installer = bootstrapd.packages.x86_64-linux.installer;

  users.users.root.openssh.authorizedKeys.keys = [ ]; # yours
}
