"""The supervisor of installs: builds, pre-cleans, runs nixos-anywhere, and looks at what it left on the disk.

The order of steps is here; what each runs, how its output is read and what it means is `policy.install*`.
Nothing is erased before the machine, its disks, the build and the layout were all found to be what was chosen,
and the `gate` of the phase has returned. Nothing is believed for an exit code alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, NoReturn

import structlog

from bootstrapd.edge.installer_folder import extra_files, job_folder, remove
from bootstrapd.edge.installer_process import Bounds, supervise
from bootstrapd.edge.installer_reap import end_all
from bootstrapd.edge.nix_version import ANYWHERE_MIN, too_old
from bootstrapd.errors import ConfigError, EdgeError
from bootstrapd.model import Report
from bootstrapd.policy import first_boot
from bootstrapd.policy import install_facts as facts
from bootstrapd.policy import install_steps as steps
from bootstrapd.policy.install import (
    REPORT_UNIT,
    Built,
    Done,
    Failure,
    Job,
    Limits,
    Progress,
    Tools,
    check,
    holds,
)
from bootstrapd.policy.install_progress import Reading
from bootstrapd.policy.install_steps import Step
from bootstrapd.policy.install_verdict import verdict

log = structlog.get_logger(__name__)

Gate = Callable[[str, Built | None], Awaitable[None]]
Tell = Callable[[Progress], None]
Judge = Callable[[Job, Reading], Failure | None]

SCRIPTS: Final = ("common", "probe", "preclean", "verify", "reboot", "running")
LAYOUT_MAX_BYTES: Final = 2**22


class _FailedError(Exception):
    """Ends a run from the middle of a phase."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.cause)
        self.failure = failure


class Installer:
    """Runs jobs, any number at once, each in a folder of its own. ConfigError: `folder` is unfit."""

    def __init__(self, tools: Tools, limits: Limits, folder: Path) -> None:
        if re.search(r"[\s\"'\\:]", str(folder)) or not folder.is_absolute():
            raise ConfigError(
                f"{folder}: installs need an absolute path without blanks, quotes and colons; see --state"
            )
        self._tools = tools
        self._limits = limits
        self._folder = folder
        self._scripts = {name: (Path(tools.scripts) / f"{name}.sh").read_text() for name in SCRIPTS}

    async def problems(self) -> list[str]:
        """What is missing for an install, a sentence each; [] = nothing."""
        missing = self._missing()
        if missing:
            return missing
        if found := await too_old(self._find("nix"), ANYWHERE_MIN, self._limits.grace_s):
            wanted = ".".join(map(str, ANYWHERE_MIN))
            return [f"nix {found} is too old: nixos-anywhere needs {wanted} or newer"]
        return []

    async def reap(self) -> int:
        """Ends what a killed appliance left running, removes its job folders; how many processes there were."""
        if not self._folder.is_dir():
            return 0
        ended = await asyncio.to_thread(end_all, self._folder, self._limits.grace_s)
        for folder in self._folder.iterdir():
            if folder.name != steps.CACHE:
                remove(folder)
        return ended

    async def run(self, job: Job, gate: Gate, tell: Tell) -> Done | Failure:
        """The install up to a verified disk. Cancelling it ends all its processes before it returns.

        `gate(phase, built)` is awaited before a phase's first process; what it raises ends the run.
        What an aborted phase leaves on the disks: `policy.install.holds`.
        """
        try:
            with self._at("job", job, tell) as at:
                return await _install(at, gate)
        except _FailedError as failed:
            return failed.failure

    async def reboot(self, job: Job) -> Failure | None:
        """Has the machine reboot into its new system; None = it said that it will."""
        try:
            with self._at("reboot", job, lambda _: None) as at:
                await at.step(steps.reboot(job))
        except _FailedError as failed:
            return failed.failure
        return None

    async def look(self, job: Job) -> Report | Failure:
        """Which system runs on the machine now, as it says over the pinned link; asked once."""
        try:
            with self._at(first_boot.STAGE, job, lambda _: None) as at:
                return first_boot.judge(job, await at.step(steps.running(job)))
        except _FailedError as failed:
            return failed.failure

    @contextlib.contextmanager
    def _at(self, stage: str, job: Job, tell: Tell) -> Iterator[_Run]:
        """The job's folder while it runs; _FailedError of `stage` where it cannot begin."""
        tools = {name: self._find(name) for name in ("nix", "nixos_anywhere", "ssh")}
        with contextlib.ExitStack() as stack:
            try:
                check(job)
                self._need_tools()
                folder = stack.enter_context(job_folder(self._folder, job, self._limits, tools["ssh"]))
            except (ConfigError, EdgeError) as error:
                raise _FailedError(Failure(stage=stage, cause=str(error), disk=holds(stage))) from None
            tools["ssh"] = str(folder / "bin/ssh")
            yield _Run(job, folder, tools, self._tools, self._limits, self._scripts, tell)

    def _need_tools(self) -> None:
        if missing := self._missing():
            raise EdgeError("; ".join(missing))

    def _missing(self) -> list[str]:
        return [
            f"{getattr(self._tools, name)} is not on PATH: installing needs it"
            for name in ("nix", "nixos_anywhere", "ssh")
            if not self._find(name)
        ]

    def _find(self, name: str) -> str:
        path = self._tools.path or os.environ.get("PATH", "")
        return shutil.which(getattr(self._tools, name), path=path) or ""


async def _install(at: _Run, gate: Gate) -> Done:
    job = at.job
    await gate("build", None)
    await at.step(steps.probe(job), facts.judge_probe)
    built = await at.build()
    await at.step(steps.probe(job), facts.judge_probe)  # again: no erase is spent on a machine that has gone
    await gate("preclean", built)
    await at.step(steps.preclean(job))
    await gate("disko", built)
    await at.step(steps.disko(job, built))
    await at.step(steps.mounted(job), facts.judge_mounted)
    await gate("install", built)
    await at.step(steps.install(job, built, at.extra_files))
    await gate("verify", built)
    await at.step(steps.verify(job), partial(facts.judge_installed, built=built))
    return Done(built=built)


class _Run:
    """One job that runs: its folder, and how long the phase it is in has left."""

    def __init__(
        self,
        job: Job,
        folder: Path,
        programs: dict[str, str],
        tools: Tools,
        limits: Limits,
        scripts: dict[str, str],
        tell: Tell,
    ) -> None:
        self.job = job
        self._folder = folder
        self._programs = programs
        self._tools = tools
        self._limits = limits
        self._scripts = scripts
        self._tell = tell
        self._phase = ""
        self._until = 0.0

    @property
    def extra_files(self) -> str:
        return str(extra_files(self._folder)) if self.job.report == "agent" else ""

    async def build(self) -> Built:
        system, disko = steps.build(self.job)
        built = Built(
            closure=(await self.step(system, facts.judge_build)).store_path,
            disko=(await self.step(disko, facts.judge_build)).store_path,
        )
        has_unit = await asyncio.to_thread(os.path.lexists, f"{built.closure}/{REPORT_UNIT}")
        _pass(facts.judge_report_unit(self.job, built, is_there=has_unit))
        try:
            layout = await asyncio.to_thread(_read_layout, Path(built.disko))
        except OSError as error:
            self._fail("build", f"{built.disko} cannot be read: {error.strerror}")
        _pass(facts.judge_layout(self.job, layout))
        return built

    async def step(self, step: Step, judge: Judge | None = None) -> Reading:
        """What it said; _FailedError when it or its judge found something wrong."""
        reading = Reading(step.phase, step.must_say)
        is_pinned = step.tool != "nix"
        environment = steps.environment(str(self._folder), self._tools, os.environ, is_pinned=is_pinned)
        argv = [self._programs[step.tool], *step.arguments]
        bounds = self._bounds(step.phase)
        try:
            with self._stdin(step) as stdin:
                end = await supervise(argv, environment, stdin, self._folder, bounds, reading, self._tell)
        except OSError as error:
            self._fail(step.phase, f"{step.name} cannot be started: {error.strerror}")
        log.debug("step ended", host=self.job.host, step=step.name, code=end.code, by=end.by)
        _pass(verdict(step, self.job, reading, end))
        if judge:
            _pass(judge(self.job, reading))
        return reading

    def _fail(self, phase: str, cause: str) -> NoReturn:
        raise _FailedError(Failure(stage=phase, cause=cause, disk=holds(phase)))

    def _bounds(self, phase: str) -> Bounds:
        now = asyncio.get_running_loop().time()
        if phase != self._phase:
            self._phase, self._until = phase, now + self._limits.deadline_s[phase]
        stall_s = self._limits.stall_s.get(phase, 0.0)
        return Bounds(deadline_s=self._until - now, stall_s=stall_s, grace_s=self._limits.grace_s)

    @contextlib.contextmanager
    def _stdin(self, step: Step) -> Iterator[BinaryIO]:
        file = Path(os.devnull)
        if step.script:
            file = self._folder / "script"
            file.write_text(steps.script(step.script, self._scripts))
        with _open(file) as stdin:
            yield stdin


def _open(file: Path) -> BinaryIO:
    return file.open("rb")


def _pass(failure: Failure | None) -> None:
    if failure:
        raise _FailedError(failure)


def _read_layout(file: Path) -> str:
    with file.open("rb") as script:
        return script.read(LAYOUT_MAX_BYTES).decode(errors="replace")
