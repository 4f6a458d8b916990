"""What the stories of installs share: an appliance that installs, machines with empty disks, and the checks.

What is installed, and by what, are stand-ins (vm-tests/standin) wherever the real tools cannot serve.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rack import Disk, Machine, Rack
from rack.tools import Tools
from story import HOST, IMAGE, MAC

PROFILE: Final = f'image = "{IMAGE}"\nlayout = "single-disk"\n'
DISK_BYTES: Final = 4 << 30
SERIAL: Final = "RACK0001"
INSTALL_S: Final = (
    900.0  # an emulated machine on a busy one: minutes, and each wait ends with what it waits for
)
BOOT_S: Final = 600.0
UP: Final = r"STAND-IN SYSTEM: \S+ is up"


def serve_installs(
    rack: Rack, image: Path, hosts: Mapping[str, str] | None = None, *, profile: str = "", host: str = ""
) -> None:
    """The appliance with hosts (name: MAC) whose disks it may erase, serving. The site is the story's to start.

    `profile`, `host`: more lines of the profile's and of each host's file.
    """
    rack.appliance.install_with(Tools(rack.run_folder))
    folder = rack.appliance.state / "hosts"
    (folder / "profiles").mkdir(parents=True)
    (folder / "profiles" / "rack.toml").write_text(PROFILE + profile)
    rack.appliance.run("images", "add", IMAGE, str(image))
    for name, mac in (hosts or {HOST: MAC}).items():
        rack.appliance.enrol(name, mac, profile="rack")
        if host:
            with (folder / name / "host.toml").open("a") as file:
                file.write(f"\n{host}\n")
    rack.appliance.start()


def change_host(rack: Rack, old: str, new: str, host: str = HOST) -> None:
    """Edit the host's file, as its owner would."""
    file = rack.appliance.state / "hosts" / host / "host.toml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def empty_disk(rack: Rack, serial: str = SERIAL, size: int = DISK_BYTES) -> Disk:
    """A disk that holds nothing, of a size that nobody pays for before it is written to."""
    path = rack.run_folder / f"{serial}.img"
    with path.open("wb") as file:
        file.truncate(size)
    return Disk(path, serial)


def machine(rack: Rack, kind: str = "bios-ipxe", mac: str = MAC, *disks: Disk, name: str = "worker") -> Machine:
    """A machine that reboots as hardware does, with one empty disk where no others are given. Off."""
    return rack.machine(name, kind, mac, disks=disks or (empty_disk(rack),), reboots=True)


def becomes(
    rack: Rack, state: str, timeout_s: float = INSTALL_S, *, unless: str = "", host: str = HOST
) -> None:
    """Wait until the appliance says that the host is in this state, since the appliance's start."""
    said = rf'"machine": "{host}", .*"state": "{{}}"'
    rack.appliance.wait_for_log(said.format(state), timeout_s, said.format(unless) if unless else "")


def becomes_ready(rack: Rack, timeout_s: float = INSTALL_S, host: str = HOST) -> None:
    becomes(rack, "ready", timeout_s, unless="(failed|drifted|rejected)", host=host)


def starts_phase(rack: Rack, phase: str, timeout_s: float = INSTALL_S, host: str = HOST) -> None:
    """Wait until this phase of the host's first install since the appliance's start is about to begin."""
    number = ("build", "preclean", "disko", "install", "verify").index(phase) + 1
    rack.appliance.wait_for_log(rf'"machine": "{host}".*"PhaseStarted"', timeout_s, count=number)


def events(rack: Rack, name: str, host: str = HOST) -> list[Mapping[str, Any]]:
    """All events of this name, of one host, in order."""
    said = rack.appliance.run("events", "--json", "--since", "1d", "--host", host)
    told = [json.loads(line)["event"] for line in said.splitlines()]
    return [event for event in told if event["event"] == name]


def why(rack: Rack, host: str = HOST) -> str:
    """The appliance's own words."""
    return re.sub(r"\s+", " ", rack.appliance.run("hosts", "why", host))


def is_installed_once(rack: Rack, host: str = HOST) -> None:
    """Ready, and its disks were erased once."""
    assert state(rack, host) == "ready"
    assert len(events(rack, "EraseStarted", host)) == 1
    assert len(events(rack, "Installed", host)) == 1


def state(rack: Rack, host: str = HOST) -> str:
    return next(str(each["state"]) for each in rack.appliance.ask("machines", "list") if each["host"] == host)


def is_untouched(disk: Disk) -> bool:
    """Nothing was ever written to this disk that was made empty."""
    return disk.path.stat().st_blocks == 0
