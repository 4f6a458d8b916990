"""Five reboots with the network first in the boot order: one install, and each time the machine's own disk."""

from pathlib import Path

import pytest
from install_story import BOOT_S, UP, becomes_ready, is_installed_once, machine, serve_installs
from rack import Rack
from story import MAC

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("standins")]
REBOOTS = 5


def test_reboots_never_reinstall(rack: Rack, image: Path) -> None:
    rack.site()
    serve_installs(rack, image)
    worker = machine(rack)
    worker.start()
    becomes_ready(rack)
    for boots in range(1, REBOOTS + 1):
        worker.wait_for_console(UP, BOOT_S, count=boots)
        worker.reset()
    worker.wait_for_console(UP, BOOT_S, count=REBOOTS + 1)
    is_installed_once(rack)
    assert len(rack.wire.seen("HTTP GET /images/.*/vmlinuz", MAC)) == 1
    assert len(rack.wire.seen("HTTP GET /boot/", MAC)) == REBOOTS + 2
