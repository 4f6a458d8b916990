"""The appliance dies by kill -9 as a phase begins, and comes back: it ends what it left and tries again."""

from pathlib import Path

import pytest
from install_story import INSTALL_S, becomes, events, machine, serve_installs, starts_phase
from rack import Rack

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("standins")]


@pytest.mark.parametrize("phases", [("build", "preclean", "disko"), ("install", "verify")], ids="-".join)
def test_appliance_killed(rack: Rack, image: Path, phases: tuple[str, ...]) -> None:
    """Each kill after the build costs one of an arm's three erases; the last install is the third."""
    rack.site()
    serve_installs(rack, image)
    worker = machine(rack)
    worker.start()
    for phase in phases:
        starts_phase(rack, phase)
        if phase != "verify":  # which is over before anybody can ask
            events(rack, "PhaseStarted")  # what it has told it does not forget
        rack.appliance.crash()
        rack.appliance.start()
    becomes(rack, "ready", 2 * INSTALL_S, unless="(drifted|rejected)")
    assert len(events(rack, "EraseStarted")) == 3
    assert len(events(rack, "Failed")) == len(phases)
    assert len(events(rack, "Installed")) == 1
