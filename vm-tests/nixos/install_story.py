# The verbs of the stories that install: HOST, HOSTS and CLOSURE stand in front, and the machine is `blank`.
NIX = "nix --extra-experimental-features 'nix-command flakes'"


def builds_offline() -> None:
    """From its hosts folder alone, `nix build` comes to the system that is in the appliance's store."""
    wanted = f"path:{HOSTS}#nixosConfigurations.{HOST}.config.system.build.toplevel"
    built = appliance.succeed(f"{NIX} build {wanted} --no-link --print-out-paths --no-write-lock-file")
    assert built.strip() == CLOSURE, f"the appliance evaluates to {built}, outside it was {CLOSURE}"


def runs_its_own_system() -> None:
    """The driver's shell is in the installed system alone: whoever answers is not the live system."""
    blank.wait_for_unit("multi-user.target")
    assert blank.succeed("readlink -f /run/current-system").strip() == CLOSURE
    assert blank.succeed("hostname").strip() == HOST
    blank.fail("findmnt --noheadings --output FSTYPE / | grep -q tmpfs")
