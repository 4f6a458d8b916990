"""The supervisor of installs: builds, pre-cleans, runs nixos-anywhere a phase a process, and looks at what it left."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from bootstrapd.policy.install import Built, Done, Failure, Job, Limits, Progress, Tools

Gate = Callable[[str, Built | None], Awaitable[None]]
Tell = Callable[[Progress], None]


class Installer:
    """Runs jobs; any number at once, each in its own folder and process groups."""

    def __init__(self, tools: Tools, limits: Limits, folder: Path) -> None:
        self._tools = tools
        self._limits = limits
        self._folder = folder

    async def problems(self) -> list[str]:
        """What is missing for an install, a sentence each; [] = nothing."""
        raise NotImplementedError

    async def reap(self) -> int:
        """Kills what a killed appliance left running, and removes its job folders; how many groups there were."""
        raise NotImplementedError

    async def run(self, job: Job, gate: Gate, tell: Tell) -> Done | Failure:
        """The install up to a verified disk. Cancelling it kills all its processes before it returns.

        `gate(phase, built)` is awaited before a phase's first process; what it raises ends the run and is raised.
        """
        raise NotImplementedError

    async def reboot(self, job: Job) -> Failure | None:
        """Has the machine reboot into its new system; None = it said that it will."""
        raise NotImplementedError
