"""The log lines that a TFTP client can cause: some a minute, so that no client can flood the log."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Final

import structlog

log = structlog.get_logger("bootstrapd.edge.tftp")

LINES_A_MINUTE: Final = 60


class Voice:
    """Says what a person may want to read; what is too much is counted as `tftp.unlogged`."""

    def __init__(self, counters: Counter[str], clock: Callable[[], float]) -> None:
        self._counters = counters
        self._clock = clock
        self._minute = 0.0
        self._lines = 0

    def warning(self, event: str, **facts: object) -> None:
        self._say(logging.WARNING, event, facts)

    def bug(self, error: Exception, **facts: object) -> None:
        """A mistake of ours, with its traceback."""
        self._counters["tftp.bug"] += 1
        self._say(logging.ERROR, "tftp.bug", {**facts, "exc_info": error})

    def _say(self, level: int, event: str, facts: dict[str, object]) -> None:
        now = self._clock()
        if now - self._minute >= 60:
            self._minute, self._lines = now, 0
        self._lines += 1
        if self._lines <= LINES_A_MINUTE:
            log.log(level, event, **facts)
        else:
            self._counters["tftp.unlogged"] += 1
