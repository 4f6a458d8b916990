"""Reading the hosts folder within bounds: hosts, profiles and `networks.toml`, whatever lies there.

Symbolic links are followed (a NixOS hosts folder is made of them); hidden files are an editor's business.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bootstrapd.edge.regular import read_regular
from bootstrapd.errors import ConfigError

FILE_MAX_BYTES: Final = 256 * 1024
FILES_MAX: Final = 10_000

_NOT_THERE: Final = (errno.ENOENT, 0, 0)

Files = dict[str, str]  # path below the folder -> text
Mark = tuple[int, int, int]  # time, size, inode; or an error's number
Marks = dict[str, Mark]  # path below the folder -> what tells one state of the file from the next


def read(folder: Path) -> Files:
    """The texts by their paths below `folder`; {} where it is not there.

    ConfigError names every file that cannot be read, is too large or is no text.
    """
    found = marks(folder)
    unreadable = found.pop("", None)
    if unreadable == _NOT_THERE:
        return {}
    if unreadable:
        raise ConfigError(f"{folder}: the hosts folder cannot be read: {os.strerror(unreadable[0])}")
    if len(found) > FILES_MAX:
        raise ConfigError(f"{folder}: expected at most {FILES_MAX} hosts and profiles, found {len(found)}")
    files, mistakes = {}, []
    for path in sorted(found):
        if (shown := _shown(path)) != path:
            mistakes.append(f"{folder}/{shown}: the name is not UTF-8 text; rename it, or take it away")
            continue
        try:
            files[path] = text_of(f"{folder}/{path}")
        except OSError as error:
            mistakes.append(f"{folder}/{path}: cannot be read: {error.strerror}")
        except ValueError as error:
            mistakes.append(f"{folder}/{path}: {error}")
    if mistakes:
        raise ConfigError(*mistakes)
    return files


def marks(folder: Path) -> Marks:
    """Equal as long as nobody has touched the folder; the path "" stands for a folder that cannot be read."""
    try:
        found = ((path, _mark(f"{folder}/{path}")) for path in _candidates(str(folder)))
        return {path: mark for path, mark in found if mark}
    except OSError as error:
        return {"": (error.errno or errno.EIO, 0, 0)}


def text_of(path: str | Path) -> str:
    """The file's text. OSError, or ValueError with words for a person."""
    try:
        return read_regular(path, FILE_MAX_BYTES).decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def _shown(path: str) -> str:
    """The path as it can be said anywhere: bytes of a name that are no UTF-8 become \\udcXX."""
    return path.encode("utf-8", "backslashreplace").decode()


def _candidates(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name == "profiles":
                yield from _profiles(entry.path)
            elif entry.name == "networks.toml":
                yield entry.name
            elif not entry.name.startswith(".") and not entry.is_file(follow_symlinks=False):
                yield f"{entry.name}/host.toml"


def _profiles(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(".toml") and not entry.name.startswith("."):
                yield f"profiles/{entry.name}"


def _mark(path: str) -> Mark | None:
    """None: nothing is there. A dangling link is something, and reading it says what is wrong with it."""
    try:
        found = os.stat(path)  # noqa: PTH116 - a thousand of these each second: Path.stat costs twice as much
    except (FileNotFoundError, NotADirectoryError):
        return _NOT_THERE if os.path.islink(path) else None  # noqa: PTH114
    except OSError as error:
        return error.errno or errno.EIO, 0, 0
    return found.st_mtime_ns, found.st_size, found.st_ino
