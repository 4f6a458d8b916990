"""Somebody else on the wire says that it is the machine: refused, and nothing changes."""

import json
import subprocess
from pathlib import Path

import pytest
from install_story import becomes, empty_disk, events, is_untouched, machine, serve_installs, state
from rack import Rack
from rack.process import inside
from story import MAC, URL

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("standins")]
HARDWARE = {"nics": [{"name": "eth0", "mac": MAC}], "memory_bytes": 1 << 36}


def post(rack: Rack, token: str) -> str:
    """The status with which the appliance answers this registration, sent from the site's server."""
    body = json.dumps({"token": token, "boot_mac": MAC, "hardware": HARDWARE, "host_key": ""})
    argv = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", body, f"{URL}/v1/register"]
    return subprocess.run(
        inside(rack.network.site, argv), capture_output=True, text=True, timeout=30, check=True
    ).stdout


def test_spoofed_registration(rack: Rack, image: Path) -> None:
    rack.site()
    serve_installs(rack, image)
    disk = empty_disk(rack)
    worker = machine(rack, "bios-ipxe", MAC, disk)
    worker.start()
    overlay = rack.wire.wait_for(r"HTTP GET /overlay/\w+\.cpio", 120, MAC)
    path = overlay.what.removeprefix("HTTP GET ")
    argv = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"{URL}{path}"]
    stolen = subprocess.run(
        inside(rack.network.site, argv), capture_output=True, text=True, timeout=30, check=True
    )
    assert stolen.stdout == "404", "the overlay is for the address that was given the script"
    assert post(rack, "not-a-token").startswith("4")
    assert state(rack) == "netbooting"
    assert is_untouched(disk)
    # The machine itself is not kept from anything by that.
    becomes(rack, "ready", unless="(failed|drifted|rejected)")
    assert len(events(rack, "Registered")) == 1
