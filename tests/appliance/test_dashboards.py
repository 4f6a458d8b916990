"""The dashboards: what they ask for is what docs/http.md lists, and that is what the program counts."""

from __future__ import annotations

import ast
import json
import re
from typing import Final

import pytest
from nix_tools import ROOT

from bootstrapd.model import AnyEvent
from bootstrapd.wire.tftp_transfer import Outcome

from .dashboards import FILES, asked, panels

HTTP: Final = (ROOT / "docs/http.md").read_text()
SOURCES: Final = {"prometheus", "loki"}  # the uids that appliance.nix gives
OTHERS: Final = re.compile(r"up|node_[a-z_]+")  # Prometheus' own, and the node exporter's
METRIC: Final = re.compile(r"([a-z_]+)\{")
HOLE: Final = re.compile(r"\{[^}]*\}")


def written() -> set[str]:
    """Every dotted word in the program, `{}` where it computes a part: counters are among them."""
    found = set()
    for file in (ROOT / "bootstrapd").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
                found.add("".join(map(str, parts)))
    return found


def documented() -> list[str]:
    """The first cells of the table of counters."""
    section = HTTP[HTTP.index("### What `/metrics` counts") : HTTP.index("## The operator's API")]
    rows = re.findall(r"^\| (`[^|]*`) \|", section, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row) if name != "what"]


def plain() -> list[str]:
    return [HOLE.sub("{}", name) for name in documented()]


def test_what_is_documented_is_counted() -> None:
    known = written() | {f"tftp.{outcome}" for outcome in Outcome}
    assert len(documented()) > 20
    for name in documented():
        assert HOLE.sub("{}", name) in known, f"docs/http.md lists {name}, which nothing counts"


@pytest.mark.parametrize("name", sorted(asked()))
def test_what_a_panel_asks_for_is_documented(name: str) -> None:
    """A pattern such as `http.refused.+` stands for the rows with a hole, or for those that it matches."""
    rows = plain()
    filled = [row.replace("{}", part) for row in rows for part in ("x", "200")]
    assert any(re.fullmatch(name, row) for row in filled) or any(
        re.fullmatch(re.escape(row).replace(r"\{\}", "[a-z0-9_]+"), name) for row in rows
    ), f"{asked()[name]} asks for {name}"


def test_the_events_that_panels_ask_for_exist() -> None:
    """`event.{event}` has a hole: its names are those of the events."""
    events = {kind.__name__.lower() for kind in AnyEvent.__args__}
    told = {name.removeprefix("event.") for name in asked() if name.startswith("event.")}
    assert told
    assert told <= events


def test_panels_are_whole() -> None:
    assert {file.name for file in FILES} == {"appliance.json", "machines.json"}
    boards = [json.loads(file.read_text()) for file in FILES]
    assert len({board["uid"] for board in boards}) == len({board["title"] for board in boards}) == len(boards)
    for file, panel in panels():
        assert panel["targets"], (file, panel["title"])
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == panel["datasource"]["uid"]
            assert panel["datasource"]["uid"] in SOURCES
            if panel["datasource"]["uid"] == "prometheus":
                metrics = set(METRIC.findall(target["expr"]))
                assert metrics, target["expr"]
                assert all(each == "bootstrapd_total" or OTHERS.fullmatch(each) for each in metrics), metrics
