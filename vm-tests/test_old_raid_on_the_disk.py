"""The chosen disk is half of an old RAID that the live system assembles: taken out of it, alone."""

from pathlib import Path

import pytest
from install_story import BOOT_S, becomes_ready, empty_disk, is_installed_once, machine, serve_installs
from rack import Direct, Rack
from story import MAC

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("standins")]
KEPT = 512  # bytes at the place of the superblock of md's version 1.2, 4 KiB in
MADE = "TEST IMAGE: made an array of .*"


def test_old_raid_on_the_disk(rack: Rack, image: Path) -> None:
    rack.site()
    chosen, other = (empty_disk(rack, serial) for serial in ("CHOSEN", "OTHER"))
    worker = machine(rack, "bios-ipxe", MAC, chosen, other)
    worker.direct = Direct(
        image / "vmlinuz", image / "initrd", "console=ttyS0 no_timer_check quiet rack.fault=make-raid"
    )
    worker.start()
    worker.wait_for_console(MADE, BOOT_S)
    worker.stop()
    worker.direct = None
    superblock = _at(other.path)
    assert superblock[:4] == bytes.fromhex("fc4e2ba9")

    serve_installs(rack, image, host='[disk.main]\nserial = "CHOSEN"')
    worker.start()
    worker.wait_for_console("TEST IMAGE: old array md", BOOT_S)
    becomes_ready(rack)
    is_installed_once(rack)
    assert _at(other.path)[:32] == superblock[:32], "the other disk keeps what makes it a member"


def _at(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(4096)
        return file.read(KEPT)
