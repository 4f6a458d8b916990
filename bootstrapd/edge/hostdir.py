"""The hosts folder while people edit it: the last good book, and what is wrong with what came after it.

What the texts mean is `config`'s, handed in as `parse`. Watching is a look at every file's time, size and
inode every 0.7 s, off the loop: that works where inotify does not (network and overlay file systems). Where it
would be more than 1 % of the time (thousands of hosts, a rack that boots), it is every 5 s at the least.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Final

import structlog

from bootstrapd.edge.hostdir_edit import add_host, add_mac, adding_host, adding_hosts, declaration, remove_host
from bootstrapd.edge.hostdir_files import Files, Marks, marks, read, read_as
from bootstrapd.errors import ConfigError
from bootstrapd.model import HostBook

__all__ = [
    "HostDir",
    "add_host",
    "add_mac",
    "adding_host",
    "adding_hosts",
    "declaration",
    "read",
    "read_as",
    "remove_host",
]

log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 0.7
LOOK_EVERY_MAX_S: Final = 5.0
LOOK_SHARE: Final = 0.01  # of the time: for each file, a look takes the interpreter from the servers
SETTLE_S: Final = 0.1
SETTLE_MAX: Final = 3


class HostDir:
    """The folder's last good book, kept up to date between `start` and `close`.

    `on_change` gets each new book, `on_problem` what is wrong whenever that changes, [] once nothing is.
    """

    def __init__(
        self,
        folder: Path,
        parse: Callable[[Files], HostBook],
        on_change: Callable[[HostBook], None],
        on_problem: Callable[[list[str]], None],
    ) -> None:
        """Reads the folder: ConfigError with every mistake, since there is no good book to keep yet."""
        self._folder = folder
        self._parse = parse
        self._on_change = on_change
        self._on_problem = on_problem
        self._seen = marks(folder)
        self._look_s = 0.0  # what the last look took
        self._problems: list[str] = []
        self._watching: asyncio.Task[None] | None = None
        self._checking = asyncio.Lock()
        self.book = read_as(folder, parse)

    async def start(self) -> None:
        self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def close(self) -> None:
        if self._watching:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching

    async def check(self) -> list[str]:
        """Look now; what is wrong with the folder. The callbacks hear of it as ever."""
        async with self._checking:
            try:
                self._seen = await self._look()
                book = await asyncio.to_thread(self._read)
            except ConfigError as error:
                self._tell_problems(list(error.mistakes))
                return self._problems
            self._tell_problems([])
            if book != self.book:
                self.book = book
                self._on_change(book)
            return []

    def _read(self) -> HostBook:
        if not self._folder.is_dir():
            raise ConfigError(
                f"{self._folder}: the hosts folder is not there any more; put it back, or make it anew"
            )
        return read_as(self._folder, self._parse)

    def _tell_problems(self, problems: list[str]) -> None:
        if problems != self._problems:
            self._problems = problems
            self._on_problem(problems)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(min(max(LOOK_EVERY_S, self._look_s / LOOK_SHARE), LOOK_EVERY_MAX_S))
            try:
                if await self._look() != self._seen:
                    await self._settle()
                    await self.check()
            except Exception:  # a bug in what hangs on a change must not end the watching
                log.exception("a change of the hosts folder went wrong", folder=str(self._folder))

    async def _look(self) -> Marks:
        began = monotonic()
        found = await asyncio.to_thread(marks, self._folder)
        self._look_s = monotonic() - began
        return found

    async def _settle(self) -> None:
        """Wait until nobody writes in the folder, but not for ever: editors and git replace a file in steps."""
        before = await self._look()
        for _ in range(SETTLE_MAX):
            await asyncio.sleep(SETTLE_S)
            now = await self._look()
            if now == before:
                return
            before = now
