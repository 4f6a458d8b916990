"""What a process or a serial console says: read as it comes, kept by line with its time, and waited for."""

from __future__ import annotations

import itertools
import re
import threading
import time
from pathlib import Path
from typing import IO, Final, NamedTuple

# OVMF paints its screen on the serial line: a jump of the cursor begins a new line, the rest is paint.
_LINE_END: Final = re.compile(rb"\r\n|\n|\r|\x1b\[\d*;?\d*H")
_PAINT: Final = re.compile(r"\x1b\[[0-9;?=]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b.|[\x00-\x08\x0b-\x1f\x7f]")


class Line(NamedTuple):
    at: float  # Unix seconds when it was complete
    text: str


class NotSeenError(AssertionError):
    """What was waited for did not come in time, or cannot come any more."""


class Lines:
    """The output of one process. A thread reads it; `wait_for` wakes when it says something."""

    def __init__(self, stream: IO[bytes], copy: Path, name: str) -> None:
        self.name = name
        self.copy = copy
        self.ended = False
        self._lines: list[Line] = []
        self._rest = b""
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._read, args=(stream,), name=f"reads {name}", daemon=True)
        self._thread.start()

    def all(self) -> list[Line]:
        """Every line so far, the unfinished one (a prompt) last."""
        with self._news:
            rest = _clean(self._rest)
            return [*self._lines, Line(time.time(), rest)] if rest else list(self._lines)

    def find(self, pattern: str, count: int = 1) -> Line | None:
        """The first line so far that matches; with `count`, the second, the third, …"""
        matching = (line for line in self.all() if re.search(pattern, line.text))
        return next(itertools.islice(matching, count - 1, None), None)

    def wait_for(self, pattern: str, timeout_s: float, unless: str = "", count: int = 1) -> Line:
        """As `find`, from the beginning on. NotSeenError: not in time, or not any more.

        `unless`: a line that matches this one means that there is nothing left to wait for.
        """
        deadline = time.monotonic() + timeout_s
        with self._news:
            while (found := self.find(pattern, count)) is None:
                left = deadline - time.monotonic()
                instead = self.find(unless) if unless else None
                if instead:
                    raise NotSeenError(f"{self.name}: {pattern!r} not seen, but {instead.text!r}")
                if self.ended or left <= 0:
                    why = "and it has ended" if self.ended else f"in {timeout_s:.0f} s"
                    raise NotSeenError(f"{self.name}: {pattern!r} not seen, {why}")
                self._news.wait(left)
        return found

    def tail(self, count: int = 15) -> str:
        """The last lines, for a message."""
        return "\n".join(line.text for line in self.all()[-count:])

    def join(self, timeout_s: float) -> None:
        """Wait until the process has closed its output and all of it is here."""
        self._thread.join(timeout_s)

    def _read(self, stream: IO[bytes]) -> None:
        with stream, self.copy.open("a", encoding="utf-8") as copy:
            while chunk := stream.read1(65536):  # type: ignore[attr-defined]
                now = time.time()
                *finished, rest = _LINE_END.split(self._rest + chunk)
                lines = [Line(now, text) for text in map(_clean, finished) if text]
                copy.writelines(f"{line.at:.3f} {line.text}\n" for line in lines)
                copy.flush()
                with self._news:
                    self._lines += lines
                    self._rest = rest
                    self._news.notify_all()
        with self._news:
            self.ended = True
            self._news.notify_all()


def _clean(raw: bytes) -> str:
    return _PAINT.sub("", raw.decode("utf-8", "replace")).rstrip()
