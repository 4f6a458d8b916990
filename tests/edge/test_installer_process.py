"""How a process of an install ends: late, silent, looping, aborted, with children, with its appliance."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from pathlib import Path
from typing import Final

import pytest
from install_stage import Stage, hang
from install_values import GOLDEN

from bootstrapd.edge.installer_process import Bounds, supervise
from bootstrapd.edge.installer_reap import _processes
from bootstrapd.policy.install import Failure, Progress
from bootstrapd.policy.install_progress import Reading
from bootstrapd.policy.install_steps import MARK

DEADLINE_S: Final = 30.0
ENOUGH: Final = {"probe": 60.0, "build": 60.0, "preclean": 60.0, "install": 60.0, "verify": 60.0}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def living(stage: Stage) -> int:
    pidfds = _processes(stage.jobs)
    for pidfd in pidfds:
        os.close(pidfd)
    return len(pidfds)


async def run(stage: Stage, **limits: object) -> Failure:
    result = await stage.installer(**limits).run(stage.job(), stage.gate, stage.tell)
    assert isinstance(result, Failure), result
    return result


@pytest.mark.parametrize("deaf", [False, True], ids=["TERM", "KILL"])
async def test_a_late_phase_is_ended_with_all_its_children(stage: Stage, deaf: bool) -> None:
    stage.scene("disko", hang(deaf=deaf))
    result = await run(stage, grace_s=0.3, deadline_s=ENOUGH | {"disko": 2.0})
    assert result.cause.startswith(
        "nixos-anywhere disko took longer than its 2 seconds, and was stopped after: "
    )
    assert result.disk == "The chosen disks are erased and half partitioned"
    assert living(stage) == 0
    assert stage.told[-1].line == "hanging"


async def test_silence_is_a_stall(stage: Stage) -> None:
    stage.scene("install", hang())
    result = await run(stage, stall_s={"install": 2.0})
    assert "nixos-anywhere install has said nothing for 2 seconds" in result.cause
    assert result.lines[-1] == "hanging"
    assert living(stage) == 0


async def test_what_goes_on_saying_things_is_no_stall(stage: Stage) -> None:
    """Longer than the stall in all, and never silent that long."""
    stage.scene("install", "for i in 1 2 3 4 5 6 7 8 9 10; do echo $i; timeout 0.25 tail -f /dev/null; done\n")
    result = await stage.installer(stall_s={"install": 2.0}).run(stage.job(), stage.gate, stage.tell)
    assert not isinstance(result, Failure), result


@pytest.mark.parametrize(
    ("name", "is_lost", "words"),
    [
        ("02-wrong-key", False, "does not let the deployment key in"),
        ("03-unreachable", True, "cannot be reached"),
    ],
)
async def test_a_login_loop_is_ended_long_before_its_deadline(
    stage: Stage, name: str, is_lost: bool, words: str
) -> None:
    lines = f"sed -n 's/^ *[0-9.]* [OE] //p' {GOLDEN}/{name}.txt"
    stage.scene("disko", f"while :; do {lines}; done\n")
    result = await run(stage)
    assert words in result.cause
    assert result.is_lost is is_lost
    assert living(stage) == 0


async def test_children_that_outlive_the_leader_are_ended_at_once(stage: Stage) -> None:
    """They hold the output open: neither a wait for its end, nor a machine that is written on, may stay."""
    stage.scene("install", "(trap '' TERM HUP; exec tail -f /dev/null) &\necho left it; exit 4\n")
    result = await run(stage)
    assert (
        result.cause == "nixos-anywhere install ended with exit code 4 in the step 'Uploading install SSH keys'"
    )
    assert living(stage) == 0


async def test_cancelling_ends_everything_before_it_returns(stage: Stage) -> None:
    stage.scene("disko", hang())
    hanging = asyncio.Event()

    def tell(progress: Progress) -> None:
        if progress.line == "hanging":
            hanging.set()

    task = asyncio.create_task(stage.installer().run(stage.job(), stage.gate, tell))
    async with asyncio.timeout(DEADLINE_S):
        await hanging.wait()
        assert living(stage) >= 3  # keeper, nixos-anywhere, its child
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert living(stage) == 0
    assert not list(stage.jobs.iterdir())


async def test_a_flood_without_line_ends_is_bounded(stage: Stage) -> None:
    stage.scene("install", "head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end; exit 3\n")
    result = await run(stage)
    assert result.lines[-1] == "end"
    assert max(map(len, result.lines)) <= 1000


class Counted(Reading):
    """Counts the lines that it is given before anybody else has a turn."""

    def __init__(self) -> None:
        super().__init__("install")
        self.at_once = self.most_at_once = 0

    def read(self, line: str) -> Progress | None:
        if not self.at_once:
            asyncio.get_running_loop().call_soon(self._turn)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        return super().read(line)

    def _turn(self) -> None:
        self.at_once = 0


async def test_a_flood_of_lines_leaves_the_others_their_turn(tmp_path: Path) -> None:
    reading = Counted()
    bounds = Bounds(deadline_s=DEADLINE_S, stall_s=0, grace_s=1)
    argv = ["sh", "-c", "yes | head -c 300000; echo end"]
    with Path(os.devnull).open("rb") as nothing:  # noqa: ASYNC230
        end = await supervise(argv, os.environ, nothing, tmp_path, bounds, reading, lambda _: None)
    assert (end.code, end.by, reading.lines[-1]) == (0, "", "end")
    assert 1 < reading.most_at_once <= 600


async def said(fifo: int) -> str:
    """The next line written into it."""
    heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().add_reader(fifo, lambda: heard.set_result(os.read(fifo, 100).decode()))
    try:
        return await heard
    finally:
        asyncio.get_running_loop().remove_reader(fifo)


async def test_a_killed_appliance_takes_its_processes_with_it(stage: Stage) -> None:
    """The keeper sees the lifeline end: nothing has to start again for that, and no id to be written down."""
    os.mkfifo(stage.folder / "fifo")
    fifo = os.open(stage.folder / "fifo", os.O_RDWR | os.O_NONBLOCK)
    stage.scene("disko", hang(stage.folder / "fifo", deaf=True))
    code = "import asyncio, sys, install_stage; asyncio.run(install_stage.run_forever(sys.argv[1]))"
    appliance = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, str(stage.folder)),
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    async with asyncio.timeout(DEADLINE_S):
        pidfds = [os.pidfd_open(int(pid)) for pid in (await said(fifo)).split()]
        appliance.kill()
        await appliance.wait()
    for pidfd in pidfds:
        assert await asyncio.to_thread(has_ended, pidfd)
        os.close(pidfd)
    os.close(fifo)
    await stage.installer().reap()
    assert living(stage) == 0
    assert not list(stage.jobs.iterdir())


PAUSE: Final = "import signal; print(flush=True); signal.pause()"
DEAF: Final = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {PAUSE}"


async def left_over(folder: Path, code: str) -> asyncio.subprocess.Process:
    """A process of the job in `folder` that nobody looks after any more."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-S", "-c", code),
        env={MARK: str(folder)},
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    return process


async def test_reap_ends_what_no_keeper_ended_and_nothing_else(stage: Stage) -> None:
    mine = await left_over(stage.jobs / "run", PAUSE)
    theirs = await left_over(stage.jobs.with_name("jobs-of-another") / "run", PAUSE)
    (stage.jobs / "run").mkdir()
    (stage.jobs / "cache").mkdir()
    assert await stage.installer().reap() == 1
    assert await mine.wait() == -signal.SIGTERM
    assert [entry.name for entry in stage.jobs.iterdir()] == ["cache"]
    assert theirs.returncode is None
    theirs.kill()
    await theirs.wait()


async def test_reap_kills_what_does_not_listen(stage: Stage) -> None:
    deaf = await left_over(stage.jobs / "run", DEAF)
    assert await stage.installer(grace_s=0.2).reap() == 1
    assert await deaf.wait() == -signal.SIGKILL


def has_ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(DEADLINE_S * 1000))
