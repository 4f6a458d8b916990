"""The operator's Unix socket: who may use it, and what stood there before."""

from __future__ import annotations

import socket
import stat
from collections import Counter
from pathlib import Path

import pytest
from api_serving import FakeCore, Rig, serving

from bootstrapd.edge.api import ApiServer
from bootstrapd.errors import EdgeError


async def test_the_socket_is_for_its_group_only_and_goes_at_the_end(tmp_path: Path) -> None:
    async with serving(tmp_path, FakeCore()) as rig:
        assert stat.S_IMODE(rig.path.stat().st_mode) == 0o660
        assert stat.S_IMODE(rig.path.parent.stat().st_mode) == 0o750
    assert not rig.path.exists()


async def test_a_live_daemon_keeps_its_socket(rig: Rig) -> None:
    with pytest.raises(EdgeError, match="already running"):
        await ApiServer(rig.path, FakeCore(), Counter()).start()
    assert (await rig.ask("GET", "/v1/status"))[0] == 200


async def test_a_dead_daemons_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "run" / "api.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with serving(tmp_path, FakeCore()) as rig:
        assert (await rig.ask("GET", "/v1/status"))[0] == 200


async def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    path.write_text("mine")
    with pytest.raises(EdgeError, match="is no socket"):
        await ApiServer(path, FakeCore(), Counter()).start()
    assert path.read_text() == "mine"


@pytest.mark.parametrize("folder", ["x" * 120, "file/below"])
async def test_a_socket_that_cannot_be_made_is_said(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgeError, match="cannot open the operator's socket"):
        await ApiServer(tmp_path / folder / "api.sock", FakeCore(), Counter()).start()
