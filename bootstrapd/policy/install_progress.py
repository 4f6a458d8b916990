"""Reads what nix, nixos-anywhere, disko and our scripts print: how far they are, and what a verdict needs.

stdout and stderr come as one stream, in the order of writing. The forms read here are those of NIXOS.md 1
(`### Step ###`, `copying N paths...`, `copying path '…'`) and of nix's build log; the rest is for a person.
Each kind of line that tells something is a row of `_ROWS`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from bootstrapd.policy.install import Progress

LINES_MAX: Final = 200  # kept to find a cause in
LINE_MAX: Final = 1000
FACTS_MAX: Final = 1000
FLAGS_MAX: Final = 20
LOGINS_MAX: Final = 3  # nixos-anywhere tries to log in for ever: the third time it cannot is the last

# Said by tools that end with 0 all the same (NIXOS.md 1: nixos-install up to 25.05, boot loader scripts).
RED_FLAGS: Final = re.compile(
    r"Died at \S*install-grub\.pl"
    r"|^Traceback \(most recent call last\)"
    r"|returned non-zero exit status"
    r"|[Ff]ailed to install boot ?loader"
    r"|No space left on device"
    r"|efiSysMountPoint = \S+ is not a mounted partition"
    r"|^### Switching system into kexec ###"
)
STORE_PATH: Final = re.compile(r"/\S*/[0-9a-z]{32}-[A-Za-z0-9+._?=-]+(?<!\.drv)")
_ANSI: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_BYTES: Final = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


class Lines:
    """Cuts a byte stream into lines, at `\\r` too (progress bars); endless ones are cut short."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """The lines that are now complete; `b""` = the end: what is left is one."""
        *whole, rest = re.split(rb"[\r\n]", self._rest + data)
        self._rest = rest[-LINE_MAX:]
        if not data and self._rest:
            whole, self._rest = [self._rest], b""
        return [_clean(line) for line in whole]


class Reading:
    """What one process has said so far."""

    def __init__(self, phase: str, must_say: Iterable[str] = ()) -> None:
        self.phase = phase
        self.unsaid = list(must_say)
        self.lines: deque[str] = deque(maxlen=LINES_MAX)
        self.flags: list[str] = []
        self.facts: list[tuple[str, ...]] = []  # ("disk", "/dev/disk/by-id/…", "whole", …)
        self.store_path = ""  # the last line that is one and nothing else
        self.step = ""
        self.done = 0
        self.total = 0
        self.unit = ""
        self._logins = 0

    @property
    def is_looping(self) -> bool:
        """It will never end: the machine does not let it in."""
        return self._logins >= LOGINS_MAX

    def read(self, line: str) -> Progress | None:
        """How far it is after this line; None where that is no news for a person."""
        is_fact = line.startswith("@")
        if is_fact and len(self.facts) < FACTS_MAX:
            self.facts.append(tuple(line[1:].split("\t")))
        if not line.strip():
            return None
        self.lines.append(line)
        self.unsaid = [words for words in self.unsaid if not line.startswith(words)]
        if RED_FLAGS.search(line) and len(self.flags) < FLAGS_MAX:
            self.flags.append(line)
        if STORE_PATH.fullmatch(line):
            self.store_path = line
        for pattern, act in _ROWS:
            if found := pattern.match(line):
                act(self, found)
                break
        if is_fact:
            return None
        return Progress(
            phase=self.phase,
            step=self.step,
            done=self.done,
            total=self.total,
            unit=self.unit,
            line=line[:200],
        )

    def count(self, done: int, total: int, unit: str) -> None:
        self.done, self.total, self.unit = done, total, unit

    def login(self) -> None:
        self._logins += 1


def _begin(reading: Reading, found: re.Match[str]) -> None:
    reading.step = found[1]
    reading.count(0, 0, "")


def _expect(reading: Reading, found: re.Match[str]) -> None:
    """A list of work: nix names what it builds and what it fetches in two of them."""
    more = 1 if found[1] == "this" else int(found[1])
    reading.count(reading.done, reading.total + more, "paths")


def _copy(reading: Reading, found: re.Match[str]) -> None:
    reading.count(0, int(found[1]), "paths")


def _one(reading: Reading, _: re.Match[str]) -> None:
    """A path's line is written when its copy or build begins."""
    if reading.total:
        reading.done = min(reading.done + 1, reading.total)


def _bytes(reading: Reading, found: re.Match[str]) -> None:
    factor = _BYTES[found[3]]
    reading.count(int(float(found[1]) * factor), int(float(found[2]) * factor), "bytes")


def _login(reading: Reading, _: re.Match[str]) -> None:
    reading.login()


_ROWS: Final[tuple[tuple[re.Pattern[str], Callable[[Reading, re.Match[str]], None]], ...]] = (
    (re.compile(r"### ([^#]+) ###$"), _begin),
    (
        re.compile(r"\[[^(\]]{0,80}\b(?:copied|DL)\b[^(\d]{0,9}\(?([\d.]{1,12})/([\d.]{1,12}) ([KMGT]iB)"),
        _bytes,
    ),
    (re.compile(r"copying (\d+) paths"), _copy),
    (re.compile(r"(?:these )?(this|\d+) (?:derivations?|paths?) will be (?:built|fetched)"), _expect),
    (re.compile(r"copying path '|building '/"), _one),
    (re.compile(r"\S{0,80}ssh-copy-id: INFO: Source of key"), _login),
)


def _clean(line: bytes) -> str:
    text = line[:LINE_MAX].decode("utf-8", "replace")
    return _CONTROL.sub("", _ANSI.sub("", text)).rstrip()
