"""The power goes while the disk is written: the machine boots the network again and is installed anew, once."""

from pathlib import Path

import pytest
from install_story import INSTALL_S, becomes, events, machine, serve_installs, starts_phase, state
from rack import Rack

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("standins")]


def test_power_cut_while_installing(rack: Rack, image: Path) -> None:
    rack.site()
    serve_installs(rack, image)
    worker = machine(rack)
    worker.start()
    starts_phase(rack, "install")
    worker.power_cycle()
    becomes(rack, "ready", 2 * INSTALL_S, unless="(drifted|rejected)")
    assert state(rack) == "ready"
    erased = events(rack, "EraseStarted")
    assert len(erased) == 2
    assert len({event["arm"] for event in erased}) == 1
    (failed,) = events(rack, "Failed")
    assert failed["cause"]
