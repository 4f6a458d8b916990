"""Gives each story its rack, says why one is skipped, and prints at the end what the stories measured."""

from __future__ import annotations

import re
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package, where it is not installed

from image.build import build
from rack import MissingError, Rack
from standin import parts

NOTES = pytest.StashKey[list[str]]()
RACK = pytest.StashKey[Rack]()


@pytest.fixture(scope="session")
def image() -> Path:
    """The test image's folder."""
    try:
        return build()
    except MissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def standins() -> Path:
    """The parts of the systems that the stand-ins install."""
    try:
        return parts.build()
    except MissingError as missing:
        pytest.skip(str(missing))


@pytest.fixture
def rack(request: pytest.FixtureRequest) -> Iterator[Rack]:
    """A rack of its own for this story; everything in it ends with the story."""
    story = re.sub(r"[^a-z0-9]+", "_", request.node.name.removeprefix("test_")).strip("_")
    try:
        rack = Rack(story)
    except MissingError as missing:
        pytest.skip(str(missing))
    request.node.stash[RACK] = rack
    with rack:
        yield rack
    request.config.stash.setdefault(NOTES, []).extend(f"{story}: {note}" for note in rack.notes)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call() -> Generator[None, object, object]:
    """Firmware that is not installed is a reason to skip, not to fail."""
    try:
        return (yield)
    except MissingError as missing:
        pytest.skip(str(missing))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failure shows what the machines and the appliance said last."""
    report = yield
    if call.when == "call" and report.failed and RACK in item.stash:
        report.sections.append(("the rack", item.stash[RACK].situation()))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What was measured, story by story."""
    for note in config.stash.get(NOTES, []):
        terminalreporter.write_line(note)
