"""What an iPXE script would do, as far as that can be told without being iPXE: text in, actions out.

Reads the commands of the scripts in `netboot/ipxe/`, follows their jumps, and believes that every download
works: the caller finds out whether it does. Commands it does not know (sleep, imgfree, …) change nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from msgspec import Struct

MAX_STEPS: Final = 1000
MAX_NESTING: Final = 4
MAX_LINE: Final = 4096
_VARIABLE: Final = re.compile(r"\$\{([^${}]*)\}")
_SHELL_WORDS: Final = re.compile(r"\s+(\|\||&&)(?:\s+|$)")
# Options of iPXE's commands that are followed by a value.
_WITH_VALUE: Final = frozenset({"--name", "-n", "--timeout", "-t", "--drive", "-d", "--filename"})


class Say(Struct, frozen=True):
    """A line for the machine's console."""

    text: str


class Chain(Struct, frozen=True):
    """Runs another script or program."""

    url: str


class Kernel(Struct, frozen=True):
    url: str
    cmdline: str


class Initrd(Struct, frozen=True):
    url: str


class Boot(Struct, frozen=True):
    """Starts the kernel."""


class LocalDisk(Struct, frozen=True):
    """Starts what is on the machine's own disk (I15)."""

    how: str


class Exit(Struct, frozen=True):
    """Leaves iPXE for the firmware's next boot option; `status` 0 ends in the setup screen on OVMF (I15)."""

    status: int


Action = Say | Chain | Kernel | Initrd | Boot | LocalDisk | Exit
_ENDS: Final = (Chain, Boot, LocalDisk, Exit)


def read(text: str, variables: Mapping[str, str]) -> tuple[Action, ...]:
    """The actions in order, up to the one that leaves the script. `variables` are iPXE's ("netX/mac" …)."""
    lines = [line.strip() for line in text.splitlines()]
    return _Run(lines, dict(variables)).actions()


class _Run:
    """One script being read: where it is, what it set, what it did."""

    def __init__(self, lines: list[str], variables: dict[str, str]) -> None:
        self.lines = lines
        self.variables = variables
        self.labels = {line[1:]: at for at, line in enumerate(lines) if line.startswith(":")}
        self.at = 0
        self.done: list[Action] = []

    def actions(self) -> tuple[Action, ...]:
        for _ in range(MAX_STEPS):
            if self.at >= len(self.lines) or (self.done and isinstance(self.done[-1], _ENDS)):
                break
            line = self.lines[self.at]
            self.at += 1
            if line and not line.startswith((":", "#")):
                self._line(line)
        return tuple(self.done)

    def _line(self, line: str) -> None:
        """`a && b || c`, from the left, as iPXE's shell does."""
        pieces = _SHELL_WORDS.split(line.removesuffix("||") if line.endswith(" ||") else line)
        succeeded = self._command(pieces[0])
        for joiner, command in zip(pieces[1::2], pieces[2::2], strict=False):
            if (joiner == "&&") == succeeded and command:
                succeeded = self._command(command)

    def _command(self, command: str) -> bool:
        name, *words = self._expand(command).split() or [""]
        match name, words:
            case "set", [key, *value]:
                self.variables[key.partition(":")[0]] = " ".join(value)
            case "goto", [label]:
                self.at = self.labels.get(label, len(self.lines))
            case "iseq", [one, other]:
                return one == other
            case "iseq", _:
                return False
            case "isset", _:
                return bool(words)
            case _:
                self._act(name, words)
        return True

    def _act(self, name: str, words: list[str]) -> None:
        target, *arguments = _without_options(words) or [""]
        match name:
            case "echo" if words:
                self.done.append(Say(" ".join(words)))
            case "chain" | "imgexec" if target.startswith("file:"):
                self.done.append(LocalDisk(target))
            case "chain" | "imgexec" if target:
                self.done.append(Chain(target))
            case "kernel" | "imgselect":
                self.done.append(Kernel(target, " ".join(arguments)))
            case "initrd" | "module" | "imgfetch":
                self.done.append(Initrd(target))
            case "boot":
                self.done.append(Boot())
            case "sanboot":
                self.done.append(LocalDisk(" ".join(words)))
            case "exit":
                self.done.append(Exit(int(target) if target.isdecimal() else 0))

    def _expand(self, text: str) -> str:
        """`${name}` and `${name:format}`; what is not set is empty. Inside out, as iPXE does."""
        for _ in range(MAX_NESTING):
            text, count = _VARIABLE.subn(lambda found: self._value(found[1]), text)
            if not count:
                break
        return text[:MAX_LINE]

    def _value(self, name: str) -> str:
        return self.variables.get(name, self.variables.get(name.partition(":")[0], ""))


def _without_options(words: list[str]) -> list[str]:
    """The command's own words: its leading `--options`, with their values, left out."""
    rest = list(words)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option in _WITH_VALUE and rest:
            rest.pop(0)
    return rest
