"""Making the appliance's own folders: closed to strangers, and readable for the service whoever makes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

MODE: Final = 0o750  # tokens and keys lie below


def make_folder(folder: Path) -> None:
    """Make it and what is missing above it, each owned like the folder it lies in. OSError."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(MODE, exist_ok=True)
    if os.geteuid() == 0:  # `sudo bootstrapd images add` must not shut the service's user out
        above = folder.parent.stat()
        os.chown(folder, above.st_uid, above.st_gid)
