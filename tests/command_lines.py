"""Command lines of ours in scripts and pages: are they what the commands take?"""

from __future__ import annotations

import shlex

import click

from bootstrapd.cli import root


def parse(line: str) -> None:
    """click.ClickException unless it is one of our commands with all that it needs, and no more."""
    command: click.Command | None = root
    words = shlex.split(line)
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), words.pop(0)) if words else None
    if command is None:
        raise click.UsageError(f"{line}: no such command")
    command.make_context(line, words)
