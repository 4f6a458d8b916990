"""One process of an install: its own session and process group, deadline, stall detector, and a certain end.

However it ends (by itself, late, silent, looping, cancelled, the appliance killed), nothing of its group lives
on: children that outlive the leader go on writing to the machine's disk (NIXOS.md 1, SIGTERM to the leader).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from msgspec import Struct

from bootstrapd.policy.install import Progress
from bootstrapd.policy.install_progress import Lines, Reading
from bootstrapd.policy.install_verdict import End

KEEPER: Final = Path(__file__).with_name("keeper.py")
CHUNK: Final = 1024  # a turn: whoever floods us waits on its pipe, and everybody else is answered between
OTHERS_SHARE: Final = 3.0  # after a turn that had more to read, so many times as long is the others'
LAST_WAIT_S: Final = 10.0  # for a group that was killed: what the kernel will not let go is not waited for


class Bounds(Struct, frozen=True, kw_only=True):
    deadline_s: float
    stall_s: float  # 0 = none
    grace_s: float


async def supervise(
    argv: list[str],
    environment: Mapping[str, str],
    stdin: BinaryIO,
    folder: Path,
    bounds: Bounds,
    reading: Reading,
    tell: Callable[[Progress], None],
) -> End:
    """Runs it to its end, one way or the other. `reading` has read all of its output, stdout and stderr."""
    lifeline, held = os.pipe()
    output, their_output = os.pipe()
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(KEEPER), str(lifeline), str(bounds.grace_s), *argv),
            stdin=stdin,
            stdout=their_output,
            stderr=their_output,
            cwd=folder,
            env=dict(environment),
            start_new_session=True,
            pass_fds=(lifeline,),
        )
        os.close(their_output)
        their_output = -1
        return await _Watch(process, bounds, reading, tell).until_end(output)
    finally:
        # The lifeline last: should all else have failed, it ends the group.
        for fd in (their_output, output, lifeline, held):
            if fd >= 0:
                os.close(fd)


class _Watch:
    """The time side of a running process: who ends it, and why."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        bounds: Bounds,
        reading: Reading,
        tell: Callable[[Progress], None],
    ) -> None:
        self._process = process
        self._bounds = bounds
        self._reading = reading
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._heard = self._began
        self._lines = Lines()
        self._is_news = asyncio.Event()  # it ended, or loops
        self._is_over = asyncio.Event()  # the output's other end is closed
        self._goes_on: asyncio.TimerHandle | None = None

    async def until_end(self, output: int) -> End:
        os.set_blocking(output, False)
        self._loop.add_reader(output, self._hear, output)
        exited = asyncio.ensure_future(self._process.wait())
        exited.add_done_callback(lambda _: self._is_news.set())
        try:
            try:
                by = await self._why_it_ends(exited)
            finally:
                await self._end_group(exited)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WAIT_S):
                    await self._is_over.wait()
        finally:
            exited.cancel()
            self._loop.remove_reader(output)
            if self._goes_on is not None:
                self._goes_on.cancel()
        code = self._process.returncode
        return End(
            code=128 - code if code is not None and code < 0 else code or 0, by=by, after_s=self._after(by)
        )

    async def _why_it_ends(self, exited: asyncio.Future[int]) -> str:
        """The name of the bound that it passed, "loop", or "" when it ended by itself."""
        while not exited.done() and not self._reading.is_looping:
            left_s, by = self._time_left()
            if left_s <= 0:
                return by
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._is_news.wait()
        return "" if exited.done() else "loop"

    def _time_left(self) -> tuple[float, str]:
        now = self._loop.time()
        deadline = self._began + self._bounds.deadline_s - now
        if not self._bounds.stall_s:
            return deadline, "deadline"
        return min((deadline, "deadline"), (self._heard + self._bounds.stall_s - now, "stall"))

    def _after(self, by: str) -> float:
        limits = {"deadline": self._bounds.deadline_s, "stall": self._bounds.stall_s}
        return limits.get(by, self._loop.time() - self._began)

    def _hear(self, output: int) -> None:
        try:
            data = os.read(output, CHUNK)
        except BlockingIOError:
            return
        self._heard = self._loop.time()
        for line in self._lines.feed(data):
            if progress := self._reading.read(line):
                self._tell(progress)
        if not data:
            self._loop.remove_reader(output)
            self._is_over.set()
        if self._reading.is_looping:
            self._is_news.set()
        if len(data) == CHUNK:
            self._loop.remove_reader(output)
            pause_s = (self._loop.time() - self._heard) * OTHERS_SHARE
            self._goes_on = self._loop.call_later(pause_s, self._loop.add_reader, output, self._hear, output)

    async def _end_group(self, exited: asyncio.Future[int]) -> None:
        """TERM, the grace, KILL; at once KILL for what a leader that ended by itself left behind."""
        try:
            if not exited.done():
                self._signal(signal.SIGTERM)
                await asyncio.wait({exited}, timeout=self._bounds.grace_s)
        finally:
            self._signal(signal.SIGKILL)
        await asyncio.wait({exited}, timeout=LAST_WAIT_S)

    def _signal(self, number: signal.Signals) -> None:
        """The leader's id is the group's: it began a session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)
