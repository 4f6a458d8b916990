"""What the tests of installs share: a job, its disk, and the recorded runs of the real nixos-anywhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from bootstrapd.model import ChosenDisk
from bootstrapd.policy.install import Built, Job

GOLDEN: Final = Path(__file__).parent / "golden" / "install"
DISK: Final = ChosenDisk(
    role="main", path="/dev/disk/by-id/virtio-ABC", size_bytes=6442450944, name="vda", serial="ABC"
)
BUILT: Final = Built(
    closure="/nix/store/r6rmb5l57fp1ha6p97rydbf8nsxz62hq-nixos-system-node1-25.05pre-standin",
    disko="/nix/store/006k6jxrxszqivcbfnqq9gp68kzsi26g-disko",
)
_LINE: Final = re.compile(r" *\d+\.\d [OE] (.*)")


def job(**changes: Any) -> Job:
    values: dict[str, Any] = {
        "run": "0192f0c0-0000-7000-8000-000000000001",
        "host": "node1",
        "address": "10.77.0.10",
        "host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH",
        "firmware": "uefi",
        "disks": (DISK,),
        "flake": "/var/lib/bootstrapd/hosts",
        "key_file": "/var/lib/bootstrapd/keys/deploy",
        "server": "http://10.77.0.1",
        "report_token": "s3cr3t-report-token",
    }
    return Job(**(values | changes))


def transcript(name: str) -> tuple[list[str], int]:
    """The lines of a recorded run in the order of writing, its exit code (143: the two that were killed)."""
    lines, code = [], 143
    for line in (GOLDEN / name).read_text().splitlines():
        if line.startswith("EXIT "):
            code = int(line[5:])
        else:
            found = _LINE.fullmatch(line)
            lines.append(found[1] if found else line)
    return lines, code
