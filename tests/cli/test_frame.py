"""What holds for every command: exit codes, one sentence an error, nothing heavy imported, pipes that close."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

import bootstrapd.cli as frame
from bootstrapd.errors import ConfigError, DamagedError, EdgeError, RefusedError, WireError

from .conftest import DEADLINE_S, ROOT, Run, process

LIGHT = """\
import sys
from bootstrapd.cli import main
code = main(sys.argv[1:])
print(sorted(sys.modules), file=sys.stderr)
sys.exit(code)
"""
HEAVY = "scapy aiohttp nats pyroute2 structlog rich jinja2 asyncio tomlkit http ssl sqlite3"


@pytest.mark.parametrize("command", ["hosts list", "hosts list --json", "profiles list", "--help"])
def test_a_list_imports_nothing_heavy(command: str, state: Path) -> None:
    with process("-c", LIGHT, *command.split(), state=state) as child:
        _, err = child.communicate(timeout=DEADLINE_S)
    loaded = {name.split(".")[0] for name in json.loads(err.splitlines()[-1].replace("'", '"'))}
    assert child.returncode == 0
    assert "click" in loaded
    assert not loaded.intersection(HEAVY.split())


def test_every_command_loads_and_has_an_example(run: Run) -> None:
    assert run("--help").code == 0
    for path, command in commands(frame.root):
        help_text = run(*path, "--help").out
        assert f"bootstrapd {path[0]}" in help_text.split("\n", 1)[1], f"no example in {path}"
        assert command.help
        options = {name for param in command.params for name in param.opts}
        assert (
            isinstance(command, click.Group)
            or path[0] in {"probe", "lifecycle"}
            or {"--state", "--config"} <= options
        )
        assert path[-1] not in {"list", "show"} or "--json" in options


def commands(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], click.Command]]:
    found = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        found.append(((*path, name), command))
        if isinstance(command, click.Group):
            found += commands(command, (*path, name))
    return found


def failing(error: BaseException) -> Callable[..., int]:
    def fail(*_: object) -> int:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (RefusedError("it is taken"), 1, "bootstrapd: it is taken\n"),
        (ConfigError("a: b", "c: d"), 2, "bootstrapd: a: b\nbootstrapd: c: d\n"),
        (EdgeError("no disk"), 3, "bootstrapd: no disk\n"),
        (DamagedError("bad checksum"), 3, "bootstrapd: bad checksum\n"),
        (PermissionError(13, "Permission denied", "/etc/x"), 3, "bootstrapd: /etc/x: Permission denied\n"),
        (OSError("the network is down"), 3, "bootstrapd: the network is down\n"),
        (KeyboardInterrupt(), 130, "bootstrapd: stopped\n"),
        (click.Abort(), 130, "bootstrapd: stopped\n"),
        (WireError("our own codec"), 70, "bootstrapd: our own codec\n"),
    ],
)
def test_an_error_is_a_sentence_and_a_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    monkeypatch.setattr(frame, "_run", failing(error))
    assert run("hosts", "list").err == said
    assert run("hosts", "list").code == code


def test_a_bug_is_one_line_and_a_kept_traceback(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(frame, "_run", failing(KeyError("odd\nnews")))
    said = run("hosts", "list")
    assert said.code == 70
    assert len(said.err.splitlines()) == 1
    [kept] = tmp_path.glob("bootstrapd-*.traceback")
    assert str(kept) in said.err
    assert "KeyError" in kept.read_text()


def test_a_bug_of_a_service_is_told_to_the_journal(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Its /tmp may be private, and gone when somebody looks for the traceback."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("JOURNAL_STREAM", f"{os.fstat(2).st_dev}:{os.fstat(2).st_ino}")
    monkeypatch.setattr(frame, "_run", failing(KeyError("x")))
    said = run("hosts", "list")
    assert (said.code, "Traceback" in said.err) == (70, True)
    assert list(tmp_path.glob("bootstrapd-*.traceback")) == []


def test_a_bug_on_a_full_disk_is_shown_instead(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/nonexistent")
    monkeypatch.setattr(frame, "_run", failing(KeyError("x")))
    said = run("hosts", "list")
    assert (said.code, "Traceback" in said.err) == (70, True)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("host",), "No such command 'host'"),
        (("hosts", "ad"), "No such command 'ad'"),
        (("hosts", "add", "52:54:00:aa:bb:01"), "Missing option '--name'"),
        (("hosts", "list", "--jsn"), "No such option"),
        (("--state", "/x", "hosts", "list"), "options stand behind the command: bootstrapd COMMAND --state"),
        (("explain",), "Missing argument 'MAC'"),
        (("explain", "525400aabb01", "--door", "window"), "'window' is not one of"),
        (("serve", "--http-port", "99999"), "99999 is not in the range"),
    ],
)
def test_a_wrong_command_line_is_said_with_the_way_to_help(run: Run, args: tuple[str, ...], words: str) -> None:
    said = run(*args)
    assert said.code == 2
    assert words in said.err
    assert all(line.startswith("bootstrapd: ") for line in said.err.splitlines())
    assert "--help" in said.err


@pytest.mark.parametrize("args", [(), ("hosts",)])
def test_a_noun_alone_shows_its_help(run: Run, args: tuple[str, ...]) -> None:
    said = run(*args)
    assert "Usage:" in said.out + said.err


def test_a_reader_that_leaves_is_no_error(state: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with process("-m", "bootstrapd.cli", "profiles", "list", state=state, stdout=write) as child:
        os.close(write)
        _, err = child.communicate(timeout=DEADLINE_S)
    assert (child.returncode, err) == (0, "")


def test_a_full_disk_under_stdout_is_an_environment_error(state: Path) -> None:
    with Path("/dev/full").open("w") as full:
        child = process("-m", "bootstrapd.cli", "profiles", "list", state=state, stdout=full.fileno())
        _, err = child.communicate(timeout=DEADLINE_S)
    assert child.returncode == 3
    assert err.splitlines()[0] == "bootstrapd: No space left on device"
    assert "Traceback" not in err


WAITS = """\
import sys
import bootstrapd.cli as frame
frame._run = lambda args: (print("up", flush=True), sys.stdin.read())
sys.exit(frame.main())
"""


def test_control_c_is_no_traceback(state: Path) -> None:
    with process("-c", WAITS, state=state) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=DEADLINE_S)
    assert (child.returncode, err) == (130, "bootstrapd: stopped\n")


def test_completion_answers_a_shell(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_BOOTSTRAPD_COMPLETE", "bash_source")
    assert "complete" in run().out


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_bug(closed: str, state: Path) -> None:
    command = [sys.executable, "-m", "bootstrapd.cli", "hosts", "list"]
    line = f"{shlex.join(command)} {closed}"
    done = subprocess.run(
        ["sh", "-c", line],
        env=os.environ | {"BOOTSTRAPD_STATE": str(state)},
        cwd=ROOT,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0
