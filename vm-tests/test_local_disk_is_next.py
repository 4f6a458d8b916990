"""A host marked ready boots its own disk, with the network first in its boot order (rules P19 and I15)."""

from pathlib import Path

import pytest
from rack import Rack, told
from story import HOST, MAC, serve, share_is_small, small_disk

pytestmark = pytest.mark.vm


@pytest.mark.parametrize(
    ("kind", "message"), [("bios-ipxe", "BIOS"), ("ovmf-pxe", "UEFI"), ("ovmf-http", "UEFI")]
)
def test_local_disk_is_next(rack: Rack, image: Path, kind: str, message: str) -> None:
    rack.site()
    serve(rack, image)
    machine = rack.machine("worker", kind, MAC, disks=[small_disk(rack)])
    machine.start()
    rack.wire.wait_for("^DHCP DISCOVER", 60, MAC)
    machine.stop()
    rack.appliance.run("machines", "adopt", MAC, "--host", HOST, "--ready")

    machine.start()
    machine.wait_for_console(rf"LOCAL DISK BOOTED \({message}\)", 120)
    rack.note(f"{machine.label}: {told(machine, rack.wire)}")
    seen = rack.appliance.machine(MAC)
    assert seen is not None
    assert (seen["state"], seen["host"]) == ("ready", HOST)
    assert not rack.wire.seen("HTTP GET /images/", MAC)
    share_is_small(rack)
