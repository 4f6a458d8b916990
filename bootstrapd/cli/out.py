"""How answers look: tables on a terminal, plain aligned text when piped, JSON when asked for.

Machines choose some of what is shown here (serials, models): control characters never reach the terminal.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import click

_STEPS: Final = ((86400 * 365, "year"), (86400, "day"), (3600, "h"), (60, "min"), (1, "s"))
_PLURAL: Final = frozenset({"year", "day"})


def as_json(value: object) -> None:
    """Any value of the model, indented, on stdout."""
    from bootstrapd.model import indented

    click.echo(indented(value))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """One line a row; with no rows `empty` goes to stderr, so that a pipe gets nothing."""
    cells = [[clean(cell) or "-" for cell in row] for row in rows]
    if not cells:
        note(empty)
    elif sys.stdout.isatty():
        _rich_table(columns, cells)
    else:
        _plain_table([list(columns), *cells])


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """`name  value` lines, values aligned; pairs without a value are left out. On a terminal it wraps them."""
    shown = [(name, clean(value)) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(_wrapped(f"{name:<{width}}  {value}", width + 2))


def _wrapped(line: str, indent: int) -> str:
    if not sys.stdout.isatty():
        return line
    import shutil
    import textwrap

    columns = max(shutil.get_terminal_size().columns, indent + 20)
    return textwrap.fill(
        line, columns, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )


def say(text: str) -> None:
    click.echo(clean(text))


def note(text: str) -> None:
    """For the person, not for the pipe: stderr."""
    click.echo(clean(text), err=True)


@contextlib.contextmanager
def progress(title: str) -> Iterator[Callable[[str, int, int], None] | None]:
    """A bar on a terminal, moved by calling with (file, bytes done, bytes in all); None elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title)

        def move(file: str, done: int, total: int) -> None:
            bar.update(task, description=f"{title}: {file}", completed=done, total=total)

        yield move


@contextlib.contextmanager
def steps(title: str) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal, moved by calling with (line, steps done, steps in all or 0); the lines elsewhere."""
    if not sys.stderr.isatty():
        yield lambda line, _done, _total: note(line)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.table import Column

    words = TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True))
    columns = (BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), words)
    with Progress(*columns, console=Console(stderr=True), transient=True, expand=True) as bar:
        task = bar.add_task(title, total=None)

        def move(line: str, done: int, total: int) -> None:
            bar.update(task, description=clean(f"{title}: {line}"), completed=done, total=total or None)

        yield move


@contextlib.contextmanager
def busy(title: str) -> Iterator[None]:
    """A sign of life on a terminal while something takes its time."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(title):
        yield


def clean(text: str) -> str:
    """The text with every control character (newline, escape, …) made visible as a dot."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "·" for char in text)


def ago(at: float, now: float | None = None) -> str:
    """`3 min ago`; "never" for 0."""
    if not at:
        return "never"
    passed = (time.time() if now is None else now) - at
    for seconds, unit in _STEPS:
        if (count := int(passed // seconds)) > 0:
            return f"{count} {unit}{'s' if count > 1 and unit in _PLURAL else ''} ago"
    return "just now"


def moment(at: float, now: float | None = None) -> str:
    """`2026-09-21 14:03:11 (3 min ago)` in local time; "never" for 0."""
    if not at:
        return "never"
    local = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
    return f"{local} ({ago(at, now)})"


def ahead(at: float, now: float | None = None) -> str:
    """`2026-09-21 14:03:11 (in 3 min)` in local time, for what is still to come."""
    wait = at - (time.time() if now is None else now)
    left = next((f"in {int(wait // seconds)} {unit}" for seconds, unit in _STEPS if wait >= seconds), "now")
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(at))} ({left})"


def size(count: int) -> str:
    """Bytes in SI units, as disks and downloads are sold: `412 MB`."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 999.5:
            return f"{amount:.0f} {unit}" if amount >= 10 or unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def _plain_table(rows: list[list[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    click.echo("\n".join(lines))


def _rich_table(columns: Sequence[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(cell) for cell in row))
    Console().print(grid)
