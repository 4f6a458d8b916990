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
