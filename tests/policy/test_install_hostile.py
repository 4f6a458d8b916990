"""Output that was made to be slow to read: a machine under install must not keep us from the others."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from bootstrapd.policy.install_progress import LINE_MAX, LINES_MAX, Lines, Reading
from bootstrapd.policy.install_verdict import SEARCHED_MAX, find_cause

ENOUGH_S = 0.1  # measured: 5 to 15 ms; what grew with the square of a line's length took seconds
FRAGMENTS = [
    *("y", "[ copied ", "[DL ", "### a ", "-", "sh", "-sh: line ", "\x1b[0", "/" + "a" * 32 + "-"),
    *(
        "Died at ",
        "efiSysMountPoint = x",
        "cannot open /dev/",
        "does not provide attribute ",
        "nixosConfigurations",
    ),
    *("builder for '/", "Timeout, server ", "error: ", "preclean: x is in use by", "aborted: x", " ", "1: x: "),
    "returned non-zero exit statu",
]


def cpu_s(act: Callable[[], object]) -> float:
    """The quickest of three: others use this processor too."""

    def once() -> float:
        began = time.thread_time()
        act()
        return time.thread_time() - began

    return min(once() for _ in range(3))


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_hostile_lines_are_read_and_judged_in_time(fragment: str) -> None:
    line = (fragment * LINE_MAX)[:LINE_MAX]
    lines = [line] * LINES_MAX

    def read() -> None:
        reading = Reading("install", ("installation finished!",))
        for said in Lines().feed("\n".join(lines).encode()):
            reading.read(said)

    assert cpu_s(lambda: find_cause(lines)) < ENOUGH_S
    assert cpu_s(read) < ENOUGH_S


def test_a_cause_is_found_at_either_end_of_a_long_line() -> None:
    command = ", ".join(["'--an-option'"] * 60)
    line = f"subprocess.CalledProcessError: Command '[{command}]' returned non-zero exit status 1."
    assert len(line) > SEARCHED_MAX
    for said, words in ((line, "exit status 1"), (f"aborted: {'x' * 900}", "gave up")):
        found = find_cause([said])
        assert found is not None
        assert words in found.sentence
