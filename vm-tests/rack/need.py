"""What the rack needs of the machine it stands on, and the words for what is missing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

PROGRAMS: Final = {  # program: the Debian and Ubuntu package that brings it
    "qemu-system-x86_64": "qemu-system-x86",
    "dnsmasq": "dnsmasq-base",
    "tcpdump": "tcpdump",
    "ip": "iproute2",
    "setpriv": "util-linux",
    "busybox": "busybox-static",
    "mkfs.vfat": "dosfstools",
    "mcopy": "mtools",
    "ssh-copy-id": "openssh-client",
}


class MissingError(Exception):
    """The rack cannot be built here; the message says why and what to install."""


def check() -> None:
    """MissingError names the first thing that keeps the rack from being built."""
    if os.geteuid() != 0:
        raise MissingError("needs root: it builds network namespaces and taps")
    if not Path("/dev/net/tun").exists():
        raise MissingError("needs /dev/net/tun: the kernel module 'tun' is not loaded")
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            raise MissingError(f"needs {program}: apt-get install {package}")


def file(path: str, package: str) -> Path:
    """The file, or MissingError with the package that brings it."""
    found = Path(path)
    if not found.exists():
        raise MissingError(f"needs {path}: apt-get install {package}")
    return found
