"""Opening what is meant to be a plain file: a FIFO or a device in its place is said, and holds nobody up."""

from __future__ import annotations

import os
import stat
from io import FileIO
from pathlib import Path
from typing import Final

CHUNK: Final = 16 * 1024  # making room for `max_bytes` takes five times as long as reading what a person wrote


def open_regular(path: str | Path) -> FileIO:
    """The file, to be read unbuffered. OSError, or ValueError with words for a person."""
    opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # opening a FIFO waits without it
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise ValueError("is not a regular file")
    return FileIO(opened, "rb")


def read_regular(path: str | Path, max_bytes: int) -> bytes:
    """The whole file. OSError, or ValueError with words for a person."""
    content = b""
    with open_regular(path) as file:
        while len(content) <= max_bytes and (chunk := file.read(CHUNK)):
            content += chunk
    if len(content) > max_bytes:
        raise ValueError(f"is larger than {max_bytes} bytes, which no person wrote")
    return content
