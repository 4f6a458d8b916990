"""Where the chosen disks are written for the build: nothing that lies in the way is written through."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bootstrapd.edge import staging
from bootstrapd.model import ChosenDisk

TWICE = """
import sys
from pathlib import Path
from bootstrapd.edge import staging
from bootstrapd.model import ChosenDisk
disk = ChosenDisk(role="main", path="/dev/disk/by-id/virtio-S1", size_bytes=10**12)
hosts, stage = map(Path, sys.argv[1:])
print(*{staging.place(hosts, "cim-1", [disk], stage) for _ in range(2)})
"""
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


def test_a_read_only_folder_is_copied_again_and_again(tmp_path: Path) -> None:
    """As a store path is: no folder of it is writable, and an install may be tried four times."""
    hosts = tmp_path / "hosts"
    (hosts / "cim-1").mkdir(parents=True)
    (hosts / "cim-1/host.toml").write_text('profile = "minimal"')
    (hosts / "profiles").mkdir()
    (hosts / "profiles/run").write_text("#!/bin/sh")
    (hosts / "profiles/run").chmod(0o555)
    (hosts / "flake.nix").symlink_to("profiles/run")
    for folder, _, _ in os.walk(hosts):
        Path(folder).chmod(0o2555)
    # Root may write everywhere, unless it has lost its capabilities; the service is not root.
    powerless = ("setpriv", "--bounding-set=-all") if os.geteuid() == 0 else ()
    command = (*powerless, sys.executable, "-c", TWICE, str(hosts), str(tmp_path / "staging"))
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    copy = tmp_path / "staging/cim-1"
    assert (ran.stdout.strip(), ran.stderr) == (str(copy), "")
    assert json.loads((copy / "cim-1/disks.json").read_text()) == {"main": DISK.path}
    assert str((copy / "flake.nix").readlink()) == "profiles/run"
    assert os.access(copy / "profiles/run", os.X_OK)
    assert not os.access(copy / "cim-1/host.toml", os.X_OK)
