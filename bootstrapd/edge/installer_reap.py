"""Ends what a killed appliance left running of its installs.

A process belongs to a job when its own environment says so (`MARK`): every process of a job inherits that. No
appliance has to live long enough to write an id down, and no id that was used again can be hit: the environment
is read, and the signal sent, with the pidfd in hand. Usually nothing is left: keepers end their groups.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from pathlib import Path
from typing import Final

from bootstrapd.policy.install_steps import MARK

PROC: Final = Path("/proc")
ROUNDS: Final = 5  # a process may have forked while it was looked for


def end_all(root: Path, grace_s: float) -> int:
    """Ends every process of the jobs under `root`, TERM first; how many there were. Blocks for a few graces."""
    ended = 0
    for number in (signal.SIGTERM, *[signal.SIGKILL] * ROUNDS):
        found = _processes(root)
        if not found:
            break
        try:
            ended += len(found) if number is signal.SIGTERM else 0
            for pidfd in found:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(pidfd, number)
            _wait(found, grace_s)
        finally:
            for pidfd in found:
                os.close(pidfd)
    return ended


def _processes(root: Path) -> list[int]:
    """A pidfd for each process that a job under `root` started."""
    mark = f"{MARK}={root}/".encode()
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            pidfd = os.pidfd_open(int(entry.name))
        except OSError:
            continue
        if _is_marked(entry, mark):
            found.append(pidfd)
        else:
            os.close(pidfd)
    return found


def _is_marked(process: Path, mark: bytes) -> bool:
    try:
        return any(word.startswith(mark) for word in (process / "environ").read_bytes().split(b"\0"))
    except OSError:  # ended, or somebody else's
        return False


def _wait(pidfds: list[int], grace_s: float) -> None:
    poll = select.poll()
    for pidfd in pidfds:
        poll.register(pidfd, select.POLLIN)
    left, until = len(pidfds), time.monotonic() + grace_s
    while left and (wait_s := until - time.monotonic()) > 0:
        for pidfd, _ in poll.poll(wait_s * 1000):
            poll.unregister(pidfd)
            left -= 1
