"""The site's own DHCP server answers late, or not at all for a while: the boot waits for it and goes on."""

from pathlib import Path

import pytest
from rack import Rack
from story import MAC, registers, serve, share_is_small

pytestmark = pytest.mark.vm


@pytest.mark.parametrize("kind", ["bios-ipxe", "ovmf-pxe"])
def test_slow(rack: Rack, image: Path, kind: str) -> None:
    """Four seconds for each answer: longer than iPXE waits for a proxy, longer than edk2's first window."""
    rack.site(delay_s=4)
    serve(rack, image)
    machine = rack.machine("worker", kind, MAC)
    machine.start()
    registers(rack, machine)
    share_is_small(rack)


@pytest.mark.parametrize("kind", ["bios-ipxe", "ovmf-pxe"])
def test_silent_at_first(rack: Rack, image: Path, kind: str) -> None:
    """No DHCP server at all until the firmware has asked three times; the appliance alone gives no address."""
    serve(rack, image)
    machine = rack.machine("worker", kind, MAC)
    machine.start()
    rack.wire.wait_for("^DHCP DISCOVER", 60, MAC, count=3)
    assert not rack.wire.seen("^DHCP REQUEST", MAC)
    rack.site()
    registers(rack, machine)
    share_is_small(rack)
