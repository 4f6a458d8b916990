"""Two disks fit: which one to erase is never guessed. The owner names one, and the other is not touched.

It is the first one that the owner names: a BIOS boots no other.
"""

from pathlib import Path

import pytest
from install_story import becomes, empty_disk, events, is_untouched, machine, serve_installs
from rack import Rack
from story import HOST, MAC

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("standins")]


def test_ambiguous_disk_is_rejected(rack: Rack, image: Path) -> None:
    rack.site()
    serve_installs(rack, image)
    disks = [empty_disk(rack, serial) for serial in ("FIRST", "SECOND")]
    worker = machine(rack, "bios-ipxe", MAC, *disks)
    worker.start()
    becomes(rack, "rejected", unless="claimed")
    (rejected,) = events(rack, "Rejected")
    reasons = " ".join(rejected["reasons"])
    assert "FIRST" in reasons
    assert "SECOND" in reasons
    assert all(is_untouched(disk) for disk in disks)
    with (rack.appliance.state / "hosts" / HOST / "host.toml").open("a") as file:
        file.write('\n[disk.main]\nserial = "FIRST"\n')
    becomes(rack, "ready", unless="(failed|drifted)")
    assert not is_untouched(disks[0])
    assert is_untouched(disks[1])
    (erased,) = events(rack, "EraseStarted")
    assert [disk["serial"] for disk in erased["disks"]] == ["FIRST"]
