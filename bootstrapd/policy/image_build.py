"""`nix build` of an image as values: its command line, and what its lines mean when it fails.

`edge.image_build` runs it. How the lines are read is `install_progress`'s: it is the same nix.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from bootstrapd.errors import ConfigError
from bootstrapd.policy.install_verdict import Cause, find_cause, plain

LINES_SHOWN: Final = 10

_FLAKES: Final = ("--extra-experimental-features", "nix-command flakes")
_ELSEWHERE: Final = "build it where that works, and copy the folder here for `bootstrapd images add`"
_REFERENCE: Final = re.compile(r"[^\s#-][^\s#]*")


def _cause(pattern: str, sentence: str, hint: str = "") -> Cause:
    return Cause(re.compile(pattern), sentence, hint)


# The most telling first, as in install_verdict.
CAUSES: Final = (
    _cause(
        r"No space left on device|not enough free (?:disk )?space",
        "the disk that nix builds on is full",
        "`nix-collect-garbage -d` frees what nothing uses; an image takes 3 GB of /nix/store",
    ),
    _cause(
        r"does not provide attribute .*'packages\.([\w.-]+)'",
        "the flake has no packages.{0}",
        "name the flake that has it with --flake",
    ),
    _cause(
        r"a '([\w-]+)' with features .* is required to build",
        "this machine cannot build for {0}",
        f"give nix a builder of that kind, or {_ELSEWHERE}",
    ),
    _cause(
        r"builder for '/\S+?/[0-9a-z]{32}-(\S+?)\.drv' failed with exit code (\d+)",
        "the build of {0} failed with exit code {1}",
        "the last lines are the builder's own",
    ),
    _cause(  # nix 2.30 and later: the reason stands in the next line
        r"Cannot build '/\S+?/[0-9a-z]{32}-(\S+?)\.drv'",
        "the build of {0} failed",
        "the last lines say which builder it was, and why",
    ),
    _cause(
        r"cannot connect to (?:socket|daemon) at '?([^':]+)",
        "the nix daemon does not answer at {0}",
        "start it: systemctl start nix-daemon.socket",
    ),
    _cause(
        r"Could not resolve host(?:name)?:? '?([\w.-]+)|unable to download '\w+://([\w.-]+)",
        "nix cannot reach {0}{1}",
        f"what is built comes from there; without the Internet, {_ELSEWHERE}",
    ),
    _cause(
        r"is not owned by (?:the )?current user|dubious ownership",
        "the checkout belongs to another user",
        "build as that user, or name it as path:… with --flake",
    ),
    _cause(r"^\s*error: (?!$)(.+)", "nix says: {0}"),
)


def installable(flake: str, attribute: str, cpu: str) -> str:
    """What nix is asked to build. ConfigError: `flake` is no flake reference."""
    if not _REFERENCE.fullmatch(flake):
        raise ConfigError(
            f"--flake {flake!r}: expected a flake such as . or github:OWNER/REPOSITORY, without # and spaces"
        )
    return f"{flake}#packages.{cpu}-linux.{attribute}"


def arguments(wanted: str, link: str) -> tuple[str, ...]:
    """Behind `nix`. The link keeps the result from the garbage collector until it is copied."""
    return (*_FLAKES, "build", wanted, "--out-link", link, "--print-build-logs", "--no-write-lock-file")


def failure(lines: Iterable[str], code: int) -> Cause:
    """Why a build failed, and what to do."""
    found = find_cause(lines, has_machine=False, causes=CAUSES)
    return found or plain(f"nix build ended with exit code {code}")
