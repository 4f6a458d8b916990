"""From power-on to ready, by UEFI PXE, which stays first: iPXE starts the loader on the disk (rule I15)."""

from pathlib import Path

import pytest
from install_story import BOOT_S, UP, becomes_ready, is_installed_once, machine, serve_installs
from rack import Rack
from story import MAC

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("standins")]


def test_install_uefi(rack: Rack, image: Path) -> None:
    rack.site()
    serve_installs(rack, image)
    worker = machine(rack, "ovmf-pxe")
    worker.start()
    becomes_ready(rack)
    rack.note(
        f"UEFI: ready {rack.appliance.wait_for_log('ready', 1).at - worker.started_at:.0f} s after power-on"
    )
    worker.wait_for_console(UP, BOOT_S)
    is_installed_once(rack)
    assert worker.console.find(r"file://ESP/EFI/BOOT/BOOTX64\.EFI\.\.\. ok")
    assert len(rack.wire.seen("HTTP GET /images/.*/vmlinuz", MAC)) == 1
