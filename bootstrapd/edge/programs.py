"""The network boot programs on this appliance, by the names that machines ask for.

Distributions name iPXE's builds differently, and not the same in every release; the table maps them. An EFI
file counts only where its PE header is of the right CPU: an ARM appliance's `ipxe.efi` is another program.
Anything else in a folder of `[nbp] dirs` (shim, GRUB) is served under its own name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog

from bootstrapd.model import Program
from bootstrapd.wire.bootfile import HEAD_SIZE, cpu

log = structlog.get_logger(__name__)

SYSTEM_FOLDERS: Final = (
    Path("/usr/lib/ipxe"),  # Debian, Ubuntu
    Path("/usr/share/ipxe"),  # Fedora, Arch
    Path("/run/current-system/sw/share/ipxe"),  # NixOS, where the profile links it
)

# name -> its CPU ("" = BIOS, no PE header), then where distributions keep it, best first.
TABLE: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "undionly.kpxe": ("", ("undionly.kpxe", "undionly-x86_64.kpxe")),
    "ipxe.pxe": ("", ("ipxe.pxe", "ipxe-x86_64.pxe")),
    "snponly.efi": (
        "x86_64",
        ("snponly.efi", "snponly-amd64.efi", "ipxe-snponly-x86_64.efi", "x86_64/snponly.efi"),
    ),
    "ipxe.efi": ("x86_64", ("ipxe.efi", "ipxe-amd64.efi", "ipxe-x86_64.efi", "x86_64/ipxe.efi")),
    "snponly-arm64.efi": (
        "aarch64",
        (
            "snponly-arm64.efi",
            "ipxe-snponly-aarch64.efi",
            "arm64-efi/snponly.efi",
            "arm64/snponly.efi",
            "snponly.efi",
        ),
    ),
    "ipxe-arm64.efi": (
        "aarch64",
        ("ipxe-arm64.efi", "ipxe-aarch64.efi", "arm64-efi/ipxe.efi", "arm64/ipxe.efi", "ipxe.efi"),
    ),
}

# What an appliance cannot do without: machines -> any of these serves them.
REQUIRED: Final = {
    "BIOS machines": ("undionly.kpxe", "ipxe.pxe"),
    "x86-64 UEFI machines": ("snponly.efi", "ipxe.efi"),
}
# What an appliance has that is for these machines alone.
FOR_ARM: Final = ("snponly-arm64.efi", "ipxe-arm64.efi")


def find(folders: Sequence[Path], system: Sequence[Path] = SYSTEM_FOLDERS) -> dict[str, Program]:
    """Every program by name; a folder before another wins, the configured ones before the system's."""
    found: dict[str, Program] = {}
    for folder in folders:
        found = {**_own_names(folder), **_known(folder), **found}
    for folder in system:
        found = {**_known(folder), **found}
    return found


def missing(programs: Mapping[str, Program]) -> list[str]:
    """A sentence for each kind of machine that cannot be booted, with what to install or set."""
    return [
        f"{machines} cannot be booted: neither {' nor '.join(names)} was found; install iPXE's programs "
        '(Debian, Ubuntu: `apt install ipxe`) or name their folder in config.toml: [nbp] dirs = ["/path"]'
        for machines, names in REQUIRED.items()
        if not any(name in programs for name in names)
    ]


def _known(folder: Path) -> dict[str, Program]:
    found = {}
    for name, (wanted, places) in TABLE.items():
        candidates = (_program(name, folder / place) for place in places)
        fitting = (program for program in candidates if program and _cpu_of(program.path) == wanted)
        program = next(fitting, None)
        if program:
            found[name] = program
    return found


def _own_names(folder: Path) -> dict[str, Program]:
    """A configured folder's files as they are called; the table's names only come by the table."""
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        log.warning("nbp.folder_unreadable", folder=str(folder), error=error.strerror)
        return {}
    programs = (_program(path.name, path) for path in paths if path.name not in TABLE and path.name[0] != ".")
    return {program.name: program for program in programs if program}


def _program(name: str, path: Path) -> Program | None:
    try:
        return Program(name=name, path=path, size=path.stat().st_size) if path.is_file() else None
    except OSError:
        return None


def _cpu_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return cpu(file.read(HEAD_SIZE))
    except OSError:
        return "unreadable"
