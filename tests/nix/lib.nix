# The part of nixpkgs' `lib` that our Nix code uses, for machines with Nix and without nixpkgs: the same names, the
# same meaning. tests/nix/test_lib.py runs one set of examples through this and, where NIXPKGS is given, through the
# real one, and compares. A function that nixpkgs' lib does not have has no place here.
let
  basics = import ./lib/basics.nix;
  options = import ./lib/options.nix { inherit lib; };
  types = import ./lib/types.nix { inherit lib; };
  modules = import ./lib/modules.nix { inherit lib; };

  lib =
    basics
    // removeAttrs options [ "showDefs" "showValue" ]
    // removeAttrs modules [ "defaultOrderPriority" "defaultOverridePriority" ]
    // {
      inherit options modules types;
      attrsets = basics;
      lists = basics;
      strings = basics;
      trivial = basics;
      meta = basics;
    };
in
lib
