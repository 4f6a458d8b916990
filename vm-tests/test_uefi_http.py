"""A UEFI machine boots over HTTP, without PXE or TFTP, and registers."""

from pathlib import Path

import pytest
from rack import Rack
from story import MAC, is_this_machine, registers, serve, share_is_small

pytestmark = [pytest.mark.vm, pytest.mark.firmware]


def test_uefi_http(rack: Rack, image: Path) -> None:
    rack.site()
    serve(rack, image)
    machine = rack.machine("worker", "ovmf-http", MAC)
    machine.start()
    seen = registers(rack, machine)
    is_this_machine(seen, machine)
    # H6: a HEAD for the size, then the file.
    asked = [sighting.what for sighting in rack.wire.seen("HTTP (HEAD|GET) /nbp/", MAC)]
    assert asked[:2] == [f"HTTP {verb} /nbp/52-54-00-aa-bb-01/snponly.efi" for verb in ("HEAD", "GET")]
    assert not rack.wire.seen(r"TFTP RRQ .*\.efi", MAC)
    assert not rack.wire.seen("^4011", MAC), "H5: no 4011 phase"
    share_is_small(rack)
