"""The appliance loses power while a machine boots, comes back, and the machine notices nothing but a wait."""

from pathlib import Path

import pytest
from rack import Machine, Rack
from story import BOOT_S, MAC, registers, serve, share_is_small

pytestmark = pytest.mark.vm


def restart(rack: Rack, machine: Machine) -> None:
    rack.appliance.crash()
    rack.appliance.start()
    rack.note(f"{machine.label}: serving again {rack.appliance.started_in_s:.2f} s after the crash")


def test_after_the_boot_program(rack: Rack, image: Path) -> None:
    """Its boot program runs, its script is still to come."""
    rack.site()
    serve(rack, image)
    machine = rack.machine("worker", "ovmf-pxe", MAC)
    machine.start()
    machine.wait_for_console("NBP file downloaded successfully", BOOT_S)
    restart(rack, machine)
    registers(rack, machine)
    share_is_small(rack)


def test_after_the_image(rack: Rack, image: Path) -> None:
    """The live system is up with a token from before the crash: it must still be worth something."""
    rack.site()
    serve(rack, image)
    machine = rack.machine("worker", "bios-ipxe", MAC)
    machine.start()
    machine.wait_for_console("TEST IMAGE: Linux", BOOT_S)
    restart(rack, machine)
    registers(rack, machine)
    share_is_small(rack)
