"""The five ways to fail on purpose; anything else is a bug of ours (traceback, exit 70).

Each says whose fault it is, and with that who has to act, how loud it is, and what the process ends with.
A message is one sentence for a person: what is wrong, where (file, key, machine), what to do next.
"Not there" is never an error: it is `None`.
"""


class BootstrapdError(Exception):
    """The root of the family. `exit_code` is what the command line ends with (DESIGN.md, CLI)."""

    exit_code = 70


class WireError(BootstrapdError):
    """The peer's bytes break their protocol: drop, count, debug log. The only thing a parser raises."""


class RefusedError(BootstrapdError):
    """A right request at the wrong time or place: info log, HTTP 409, exit 1.

    `code` is a word that counts it and that programs can read; the message explains it.
    """

    exit_code = 1

    def __init__(self, message: str, code: str = "REFUSED") -> None:
        super().__init__(message)
        self.code = code


class ConfigError(BootstrapdError):
    """The operator's files or flags are wrong: exit 2. Carries every mistake found, not the first one."""

    exit_code = 2

    def __init__(self, *mistakes: str) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class EdgeError(BootstrapdError):
    """The environment failed us (port taken, no permission, disk full): reported or retried, 503, exit 3."""

    exit_code = 3


class DamagedError(EdgeError):
    """What was stored is not what was written (checksum, journal row): kept aside, never guessed at."""
