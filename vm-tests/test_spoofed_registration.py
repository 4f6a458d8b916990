"""Somebody else on the wire says that it is the machine, with a token made up or overheard: refused."""

import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from install_story import (
    becomes,
    empty_disk,
    events,
    is_installed_once,
    is_untouched,
    machine,
    serve_installs,
    starts_phase,
    state,
)
from rack import Rack
from rack.process import inside
from story import MAC, URL

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("standins")]
HARDWARE = {"nics": [{"name": "eth0", "mac": MAC}], "memory_bytes": 1 << 36}


def status(rack: Rack, *words: str) -> str:
    """What the appliance's HTTP door answers to the site's server."""
    argv = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *words]
    return subprocess.run(
        inside(rack.network.site, argv), capture_output=True, text=True, timeout=30, check=True
    ).stdout


def registering(rack: Rack, token: str) -> str:
    body = json.dumps({"token": token, "boot_mac": MAC, "hardware": HARDWARE, "host_key": ""})
    return status(rack, "--data-binary", body, f"{URL}/v1/register")


def overheard(rack: Rack) -> str:
    """The machine's own token, which crosses the wire for all to read; the journal has it too."""
    events(rack, "ScriptSent")  # what it has told is on disk
    with closing(sqlite3.connect(f"file:{rack.appliance.state}/journal.db?mode=ro", uri=True)) as journal:
        told = [json.loads(body) for (body,) in journal.execute("SELECT body FROM events ORDER BY seq")]
    return str([event for event in told if event["event"] == "TokenIssued"][-1]["secret"])


def test_spoofed_registration(rack: Rack, image: Path) -> None:
    rack.site()
    serve_installs(rack, image)
    disk = empty_disk(rack)
    worker = machine(rack, "bios-ipxe", MAC, disk)
    worker.start()
    overlay = rack.wire.wait_for(r"HTTP GET /overlay/\w+\.cpio", 120, MAC).what.removeprefix("HTTP GET ")
    assert status(rack, URL + overlay) == "404", "the overlay is for the address that was given the script"
    token = overheard(rack)
    assert registering(rack, "not-a-token") == "403"
    assert registering(rack, token) == "403"
    assert state(rack) == "netbooting"
    assert is_untouched(disk)
    # The machine itself is not kept from anything by that, nor by who tries again while it is installed.
    starts_phase(rack, "install")
    assert registering(rack, token) == "403"
    becomes(rack, "ready", unless="(failed|drifted|rejected)")
    is_installed_once(rack)
    assert len(events(rack, "Registered")) == 1
    assert [event["code"] for event in events(rack, "Refused")] == ["WRONG_ADDRESS", "TOKEN_SPENT"]
