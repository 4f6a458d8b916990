"""Where the chosen disks are written for the build: nothing that lies in the way is written through."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bootstrapd.edge import staging
from bootstrapd.model import ChosenDisk

DISK = ChosenDisk(role="main", path="/dev/disk/by-id/virtio-S1", size_bytes=10**12)


@pytest.mark.parametrize("kind", ["link", "left over"])
def test_what_lies_in_the_way_is_replaced_and_not_written_through(tmp_path: Path, kind: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("kept")
    folder = tmp_path / "hosts" / "cim-1"
    folder.mkdir(parents=True)
    if kind == "link":
        (folder / ".disks.json.new").symlink_to(precious)
    else:
        (folder / ".disks.json.new").write_text("half of")
    assert staging.place(folder.parent, "cim-1", [DISK], tmp_path / "staging") == folder.parent
    assert precious.read_text() == "kept"
    assert not (folder / "disks.json").is_symlink()
    assert json.loads((folder / "disks.json").read_text()) == {"main": DISK.path}
