"""Editing the hosts folder for a person: comments and order stay, a file is replaced whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
from collections.abc import Iterator, MutableMapping, MutableSequence, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict

from bootstrapd.edge.folders import make_folder
from bootstrapd.edge.hostdir_files import text_of
from bootstrapd.errors import ConfigError, EdgeError, RefusedError
from bootstrapd.model import Host, Mac

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def add_host(folder: Path, host: Host) -> Path:
    """Write `<name>/host.toml`; its path. RefusedError: it is there already, or the folder is read-only."""
    with adding_host(folder, host) as file:
        return file


@contextlib.contextmanager
def adding_host(folder: Path, host: Host) -> Iterator[Path]:
    """`add_host`, with time to look at the folder first: no other command changes it within the block, and the
    file is written behind it, unless the block raises.
    """
    with adding_hosts(folder, [host]) as (file,):
        yield file


@contextlib.contextmanager
def adding_hosts(folder: Path, hosts: Sequence[Host]) -> Iterator[list[Path]]:
    """`adding_host` for several: all of them are written, or none."""
    texts = {_file(folder, host.name): declaration(host) for host in hosts}
    file = next(iter(texts))
    try:
        make_folder(folder)
        with _alone(folder):
            there = [file for file in texts if os.path.lexists(file)]
            if there:
                raise RefusedError(
                    "\n".join(f"{file} is there already; edit it, or remove the host first" for file in there),
                    "HOST_EXISTS",
                )
            yield list(texts)
            with contextlib.ExitStack() as undo:
                for file, text in texts.items():
                    undo.callback(_take_away, file)
                    file.parent.mkdir(exist_ok=True)
                    _put(file, text)
                undo.pop_all()
    except OSError as error:
        raise _unwritable(file, error, f"put this there yourself:\n\n{texts[file]}") from None


def _take_away(file: Path) -> None:
    with contextlib.suppress(OSError):
        file.unlink(missing_ok=True)
        file.parent.rmdir()


def remove_host(folder: Path, name: str) -> Path | None:
    """Delete `<name>/host.toml`, and its folder if that is empty then; the file, or None if there was none."""
    file = _file(folder, name)
    try:
        with _alone(folder):
            file.unlink()
            with contextlib.suppress(OSError):
                file.parent.rmdir()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unwritable(file, error, "remove it yourself") from None
    return file


def add_mac(folder: Path, name: str, mac: Mac) -> Path:
    """Add `mac` to the host's `[match] mac`, keeping comments and order; nothing changes where it is there.

    ConfigError: there is no such file, or it is no TOML. RefusedError: it is read-only.
    """
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    file = _file(folder, name)
    try:
        with _alone(folder):
            text = text_of(file)
            document = tomlkit.parse(text)
            _add_to_match(document, mac)
            if document.as_string() != text:
                _put(file, document.as_string())
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"{file}: is not there; there is no such host") from None
    except (ValueError, TOMLKitError) as error:
        raise ConfigError(f"{file}: {error}") from None
    except OSError as error:
        raise _unwritable(file, error, f'add "{mac}" to mac of [match] yourself') from None
    return file


def declaration(host: Host) -> str:
    """The host as the text of its host.toml. ConfigError: something in it is no text."""
    import tomlkit

    disks = {role: _written(asdict(disk)) for role, disk in host.disk.items()}
    boot = {name: getattr(host, name) for name in ("program", "tftp_blksize", "tftp_windowsize")}
    match = {
        "mac": [str(mac) for mac in host.macs],
        "uuid": host.uuid,
        "serial": host.serial,
        "port": host.port,
    }
    table = {
        "profile": host.profile,
        "match": _written(match),
        "disk": disks,
        "network": _written({"address": host.address}),
        "labels": host.labels,
        "boot": _written(boot),
    }
    text = tomlkit.dumps(_written(table))
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"host {host.name!a}: {error.object[error.start]!a} is not UTF-8 text") from None
    return text


def _written(table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if value}


def _add_to_match(document: TOMLDocument, mac: Mac) -> None:
    match = document.setdefault("match", {})
    macs = match.setdefault("mac", []) if isinstance(match, MutableMapping) else None
    if not isinstance(macs, MutableSequence):
        raise ValueError("match.mac: expected a list")  # noqa: TRY004 - a person's mistake, not a caller's
    if not any(_is_same(written, mac) for written in macs):
        macs.append(str(mac))


def _is_same(written: object, mac: Mac) -> bool:
    try:
        return Mac.parse(str(written)) == mac
    except ConfigError:
        return False


def _file(folder: Path, name: str) -> Path:
    if not name or "/" in name or name.startswith("."):
        raise ConfigError(f'"{name}" cannot be the name of a host')
    return folder / name / "host.toml"


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Commands and the daemon edit one after the other; people's editors know nothing of this lock."""
    holder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(holder)


def _put(file: Path, text: str) -> None:
    """All of the text or none of it, whoever reads meanwhile and whenever the power fails."""
    if file.is_symlink():
        raise OSError(errno.EROFS, f"it is a link to {file.readlink()}")
    new = file.with_name(f".{file.name}.{os.getpid()}")
    mode = stat.S_IMODE(file.stat().st_mode) if file.exists() else 0o644
    try:
        with new.open("w", encoding="utf-8") as stream:
            stream.write(text)
            os.fchmod(stream.fileno(), mode)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(file)
    finally:
        new.unlink(missing_ok=True)


def _unwritable(file: Path, error: OSError, instead: str) -> RefusedError | EdgeError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return EdgeError(f"{file} cannot be written ({error.strerror}): free some room on that disk")
    return RefusedError(f"{file} cannot be written ({error.strerror}); {instead}", "HOSTS_READ_ONLY")
