"""A machine with Secure Boot on refuses the unsigned iPXE, and the appliance says what that looks like."""

from pathlib import Path

import pytest
from rack import Rack
from story import BOOT_S, MAC, serve

pytestmark = pytest.mark.vm


def test_secure_boot_is_explained(rack: Rack, image: Path) -> None:
    rack.site()
    serve(rack, image)
    machine = rack.machine("worker", "ovmf-secureboot", MAC)
    machine.start()
    machine.wait_for_console("(?i)(failed to load|access denied|security violation)", BOOT_S)
    # Its next boot option fetches the program again, over HTTP: two fetches and no script.
    rack.wire.wait_for("HTTP GET /nbp/", BOOT_S, MAC)
    machine.wait_for_console("(?i)failed to load .*HTTPv4", BOOT_S)
    seen = rack.appliance.machine(MAC)
    assert seen is not None
    assert not rack.wire.seen("HTTP GET /boot", MAC)
    assert "Secure Boot" in " ".join([seen["why"], *(notice["reason"] for notice in seen["notices"])])
