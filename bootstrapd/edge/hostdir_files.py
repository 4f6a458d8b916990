"""Reading the hosts folder within bounds: hosts, profiles and `networks.toml`, whatever lies there.

Symbolic links are followed (a NixOS hosts folder is made of them); hidden files are an editor's business.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from bootstrapd.edge.regular import read_regular
from bootstrapd.errors import ConfigError
from bootstrapd.model import HostBook

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
    files, unread = _texts(folder)
    if unread:
        raise ConfigError(*unread.values())
    return files


def read_as(folder: Path, parse: Callable[[Files], HostBook]) -> HostBook:
    """What `parse` makes of the folder; ConfigError with every mistake, in files that can be read and others.

    Who cannot be read stands in as an empty file: a host of such a profile does not have an unknown one. What
    `parse` says of the stand-in is not passed on.
    """
    files, unread = _texts(folder)
    try:
        book = parse({**files, **dict.fromkeys(unread, "")})
    except ConfigError as error:
        said = [mistake for mistake in error.mistakes if not any(f"/{path}: " in mistake for path in unread)]
        raise ConfigError(*unread.values(), *said) from None
    if unread:
        raise ConfigError(*unread.values())
    return book


def _texts(folder: Path) -> tuple[Files, dict[str, str]]:
    """The files that can be read, and of the others what is wrong, by their paths."""
    found = marks(folder)
    unreadable = found.pop("", None)
    if unreadable == _NOT_THERE:
        return {}, {}
    if unreadable:
        raise ConfigError(f"{folder}: the hosts folder cannot be read: {os.strerror(unreadable[0])}")
    if len(found) > FILES_MAX:
        raise ConfigError(f"{folder}: expected at most {FILES_MAX} hosts and profiles, found {len(found)}")
    files, unread = {}, {}
    for path in sorted(found):
        if (shown := _shown(path)) != path:
            unread[shown] = f"{folder}/{shown}: the name is not UTF-8 text; rename it, or take it away"
            continue
        try:
            files[path] = text_of(f"{folder}/{path}")
        except OSError as error:
            unread[path] = f"{folder}/{path}: cannot be read: {error.strerror}"
        except ValueError as error:
            unread[path] = f"{folder}/{path}: {error}"
    return files, unread


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
