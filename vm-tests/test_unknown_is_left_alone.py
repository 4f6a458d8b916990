"""A machine that nobody enrolled is recorded, answered by nobody but its site, and boots its own disk."""

from pathlib import Path

import pytest
from rack import Rack
from story import MAC2, serve, small_disk

pytestmark = pytest.mark.vm


@pytest.mark.parametrize("kind", ["bios-ipxe", "ovmf-pxe"])
def test_unknown_is_left_alone(rack: Rack, image: Path, kind: str) -> None:
    rack.site()
    serve(rack, image)
    stranger = rack.machine("stranger", kind, MAC2, disks=[small_disk(rack)])
    stranger.start()
    line = stranger.wait_for_console("LOCAL DISK BOOTED", 240)
    rack.note(f"{stranger.label}: on its own disk {line.at - stranger.started_at:.1f} s after power-on")
    assert not rack.wire.seen(r"from 10\.77\.0\.2", MAC2)
    assert not rack.wire.seen("TFTP|HTTP (GET|HEAD|POST)", MAC2)
    assert not stranger.console.find("bootstrapd")
    seen = rack.appliance.machine(MAC2)
    assert seen is not None
    assert (seen["state"], seen["host"]) == ("seen", "")
    assert "bootstrapd hosts add" in seen["why"]
