"""How much of something is let through: a token bucket, with the time as an argument."""

from __future__ import annotations


class Bucket:
    """`rate` a second on average, `burst` at once."""

    __slots__ = ("_burst", "_level", "_rate", "_then")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._then = 0.0

    def take(self, now: float) -> bool:
        """Whether one more may pass now."""
        self._level = min(self._burst, self._level + max(0.0, now - self._then) * self._rate)
        self._then = now
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True
