"""`python -m bootstrapd.cli.manual > docs/cli.md`: the command reference, from the same words as `--help`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Final

import click

from bootstrapd.cli import root

_HEAD: Final = """\
# The command line

Made by `python -m bootstrapd.cli.manual` from the commands themselves; a test compares the two.

Exit codes: 0 done, 1 refused, 2 configuration, 3 environment, 70 a bug in bootstrapd, 130 stopped by hand.
Answers go to stdout, everything else to stderr. Tables are plain aligned text in a pipe; `--json`, on every
list and show, is for programs.

Every command but `probe` and `lifecycle` takes `--state DIR` (keep everything below DIR: hosts, images,
journal, socket) and `--config FILE` (settings; default `/etc/bootstrapd/config.toml` where it exists), after
its name. The variables `BOOTSTRAPD_STATE` and `BOOTSTRAPD_CONFIG` stand in for them.

Those that only talk to the daemon (`status`, `hosts` but for `add` and `remove`, `machines` but for `adopt`,
`events`, `watch`) take `--server URL` too, with `--token-file FILE`: they ask the daemon there, where `[api]
listen` is set. Variables: `BOOTSTRAPD_SERVER`, `BOOTSTRAPD_TOKEN_FILE`, or `BOOTSTRAPD_TOKEN` for the token
itself.

Completion for bash: `eval "$(_BOOTSTRAPD_COMPLETE=bash_source bootstrapd)"` (also `zsh_source`, `fish_source`).
"""
_EVERYWHERE: Final = ("state", "config_file", "server", "token_file")


def manual() -> str:
    """The whole of docs/cli.md."""
    return "\n".join([_HEAD, *_command(root, "bootstrapd")])


def _command(command: click.Command, path: str) -> Iterator[str]:
    arguments = [param for param in command.params if isinstance(param, click.Argument)]
    names = [argument.metavar or str(argument.name).upper() for argument in arguments]
    yield f"## {' '.join([path, *names])}\n"
    yield from _help(inspect.cleandoc(command.help or ""))
    options = [o for o in command.params if isinstance(o, click.Option) and o.name not in _EVERYWHERE]
    if options:
        yield "| option | |\n|---|---|"
        yield from (_option(option) for option in options)
        yield ""
    if isinstance(command, click.Group):
        ctx = click.Context(command)
        for name in command.list_commands(ctx):
            child = command.get_command(ctx, name)
            assert child is not None
            yield from _command(child, f"{path} {name}")


def _help(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("\b"):
            yield "```console\n" + paragraph.lstrip("\b\n") + "\n```\n"
        else:
            yield paragraph + "\n"


def _option(option: click.Option) -> str:
    names = ", ".join(option.opts)
    if isinstance(option.type, click.Choice):
        value = " " + "\\|".join(option.type.choices)
    else:
        value = "" if option.is_flag else f" {option.metavar or 'TEXT'}"
    notes = [option.help or "", _default(option), "Required." if option.required else ""]
    return f"| `{names}{value}` | {' '.join(filter(None, notes))} |"


def _default(option: click.Option) -> str:
    return f"Default: `{option.default}`." if option.show_default and option.default is not None else ""


if __name__ == "__main__":
    click.echo(manual(), nl=False)
