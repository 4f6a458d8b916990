"""A BIOS machine whose network card has iPXE in its ROM boots its image and registers."""

from pathlib import Path

import pytest
from rack import Rack
from story import MAC, is_this_machine, registers, serve, share_is_small, small_disk

pytestmark = [pytest.mark.vm, pytest.mark.firmware]


def test_bios_ipxe_rom(rack: Rack, image: Path) -> None:
    rack.site()
    serve(rack, image)
    machine = rack.machine("worker", "bios-ipxe", MAC, disks=[small_disk(rack)])
    machine.start()
    seen = registers(rack, machine)
    is_this_machine(seen, machine)
    hardware = seen["hardware"]
    assert (hardware["firmware"], hardware["secure_boot"]) == ("bios", False)
    (disk,) = hardware["disks"]
    assert (disk["serial"], disk["type"], disk["size_bytes"]) == ("rack-disk-0", "virtual", 64 << 20)
    assert disk["filesystems"] == ["vfat"]
    # P20, I3: this iPXE can run our script, so it is sent no other.
    assert not rack.wire.seen("TFTP RRQ", MAC)
    share_is_small(rack)
