"""A machine with two network cards is one machine and one host, whichever card it boots from (rule I8)."""

from pathlib import Path

import pytest
from rack import Rack
from story import HOST, MAC, MAC2, is_this_machine, registers, serve, share_is_small

pytestmark = pytest.mark.vm


def test_two_nics_one_host(rack: Rack, image: Path) -> None:
    rack.site()
    serve(rack, image, HOST, MAC, MAC2)
    machine = rack.machine("worker", "bios-ipxe", MAC, MAC2, boots_from=1)
    machine.start()
    seen = registers(rack, machine)
    is_this_machine(seen, machine)
    assert set(seen["macs"]) == {MAC, MAC2}
    assert len(rack.appliance.ask("machines", "list")) == 1
    share_is_small(rack)
