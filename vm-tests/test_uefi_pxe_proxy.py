"""A UEFI machine boots over edk2's own PXE, beside the site's DHCP server, and registers."""

from pathlib import Path

import pytest
from rack import Rack
from story import MAC, is_this_machine, registers, serve, share_is_small, small_disk

pytestmark = [pytest.mark.vm, pytest.mark.firmware]


def test_uefi_pxe_proxy(rack: Rack, image: Path) -> None:
    rack.site()
    serve(rack, image)
    machine = rack.machine("worker", "ovmf-pxe", MAC, disks=[small_disk(rack)])
    machine.start()
    seen = registers(rack, machine)
    is_this_machine(seen, machine)
    assert (seen["hardware"]["firmware"], seen["hardware"]["secure_boot"]) == ("uefi", False)
    assert rack.wire.seen(r"4011 ACK from 10\.77\.0\.2", MAC), "P3: edk2 asks 4011, and the appliance answers"
    assert rack.wire.seen(r"TFTP RRQ nbp/52-54-00-aa-bb-01/snponly\.efi", MAC)
    share_is_small(rack)
