"""The folder an install is built from: the hosts folder with the chosen disks written into it.

`hosts/<name>/disks.json` tells the Nix side which disks were chosen. Where the hosts folder is read-only (a
checkout, a store path), a copy of it is made and the file is added there.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from bootstrapd.errors import EdgeError
from bootstrapd.model import ChosenDisk


def place(hosts: Path, name: str, disks: Iterable[ChosenDisk], staging: Path) -> Path:
    """Write the host's `disks.json`; the folder to build from. EdgeError: there is no place for it."""
    text = json.dumps({disk.role: disk.path for disk in disks}, indent=2) + "\n"
    try:
        _write(hosts / name, text)
    except OSError as error:
        if error.errno not in {errno.EROFS, errno.EACCES, errno.EPERM}:
            raise EdgeError(f"{hosts / name / 'disks.json'} cannot be written: {error.strerror}") from None
    else:
        return hosts
    copy = staging / name
    try:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(hosts, copy, symlinks=True)
        (copy / name).chmod(0o700)
        _write(copy / name, text)
    except (OSError, shutil.Error) as error:
        raise EdgeError(f"{hosts} is read-only and cannot be copied to {copy}: {error}") from None
    return copy


def _write(folder: Path, text: str) -> None:
    """Whole or not at all: a build may read it at any moment. A link of somebody's is not written through."""
    new = folder / ".disks.json.new"
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "w") as file:  # noqa: PTH123
        file.write(text)
    new.rename(folder / "disks.json")
