"""How long the same boot takes served by bootstrapd, and by dnsmasq and nginx: printed, not judged."""

from pathlib import Path

import pytest
from rack import Rack, told
from story import BOOT_S, MAC, registers, serve, share_is_small

pytestmark = pytest.mark.vm

# dnsmasq's proxy mode answers no UEFI HTTP boot.
KINDS = ["bios-ipxe", "ovmf-pxe"]


@pytest.mark.parametrize("kind", KINDS)
def test_ours(rack: Rack, image: Path, kind: str) -> None:
    rack.site()
    serve(rack, image)
    machine = rack.machine("worker", kind, MAC)
    machine.start()
    registers(rack, machine)
    share_is_small(rack)


@pytest.mark.parametrize("kind", KINDS)
def test_theirs(rack: Rack, image: Path, kind: str) -> None:
    rack.site()
    rack.peer(image)
    machine = rack.machine("worker", kind, MAC)
    machine.start()
    machine.wait_for_console("TEST IMAGE: registered", BOOT_S)
    rack.note(f"{machine.label}: {told(machine, rack.wire)}")
