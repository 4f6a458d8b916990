"""A host marked ready boots its own disk, with the network first in its boot order (rules P19 and I15)."""

from collections.abc import Sequence
from pathlib import Path

import disk
import pytest
from image import debs
from image.kernel import kernel
from rack import Rack, told
from rack.appliance import ROOT
from story import HOST, MAC, serve, share_is_small, small_disk

pytestmark = pytest.mark.vm
CACHE = ROOT / "build" / "cache"
SYSTEMD_BOOT = "usr/lib/systemd/boot/efi/systemd-bootx64.efi"


@pytest.mark.parametrize(
    ("kind", "message"), [("bios-ipxe", "BIOS"), ("ovmf-pxe", "UEFI"), ("ovmf-http", "UEFI")]
)
def test_local_disk_is_next(rack: Rack, image: Path, kind: str, message: str) -> None:
    ready_boots(rack, image, kind, [small_disk(rack)], rf"LOCAL DISK BOOTED \({message}\)")


@pytest.mark.parametrize(("kind", "message"), [("bios-ipxe", "BIOS"), ("ovmf-pxe", "UEFI")])
def test_the_disk_to_boot_is_the_second(rack: Rack, image: Path, kind: str, message: str) -> None:
    empty = rack.run_folder / "empty.img"
    empty.write_bytes(bytes(1 << 20))
    ready_boots(rack, image, kind, [empty, small_disk(rack)], rf"LOCAL DISK BOOTED \({message}\)")


def test_systemd_boot_finds_its_system(rack: Rack, image: Path) -> None:
    """It looks on the volume it came from: iPXE since March 2024 tells it, else the firmware starts it."""
    loader = debs.tree(CACHE, "systemd-boot", ("systemd-boot-efi",), ()).root / SYSTEMD_BOOT
    system = kernel(CACHE).image.read_bytes()
    own = disk.with_systemd_boot(rack.run_folder / "disk.img", loader.read_bytes(), system)
    ready_boots(rack, image, "ovmf-pxe", [own], "Linux version", unless="Reboot Into Firmware Interface")


def ready_boots(
    rack: Rack, image: Path, kind: str, disks: Sequence[Path], message: str, unless: str = ""
) -> None:
    """The machine is met once, adopted as ready, and says `message` at its next boot."""
    rack.site()
    serve(rack, image)
    machine = rack.machine("worker", kind, MAC, disks=disks)
    machine.start()
    rack.wire.wait_for("^DHCP DISCOVER", 60, MAC)
    machine.stop()
    rack.appliance.run("machines", "adopt", MAC, "--host", HOST, "--ready")

    machine.start()
    machine.wait_for_console(message, 120, unless)
    rack.note(f"{machine.label}: {told(machine, rack.wire)}")
    seen = rack.appliance.machine(MAC)
    assert seen is not None
    assert (seen["state"], seen["host"]) == ("ready", HOST)
    assert not rack.wire.seen("HTTP GET /images/", MAC)
    share_is_small(rack)
