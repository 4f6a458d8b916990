# Stands where nixpkgs has the modules of all hardware.
{ }
