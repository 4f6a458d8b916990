"""`bootstrapd topology`: from the folder alone, to stdout or a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from fleets import GOLDEN, files
from hosts_folder import put

from .conftest import FakeCore, Run


@pytest.fixture
def folder(state: Path) -> Path:
    for path, text in files().items():
        put(state / "hosts", path, text)
    return state / "hosts"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(("kind", "ending"), [("svg", "svg"), ("mermaid", "mmd"), ("nix", "nix")])
def test_each_format_on_stdout(run: Run, kind: str, ending: str) -> None:
    said = run("topology", "--format", kind)
    assert (said.code, said.err) == (0, "")
    assert said.out == (GOLDEN / f"small.{ending}").read_text()


@pytest.mark.usefixtures("folder")
def test_svg_into_a_file_without_asking_the_daemon(run: Run, daemon: FakeCore, tmp_path: Path) -> None:
    said = run("topology", "--output", str(tmp_path / "fleet.svg"))
    assert (said.code, said.out) == (0, "")
    assert "4 hosts in 2 networks" in said.err
    assert (tmp_path / "fleet.svg").read_text() == (GOLDEN / "small.svg").read_text()
    assert daemon.asked == []


def test_a_mistake_is_said_and_nothing_is_drawn(run: Run, folder: Path, tmp_path: Path) -> None:
    put(folder, "networks.toml", '[network.a]\nsubnet = "10.0.0.0/33"\n')
    said = run("topology", "--output", str(tmp_path / "fleet.svg"))
    assert said.code == 2
    assert "networks.toml: network.a.subnet: expected an IPv4 network" in said.err
    assert not (tmp_path / "fleet.svg").exists()


@pytest.mark.usefixtures("folder")
def test_a_file_that_cannot_be_written_is_said(run: Run, tmp_path: Path) -> None:
    said = run("topology", "--output", str(tmp_path / "no" / "fleet.svg"))
    assert said.code == 3
    assert "no/fleet.svg: No such file or directory" in said.err
