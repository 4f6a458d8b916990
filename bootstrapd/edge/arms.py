"""Arms that were made while no appliance ran: one file a host under `<state>/arms/`, read once and removed.

`bootstrapd hosts add` leaves `{"arm": id, "at": seconds, "by": "hosts add"}` there. The daemon journals the arm
and only then removes the file, so that neither a crash loses a consent nor a file gives it twice: the id tells.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bootstrapd.edge.folders import make_folder
from bootstrapd.edge.regular import read_regular
from bootstrapd.errors import EdgeError, WireError
from bootstrapd.model import Armed, WaitingArm, encode, read_waiting_arm

MAX_BYTES: Final = 4096


def waiting(folder: Path, unreadable: Callable[[Path, Exception], None]) -> list[Armed]:
    """The arms that wait, as drafts of their events; one that is `unreadable` is said, and arms nobody."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            said = read_waiting_arm(read_regular(path, MAX_BYTES))
        except (OSError, ValueError, WireError) as error:
            unreadable(path, error)
            continue
        found.append(Armed(id="", at=said.at, machine="", host=path.stem, arm=said.arm, by=said.by))
    return found


def leave(folder: Path, host: str, consent: WaitingArm) -> None:
    """Have the arm wait for a daemon, readable for nobody but the service; EdgeError: it cannot be written."""
    new = folder / f"{host}.new"
    try:
        make_folder(folder)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:  # noqa: PTH123
            file.write(encode(consent))
            file.flush()
            os.fsync(file.fileno())
        if os.geteuid() == 0:  # `sudo bootstrapd hosts add` must not shut the service's user out
            above = folder.stat()
            os.chown(new, above.st_uid, above.st_gid)
        new.rename(folder / f"{host}.json")
    except OSError as error:
        raise EdgeError(f"{error.filename or new}: {error.strerror}") from None


def remove(folder: Path, host: str) -> bool:
    """The arm is journalled, taken back, or its host is gone; whether there was one. OSError: it stays."""
    try:
        (folder / f"{host}.json").unlink()
    except FileNotFoundError:
        return False
    return True
