"""What answers over SSH shows another key than the machine that registered: nothing is sent or erased."""

from pathlib import Path

import pytest
from install_story import becomes, empty_disk, events, is_untouched, machine, serve_installs, why
from rack import Rack
from story import MAC

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("standins")]


def test_wrong_host_key_stops(rack: Rack, image: Path) -> None:
    rack.site()
    serve_installs(rack, image, profile='kernel_params = ["rack.fault=another-host-key"]\n')
    disk = empty_disk(rack)
    worker = machine(rack, "bios-ipxe", MAC, disk)
    worker.start()
    becomes(rack, "failed")
    assert "another SSH host key" in why(rack)
    assert is_untouched(disk)
    assert not events(rack, "EraseStarted")
