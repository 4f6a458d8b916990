"""What the stories share: an appliance that serves, and how a machine that booted and registered looks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import disk
from rack import Machine, Rack, told
from rack.network import APPLIANCE

HOST: Final = "cim-worker-1"
MAC: Final = "52:54:00:aa:bb:01"
MAC2: Final = "52:54:00:aa:bb:02"
URL: Final = f"http://{APPLIANCE}"
IMAGE: Final = "installer"
SHARE_S: Final = 0.3  # how much of a boot may be waiting for the appliance
BOOT_S: Final = 180.0
NO_WAY: Final = r"TEST IMAGE: (not )?registered|Kernel panic|No bootable device|bootstrapd: \S+ waits"


def serve(rack: Rack, image: Path, host: str = HOST, *macs: str) -> None:
    """The appliance with the test image and one host, serving. The site's DHCP is the story's to start."""
    rack.appliance.run("images", "add", IMAGE, str(image))
    rack.appliance.enrol(host, *(macs or (MAC,)))
    rack.appliance.start()


def small_disk(rack: Rack, name: str = "disk") -> Path:
    """A disk that says so when it boots."""
    return disk.make(rack.run_folder / f"{name}.img")


def registers(rack: Rack, machine: Machine, host: str = HOST) -> Mapping[str, Any]:
    """Wait until the machine says it is registered, then ask the appliance: what it knows of the machine."""
    machine.wait_for_console(f"bootstrapd: registered with {URL} as {host}$", BOOT_S, unless=NO_WAY)
    seen = rack.appliance.machine(machine.mac)
    assert seen is not None, f"{machine.mac} registered and is not listed"
    assert (seen["host"], seen["state"]) == (host, "live")
    rack.note(f"{machine.label}: {told(machine, rack.wire)}")
    return seen


def is_this_machine(seen: Mapping[str, Any], machine: Machine) -> None:
    """What was registered is what QEMU was told to be."""
    hardware = seen["hardware"]
    assert seen["uuid"] == str(machine.uuid)
    assert (hardware["vendor"], hardware["product"], hardware["serial"]) == ("Rack", "Virtual", machine.serial)
    assert {nic["mac"]: nic["driver"] for nic in hardware["nics"]} == dict.fromkeys(machine.macs, "virtio_net")
    assert hardware["memory_bytes"] > 256 << 20
    assert (hardware["arch"], hardware["cpu_threads"]) == ("x86_64", 1)


def share_is_small(rack: Rack) -> None:
    """End the capture and measure how long machines waited for the appliance in it."""
    share = rack.share()
    rack.note(f"the appliance's own share: {share}")
    assert share.by_door, f"no answer of the appliance in {rack.wire.file}"
    assert share.seconds <= SHARE_S, share
