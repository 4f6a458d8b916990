"""nixos-anywhere ends with 0 and "Done!", and there is no boot loader: no reboot into nothing."""

from pathlib import Path

import pytest
from install_story import becomes, events, machine, serve_installs, why
from rack import Rack

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("standins")]


@pytest.mark.parametrize("fault", ["no loader", "loader fails"])
def test_loader_missing_after_success(rack: Rack, image: Path, fault: str) -> None:
    rack.site()
    serve_installs(rack, image, host=f'[labels]\nstandin = "{fault}"')
    worker = machine(rack)
    worker.start()
    becomes(rack, "failed", unless="(ready|rebooting)")
    (failed,) = events(rack, "Failed")
    assert failed["stage"] in {"install", "verify"}
    assert "loader" in failed["cause"]
    assert "loader" in why(rack)
    assert not events(rack, "Installed")
    assert not worker.console.find("reboot: Restarting system")
