"""Programs that the rack starts: in a namespace, with their output read, and never outliving the run."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from rack.lines import Lines

STOP_S = 10.0


def inside(namespace: str, argv: Sequence[str]) -> list[str]:
    """The command line that runs `argv` in a network namespace."""
    return ["ip", "netns", "exec", namespace, *argv]


class Process:
    """A running program. Start it from the main thread: the kernel ends it when that thread ends, however."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        log: Path,
        *,
        namespace: str,
        env: Mapping[str, str] | None = None,
        separate_errors: bool = False,
    ) -> None:
        """`separate_errors`: stdout is left to the caller (`self.stdout`), `lines` are stderr's."""
        self.name = name
        self._popen = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *inside(namespace, argv)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if separate_errors else subprocess.STDOUT,
            env=env,
        )
        said = self._popen.stderr if separate_errors else self._popen.stdout
        assert said is not None
        self.stdout = self._popen.stdout
        self.lines = Lines(said, log, name)

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def is_running(self) -> bool:
        return self._popen.poll() is None

    def wait(self, timeout_s: float) -> int:
        """Its exit code, when it ends by itself in time."""
        return self._popen.wait(timeout_s)

    def kill(self) -> None:
        """As a power cut does it: nothing is tidied up."""
        self._popen.kill()
        self._popen.wait()
        self.lines.join(STOP_S)

    def stop(self) -> int:
        """Ask it to end, insist after ten seconds. Its exit code."""
        self._popen.terminate()
        try:
            self._popen.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self.lines.join(STOP_S)
        return self._popen.returncode
