{ imports = [ ../driver.nix ]; }
