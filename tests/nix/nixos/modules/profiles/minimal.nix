# Stands where nixpkgs has its profile of small systems.
{ }
