"""Arms that were made while no appliance ran: one file a host under `<state>/arms/`, read once and removed.

`bootstrapd hosts add` leaves `{"arm": id, "at": seconds, "by": "hosts add"}` there. The daemon journals the arm
and only then removes the file, so that neither a crash loses a consent nor a file gives it twice: the id tells.
"""

from __future__ import annotations

from pathlib import Path

import structlog

from bootstrapd.errors import WireError
from bootstrapd.model import Armed, read_waiting_arm

log = structlog.get_logger(__name__)


def waiting(folder: Path) -> list[Armed]:
    """The arms that wait, as drafts of their events; a file that cannot be read arms nobody and is said."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            said = read_waiting_arm(path.read_bytes())
        except (OSError, WireError) as error:
            log.warning("an arm that cannot be read arms nobody", file=str(path), mistake=str(error))
            continue
        found.append(Armed(id="", at=0.0, machine="", host=path.stem, arm=said.arm, by=said.by))
    return found


def remove(folder: Path, host: str) -> None:
    """The arm is journalled, or its host is gone."""
    (folder / f"{host}.json").unlink(missing_ok=True)
