"""`make demo KEEP=1` without its rack: it stays up, with a terminal or without, until told to end."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

DEADLINE_S = 30.0
WAITS = "import demo; print('up', flush=True); demo.until_told_to_end(); print('ended')"


def waiting(stdin: int) -> subprocess.Popen[str]:
    """A demo that has done its work and stays up; it has said so."""
    child = subprocess.Popen(
        [sys.executable, "-c", WAITS],
        cwd=Path(__file__).parent,
        stdin=stdin,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    return child


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_without_a_terminal_it_stays_until_a_signal(ending: signal.Signals) -> None:
    with waiting(subprocess.DEVNULL) as child:
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(timeout=1.5)
        child.send_signal(ending)
        said, _ = child.communicate(timeout=DEADLINE_S)
    assert (child.returncode, said) == (0, "ended\n")


def test_at_a_terminal_enter_ends_it() -> None:
    keyboard, terminal = pty.openpty()
    try:
        with waiting(terminal) as child:
            os.write(keyboard, b"\n")
            said, _ = child.communicate(timeout=DEADLINE_S)
    finally:
        os.close(keyboard)
        os.close(terminal)
    assert (child.returncode, said) == (0, "ended\n")
