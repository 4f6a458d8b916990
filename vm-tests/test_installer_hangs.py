"""A step of the install says nothing any more: it is ended after the stall limit, and a retry goes well."""

from pathlib import Path

import pytest
from install_story import becomes, change_host, events, machine, serve_installs, why
from rack import Rack
from story import HOST

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("standins")]
LABEL = '[labels]\nstandin = "hangs"'
STALL_S = 90  # an emulated machine on a busy one is slow to say something, too


def test_installer_hangs(rack: Rack, image: Path) -> None:
    rack.site()
    rack.appliance.config = f"[install]\nstall_s = {STALL_S}\n"
    serve_installs(rack, image, host=LABEL)
    worker = machine(rack)
    worker.start()
    becomes(rack, "failed", unless="(ready|rebooting)")
    (failed,) = events(rack, "Failed")
    assert failed["stage"] == "install"
    assert f"{STALL_S} seconds" in failed["cause"]
    assert failed["cause"] in why(rack)
    change_host(rack, LABEL, "")
    rack.appliance.run("hosts", "retry", HOST)
    becomes(rack, "ready", unless="(drifted|rejected)")
