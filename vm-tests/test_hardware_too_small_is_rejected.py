"""A machine that is less than its profile wants is told every reason at once, and keeps its disk."""

from pathlib import Path

import pytest
from install_story import becomes, empty_disk, events, is_untouched, machine, serve_installs, why
from rack import Rack
from story import MAC

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("standins")]
WANTS = """
[requires]
cpu.threads = 32
memory = "64G"
[[requires.disk]]
size = "1T"
"""


def test_hardware_too_small_is_rejected(rack: Rack, image: Path) -> None:
    rack.site()
    serve_installs(rack, image, profile=WANTS)
    disk = empty_disk(rack)
    worker = machine(rack, "bios-ipxe", MAC, disk)
    worker.start()
    becomes(rack, "rejected", unless="claimed")
    (rejected,) = events(rack, "Rejected")
    reasons = " ".join(rejected["reasons"])
    for word in ("32", "64 GB", "1 TB"):
        assert word in reasons, reasons
    assert len(rejected["reasons"]) == 3
    assert rejected["reasons"][0] in why(rack)
    assert is_untouched(disk)
