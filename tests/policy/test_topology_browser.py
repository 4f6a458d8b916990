"""A drawing as a real browser lays it out, with its fonts: nothing leaves its box or meets another text.

The other tests trust the widths of `policy/lettering.py`; this one asks who knows.
"""

from __future__ import annotations

import html
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Final

import pytest
from fleets import files, large, small

from bootstrapd.config import parse_hosts
from bootstrapd.model import HostBook
from bootstrapd.policy.topology import fleet
from bootstrapd.policy.topology_svg import svg

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
DEADLINE_S: Final = 60
MEASURE: Final = (Path(__file__).parent / "measure_svg.js").read_text()
WIDE: Final = "ЩЖШЮ" * 12  # wider than Latin capitals, and no place to break
HOSTILE: Final = "</text><script>document.title='run'</script>\\\" & ]]> \u202e鉄 \U0001f5a5 ǄǱŒ"


def foreign() -> HostBook:
    """The small fleet, described in words that are as wide as words get."""
    text = files()["networks.toml"]
    described = re.sub(r'(?m)^description = ".*"$', f'description = "{WIDE}"', text)
    described += f'[switch.last]\ndescription = "{HOSTILE} {"Щ" * 150}"\n'
    host = f'profile = "node"\nlabels.rack = "{WIDE}"\nmatch.port = "last/{HOSTILE}"\n'
    return parse_hosts({**files(), "networks.toml": described, f"{'w' * 63}/host.toml": host})


def browser() -> str:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"there is no {' or '.join(NAMES[:2])} here to look at a drawing with")
    return found


def measured(drawing: str, folder: Path) -> list[str]:
    """What the browser finds wrong; the first line counts the texts."""
    page = folder / "page.html"
    page.write_text(
        f"<!doctype html><meta charset=utf-8><title>still</title>{drawing}<pre id=said></pre>"
        f"<script>{MEASURE}</script>",
        "utf-8",
    )
    command = [browser(), "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--no-first-run"]
    ran = subprocess.Popen(
        [*command, f"--user-data-dir={folder}/profile", page.as_uri()],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        shown, _ = ran.communicate(timeout=DEADLINE_S)
    finally:
        if ran.poll() is None:
            os.killpg(ran.pid, signal.SIGKILL)
            ran.wait()
    said = re.search(r'<pre id="said">(.*?)</pre>', shown, re.DOTALL)
    assert said, f"exit {ran.returncode}: {shown[-300:]}"
    return html.unescape(said[1]).splitlines()


@pytest.mark.parametrize("kind", ["small", "200 hosts", "wide words"])
def test_a_browser_finds_every_text_in_its_place(tmp_path: Path, kind: str) -> None:
    book = {"small": small, "200 hosts": lambda: large(200), "wide words": foreign}[kind]()
    drawing = svg(fleet(book))
    count, *wrong = measured(drawing, tmp_path)
    assert wrong == []
    assert int(count) == drawing.count("<text ") > 20


def test_the_browser_would_notice(tmp_path: Path) -> None:
    """A text that is too long, and one that lies on another, are found by the same look."""
    drawing = svg(fleet(small()))
    name = re.search(r'(<text class="name" [^>]*>)w-1</text>', drawing)
    assert name
    _, *long = measured(drawing.replace(name[0], f"{name[1]}{'w' * 40}</text>"), tmp_path)
    assert any(line.startswith("leaves its box: www") for line in long)
    _, *twice = measured(drawing.replace(name[0], name[0] * 2), tmp_path)
    assert twice == ["lie on each other: w-1 | w-1"]
