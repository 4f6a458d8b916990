"""How answers look."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrapd.cli import out
from bootstrapd.model import indented, plain


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (0, "just now"),
        (-5, "just now"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (7300, "2 h ago"),
        (86400, "1 day ago"),
        (2 * 86400, "2 days ago"),
        (800 * 86400, "2 years ago"),
    ],
)
def test_times_are_relative(passed: float, words: str) -> None:
    assert out.ago(1e9, now=1e9 + passed) == words
    assert out.moment(1e9, now=1e9 + passed).endswith(f"({words})")


def test_never_is_a_word() -> None:
    assert (out.ago(0.0), out.moment(0.0)) == ("never", "never")


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (412_345_678, "412 MB"),
        (9.99e9, "10.0 GB"),
        (2e12, "2.0 TB"),
    ],
)
def test_sizes_are_si(count: float, words: str) -> None:
    assert out.size(int(count)) == words


def test_a_pipe_gets_aligned_text_without_trailing_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    out.table(("A", "LONG"), [("x\ny", ""), ("\x1b[2J", "1")], empty="none")
    assert capsys.readouterr().out == "A     LONG\nx·y   -\n·[2J  1\n"


@given(
    st.lists(st.dictionaries(st.text(), st.text(st.characters(exclude_categories=())) | st.integers(0, 2**63)))
)
def test_json_is_the_standard_librarys_and_holds_nothing_but_printable_ascii(value: object) -> None:
    """Also with half characters, DEL and what a terminal would obey."""
    assert indented(value) == json.dumps(plain(value), indent=2)
    assert indented(value).replace("\n", "").isprintable()
    assert indented(value).isascii()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_table_without_markup_of_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    out.table(("SERIAL",), [("[red]x[/red]",)], empty="none")
    assert "[red]x[/red]" in terminal.getvalue()
    assert "SERIAL" in terminal.getvalue()
