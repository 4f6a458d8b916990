"""One row of the bench: ours, the peer's, and how they compare."""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """`ratio` is ours / peer; whether more is better is in the unit (MB/s, answers/s) or not (s, ms, MB)."""

    ours: float
    peer: float
    peer_name: str
    unit: str

    @property
    def ratio(self) -> float:
        return self.ours / self.peer if self.peer else float("nan")


def p99(values: list[float]) -> float:
    """What 99 in a hundred stay below."""
    return sorted(values)[int(len(values) * 0.99)]
