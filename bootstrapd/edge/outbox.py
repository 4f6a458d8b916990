"""What of the journal is still to be published, and up to where it was.

Pages are read on a connection of their own, in a thread, so that neither the loop nor the writer waits.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from bootstrapd.edge.journal import Journal
from bootstrapd.model import AnyEvent


class Numbered(NamedTuple):
    """An event with its number in the journal."""

    sequence: int
    event: AnyEvent


class Position(Struct, frozen=True):
    """Everything up to `sequence` is in the stream that was made at `stream`, whose last was number `last`."""

    sequence: int = 0
    stream: str = ""
    last: int = 0


class Outbox:
    """The journal, as the bus reads it: `page` what is next, `move` the position, wait for `changed`."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
