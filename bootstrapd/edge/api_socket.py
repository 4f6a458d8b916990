"""Where the operator's API listens: a Unix socket, whose mode is the only lock, and TCP with a bearer token."""

from __future__ import annotations

import contextlib
import grp
import hmac
import os
import secrets
import socket
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bootstrapd.edge.folders import make_folder
from bootstrapd.errors import ConfigError, EdgeError

TOKEN_MIN: Final = 16  # characters: nobody guesses that over a network
TOKEN_MAX_BYTES: Final = 4096


def unix(path: Path, group: str) -> socket.socket:
    """A bound and listening socket; the file of a dead process is replaced, a live one is an EdgeError."""
    try:
        gid = _make_folder(path.parent, group)
        _clear(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            listener.bind(str(path))
            path.chmod(0o660)  # before listen: nobody can connect while the mode is the umask's
            if gid >= 0:
                os.chown(path, -1, gid)
            listener.listen(128)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise EdgeError(f"cannot open the operator's socket {path}: {error.strerror or error}") from error
    return listener


def tcp(address: str, port: int) -> socket.socket:
    """A bound and listening socket; EdgeError says why not."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family)
    except OSError as error:
        raise EdgeError(
            f"the operator's API cannot listen on {address} port {port}: {error.strerror} "
            "(config.toml, [api] listen)"
        ) from None


def token(file: Path) -> str:
    """The bearer token in `file`, made there (0600) if there is none. ConfigError: others may read it, …"""
    try:
        return _made(file) if not file.exists() else _read(file)
    except OSError as error:
        raise EdgeError(
            f"the API's token file {file}: {error.strerror} (config.toml, [api] token_file)"
        ) from None


def refusal(headers: Mapping[str, str], expected: str) -> tuple[int, str, str] | None:
    """Why a request over TCP is not let in: status, sentence, code. None = it may.

    A page in a browser cannot have the token, whatever name it reached us by (DNS rebinding); one that tries is
    told by its Origin and refused without a look at the rest.
    """
    if "Origin" in headers:
        return 403, "web pages may not use this API", "ORIGIN"
    scheme, _, given = headers.get("Authorization", "").partition(" ")
    is_same = hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), expected.encode())
    if scheme.lower() != "bearer" or not is_same:
        said = "the token is wrong" if given else "a token is needed"
        return 401, f"{said}: send Authorization: Bearer TOKEN", "UNAUTHORIZED"
    return None


def _made(file: Path) -> str:
    made = secrets.token_urlsafe(32)
    make_folder(file.parent)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w", encoding="ascii") as written:  # noqa: PTH123 - a descriptor
        written.write(made + "\n")
    return made


def _read(file: Path) -> str:
    info = file.stat()
    if not stat.S_ISREG(info.st_mode):
        raise ConfigError(f"the API's token file {file} is no file")
    if info.st_mode & 0o077:
        raise ConfigError(f"the API's token file {file} may be read by others: chmod 600 {file}")
    with file.open("rb") as opened:
        found = opened.read(TOKEN_MAX_BYTES).decode("utf-8", "replace").strip()
    if len(found) < TOKEN_MIN or not found.isascii() or not found.isprintable() or " " in found:
        raise ConfigError(
            f"the API's token file {file}: expected one word of at least {TOKEN_MIN} ASCII characters"
        )
    return found


def _make_folder(folder: Path, group: str) -> int:
    """Make the socket's folder where it is missing; the group id it and the socket go to, -1 = leave it."""
    gid = -1
    if os.geteuid() == 0:
        with contextlib.suppress(KeyError):  # no such group on this machine: root alone may talk to us
            gid = grp.getgrnam(group).gr_gid
    if not folder.exists():
        make_folder(folder)
        if gid >= 0:
            os.chown(folder, -1, gid)
    return gid


def _clear(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise EdgeError(f"{path} is in the way of the operator's socket and is no socket: move it away")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()
                return
        raise EdgeError(f"bootstrapd is already running: something answers on {path}; stop it first")
