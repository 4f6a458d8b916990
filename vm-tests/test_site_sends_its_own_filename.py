"""The site's DHCP server names a boot file too. Ours wins (rule I6); where it cannot, a person is told."""

from pathlib import Path

import pytest
from rack import Rack
from rack.network import APPLIANCE, SITE
from rack.site import names_a_boot_file
from story import MAC, registers, serve, share_is_small

pytestmark = pytest.mark.vm


@pytest.mark.parametrize("kind", ["bios-ipxe", "ovmf-pxe"])
def test_a_file_name_alone_does_no_harm(rack: Rack, image: Path, kind: str) -> None:
    rack.site(*names_a_boot_file("pxelinux.0"))
    serve(rack, image)
    machine = rack.machine("worker", kind, MAC)
    machine.start()
    registers(rack, machine)
    assert not rack.wire.seen("pxelinux", MAC)
    share_is_small(rack)


@pytest.mark.parametrize("kind", ["bios-ipxe", "ovmf-pxe"])
def test_with_option_60_the_site_wins_and_it_is_said(rack: Rack, image: Path, kind: str) -> None:
    """FIRMWARE 4, row 29: the machine asks the site's server and never us.

    UEFI asks for answers by broadcast, so the site's is overheard. iPXE's ROM is answered alone: that it
    follows another server shows only when its script is not asked for. And it takes whoever is heard first:
    ours, on a machine where that is us, and then it simply boots.
    """
    rack.site(*names_a_boot_file("pxelinux.0", also_vendor_class=True))
    serve(rack, image)
    machine = rack.machine("worker", kind, MAC)
    machine.start()
    said = rack.appliance.wait_for_log('SITE_FILENAME_WINS|"state": "live"', 120)
    if "SITE_FILENAME_WINS" not in said.text:
        ours, site = (rack.wire.seen(f"^DHCP OFFER from {server}$", MAC)[0].at for server in (APPLIANCE, SITE))
        assert kind == "bios-ipxe"
        assert ours < site, "the site was heard first, and what it wins is not said"
        rack.note("this appliance's offer came before the site's: the machine booted by it")
        return
    rack.wire.wait_for("TFTP RRQ pxelinux.0" if kind == "bios-ipxe" else "4011 REQUEST", 60, MAC)
    seen = rack.appliance.machine(MAC)
    assert seen is not None
    (notice,) = seen["notices"]
    assert notice["code"] == "SITE_FILENAME_WINS"
    assert SITE in notice["reason"]
    assert "remove option 60" in notice["reason"]
