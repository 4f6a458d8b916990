"""The command line: one noun a file, loaded when it is asked for, so that a list answers at once.

Owns the table of commands, and the one place where an error becomes a sentence and an exit code:
0 done, 1 refused, 2 configuration, 3 environment, 70 our bug (130 stopped by hand). Nothing but click is
imported before a command needs it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from bootstrapd import __version__
from bootstrapd.errors import BootstrapdError

COMMANDS: Final[dict[str, str]] = {
    "serve": "bootstrapd.cli.serve:serve",
    "status": "bootstrapd.cli.status:status",
    "check-config": "bootstrapd.cli.check:check_config",
    "explain": "bootstrapd.cli.explain:explain",
    "probe": "bootstrapd.cli.probe:probe",
    "hosts": "bootstrapd.cli.hosts:hosts",
    "machines": "bootstrapd.cli.machines:machines",
    "events": "bootstrapd.cli.events:events",
    "watch": "bootstrapd.cli.watch:watch",
    "images": "bootstrapd.cli.images:images",
    "profiles": "bootstrapd.cli.profiles:profiles",
    "topology": "bootstrapd.cli.topology:topology",
    "lifecycle": "bootstrapd.cli.lifecycle:lifecycle",
}
BUG: Final = 70
STOPPED: Final = 130  # 128 + SIGINT, as shells count
_COMPLETE: Final = "_BOOTSTRAPD_COMPLETE"


class LazyGroup(click.Group):
    """Commands by name from `COMMANDS`; a module is imported when its command is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        from importlib import import_module

        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].split(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="bootstrapd")
def root() -> None:
    """Boot bare metal over the network into NixOS installers.

    \b
    bootstrapd serve --interface enp3s0
    bootstrapd hosts add 52:54:00:aa:bb:01 --name node-1 --profile minimal

    Exit codes: 0 done, 1 refused, 2 configuration, 3 environment, 70 a bug in bootstrapd.
    """


def main(args: Sequence[str] | None = None) -> int:
    """Run one command line (default: the process's own) and return its exit code; never a traceback."""
    _open_closed()
    try:
        code = _run(list(sys.argv[1:] if args is None else args))
        sys.stdout.flush()  # a full disk or a reader that left shows here, not at the interpreter's exit
    except BrokenPipeError:
        _drop(sys.stdout.fileno())
        return 0
    except (KeyboardInterrupt, click.Abort):
        return _fail(STOPPED, "stopped")
    except click.ClickException as error:
        return _usage(error)
    except BootstrapdError as error:
        return _fail(error.exit_code, *str(error).splitlines())
    except OSError as error:
        return _fail(3, ": ".join(filter(None, (error.filename, error.strerror))) or str(error))
    except Exception as error:  # noqa: BLE001 - a bug: said in one line, kept for us
        return _bug(error)
    return code


def _run(args: list[str]) -> int:
    if wanted := os.environ.get(_COMPLETE):
        from click.shell_completion import shell_complete

        return shell_complete(root, {}, "bootstrapd", _COMPLETE, wanted)
    try:
        with root.make_context("bootstrapd", args) as ctx:
            root.invoke(ctx)
    except click.exceptions.Exit as done:
        return done.exit_code
    return 0


def _fail(code: int, *lines: str) -> int:
    for line in lines:
        shown = line.encode("utf-8", "backslashreplace").decode()  # arguments may be bytes that are no text
        click.echo(f"bootstrapd: {shown}", err=True)
    return code


def _usage(error: click.ClickException) -> int:
    ctx = getattr(error, "ctx", None)
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):  # click 8.2 and later
        click.echo(error.format_message(), err=True)
        return 2
    lines = [error.format_message()]
    if ctx is not None:
        if isinstance(error, click.NoSuchOption) and isinstance(ctx.command, click.Group):
            lines.append(f"options stand behind the command: {ctx.command_path} COMMAND {error.option_name}")
        lines.append(f"try: {ctx.command_path} --help")
    return _fail(2, *lines)


def _bug(error: Exception) -> int:
    import tempfile
    import traceback

    story = "".join(traceback.format_exception(error))
    summary = f"this is a bug in bootstrapd: {type(error).__name__}: {error}".splitlines()[0]
    if _is_journal(2):  # a service of systemd: its /tmp may go with it, its journal stays
        return _fail(BUG, summary, *story.splitlines())
    try:
        with tempfile.NamedTemporaryFile("w", prefix="bootstrapd-", suffix=".traceback", delete=False) as file:
            file.write(story)
    except OSError:
        return _fail(BUG, summary, *story.splitlines())
    return _fail(BUG, f"{summary}; please report it with {file.name}")


def _is_journal(stream: int) -> bool:
    """systemd.exec(5), JOURNAL_STREAM: where it is connected to the journal."""
    info = os.fstat(stream)
    return os.environ.get("JOURNAL_STREAM") == f"{info.st_dev}:{info.st_ino}"


def _open_closed() -> None:
    """Where the caller closed a standard stream (`>&-`), Python has None: nothing reads or hears it instead."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123 - for good


def _drop(stdout: int) -> None:
    """Point stdout at nothing, so that the interpreter's own last flush does not complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stdout)
