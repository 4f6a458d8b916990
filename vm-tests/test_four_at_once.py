"""Four machines in one go, two switched on at a time: all ready, each by its own disk, none installed twice."""

from pathlib import Path

import pytest
from install_story import INSTALL_S, becomes_ready, empty_disk, is_installed_once, machine, serve_installs
from rack import Rack

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("standins")]
HOSTS = {f"cim-worker-{number}": f"52:54:00:aa:bb:0{number}" for number in range(1, 5)}


def test_four_at_once(rack: Rack, image: Path) -> None:
    rack.site()
    serve_installs(rack, image, HOSTS)
    workers = {
        host: machine(rack, "bios-ipxe", mac, empty_disk(rack, f"DISK-{host[-1]}"), name=host)
        for host, mac in HOSTS.items()
    }
    for pair in (tuple(HOSTS)[:2], tuple(HOSTS)[2:]):  # an emulated machine needs a processor
        for host in pair:
            workers[host].start()
        for host in pair:
            becomes_ready(rack, 2 * INSTALL_S, host)
        for host in pair:
            workers[host].stop()
    for host in HOSTS:
        is_installed_once(rack, host)
