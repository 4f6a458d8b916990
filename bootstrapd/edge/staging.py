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
        _copy(hosts, copy)
        _write(copy / name, text)
    except OSError as error:
        raise EdgeError(f"{hosts} is read-only and cannot be copied to {copy}: {error}") from None
    return copy


def _copy(source: Path, target: Path) -> None:
    """Names, contents, links and who may run what: the folders become ours to write and to remove.

    `shutil.copytree` keeps the modes: nobody but root gets into the folders of a store path again, and the
    service's sandbox refuses to make a folder with the set-group-id bit.
    """
    target.mkdir(mode=0o700, parents=True)
    for entry in os.scandir(source):
        new = target / entry.name
        if entry.is_symlink():
            new.symlink_to(Path(entry.path).readlink())
        elif entry.is_dir():
            _copy(Path(entry.path), new)
        else:
            shutil.copyfile(entry.path, new)
            new.chmod(0o700 if entry.stat().st_mode & 0o100 else 0o600)


def _write(folder: Path, text: str) -> None:
    """Whole or not at all: a build may read it at any moment. A link of somebody's is not written through."""
    new = folder / ".disks.json.new"
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "w") as file:  # noqa: PTH123
        file.write(text)
    new.rename(folder / "disks.json")
