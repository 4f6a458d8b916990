"""What nix's last lines mean, and which references are one word on its command line."""

from __future__ import annotations

import pytest

from bootstrapd.errors import ConfigError
from bootstrapd.policy.image_build import arguments, failure, installable

HASH = "0" * 32
ARM = "packages.aarch64-linux.installer"
SAID = (
    ("error: writing to file: No space left on device", "the disk that nix builds on is full"),
    (
        (
            f"error: flake 'path:/x' does not provide attribute 'packages.x86_64-linux.{ARM}', "
            f"'legacyPackages.x86_64-linux.{ARM}' or '{ARM}'"
        ),
        "the flake has no packages.aarch64-linux.installer",
    ),
    (
        (
            f"error: a 'aarch64-linux' with features {{}} is required to build '/nix/store/{HASH}-linux.drv', "
            "but I am a 'x86_64-linux' with features {benchmark, kvm}"
        ),
        "this machine cannot build for aarch64-linux",
    ),
    (
        f"error: builder for '/nix/store/{HASH}-squashfs.img.drv' failed with exit code 1",
        "the build of squashfs.img failed with exit code 1",
    ),
    (f"error: Cannot build '/nix/store/{HASH}-initrd.drv'.", "the build of initrd failed"),
    (
        "error: cannot connect to socket at '/nix/var/nix/daemon-socket/socket': Connection refused",
        "the nix daemon does not answer at /nix/var/nix/daemon-socket/socket",
    ),
    (
        "error: unable to download 'https://cache.nixos.org/x': Could not resolve host: cache.nixos.org (6)",
        "nix cannot reach cache.nixos.org",
    ),
    (
        "error: repository path '/srv/bootstrapd' is not owned by current user",
        "the checkout belongs to another user",
    ),
    ("error: attribute 'x' missing", "nix says: attribute 'x' missing"),
)


@pytest.mark.parametrize(("line", "sentence"), SAID, ids=[sentence for _, sentence in SAID])
def test_a_line_tells_the_cause(line: str, sentence: str) -> None:
    assert failure(["building …", line, "(use '--show-trace' …)"], 1).sentence == sentence


def test_every_known_cause_says_what_to_do() -> None:
    hints = [failure([line], 1).hint for line, sentence in SAID if not sentence.startswith("nix says")]
    assert all(hints)


def test_what_nobody_knows_is_said_by_its_exit_code() -> None:
    assert failure(["Killed"], 137).sentence == "nix build ended with exit code 137"


@pytest.mark.parametrize("flake", ["", "-o", "a b", "a#b", "a\nb"])
def test_what_is_no_reference_is_refused(flake: str) -> None:
    with pytest.raises(ConfigError, match="--flake"):
        installable(flake, "installer", "x86_64")


def test_the_command_line() -> None:
    wanted = installable("github:a/b?dir=c", "installer", "aarch64")
    assert wanted == "github:a/b?dir=c#packages.aarch64-linux.installer"
    words = arguments(wanted, "/tmp/link")
    assert words[words.index("--out-link") + 1] == "/tmp/link"
    assert words[words.index("build") + 1] == wanted
