"""From power-on to ready, by BIOS: registered, judged, claimed, installed, booted by its own loader."""

from pathlib import Path

import pytest
from install_story import BOOT_S, UP, becomes_ready, events, is_installed_once, machine, serve_installs
from rack import Rack
from story import HOST, MAC, URL

pytestmark = [pytest.mark.vm, pytest.mark.firmware, pytest.mark.usefixtures("standins")]


def test_install_bios(rack: Rack, image: Path) -> None:
    rack.site()
    serve_installs(rack, image)
    worker = machine(rack)
    worker.start()
    becomes_ready(rack)
    rack.note(
        f"BIOS: ready {rack.appliance.wait_for_log('ready', 1).at - worker.started_at:.0f} s after power-on"
    )
    worker.wait_for_console(UP, BOOT_S)
    worker.wait_for_console("STAND-IN SYSTEM: its report ended with 0", BOOT_S)
    is_installed_once(rack)
    (installed,) = events(rack, "Installed")
    (reported,) = events(rack, "Reported")
    assert installed["closure"] == reported["closure"]
    assert worker.console.find(f"STAND-IN SYSTEM: {reported['closure']} is up")
    assert worker.console.find(f"bootstrapd: registered with {URL} as {HOST}$")
    assert worker.console.find("GRUB loading")
    assert len(rack.wire.seen("HTTP GET /images/.*/vmlinuz", MAC)) == 1
