"""The rack's cables: three network namespaces around one bridge, gone when the run is over.

rackPID-lan        bridge br0 with a tap for each network card; QEMU and tcpdump run here
rackPID-site       eth0 10.77.0.1, fd77::1: the site's ordinary DHCP server
rackPID-appliance  eth0 10.77.0.2: bootstrapd
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from pyroute2 import NetNS, netns

from rack.process import inside

SITE: Final = "10.77.0.1"
SITE6: Final = "fd77::1"
APPLIANCE: Final = "10.77.0.2"
TAPS: Final = 8
BRIDGE: Final = "br0"
RUN: Final = f"rack{os.getpid()}"  # what everything of this run is called, so that the next can tell leftovers

_NAME: Final = re.compile(r"rack(\d+)-\w+")
_NO_DAD: Final = 0x02  # IFA_F_NODAD: the address serves at once, without asking around for a second first
_OFFLOADS: Final = ("tx", "tso", "gso", "gro", "tx-udp-segmentation")


class Network:
    """Made whole by `__init__`, removed by `close`."""

    def __init__(self) -> None:
        remove_leftovers()
        self.lan = f"{RUN}-lan"
        self.site = f"{RUN}-site"
        self.appliance = f"{RUN}-appliance"
        self.taps = tuple(f"tap{number}" for number in range(TAPS))
        try:
            for name in (self.lan, self.site, self.appliance):
                netns.create(name)
            self._build_bridge()
            self._plug(self.site, "v-site", (SITE, 24), (SITE6, 64))
            self._plug(self.appliance, "v-appliance", (APPLIANCE, 24))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the namespaces, and with them every link in them."""
        for name in (self.lan, self.site, self.appliance):
            if name in netns.listnetns():
                netns.remove(name)

    def _build_bridge(self) -> None:
        with NetNS(self.lan) as lan:
            # No spanning tree, or a port is deaf for 30 s; no snooping, or router advertisements get lost.
            lan.link(
                "add", ifname=BRIDGE, kind="bridge", br_stp_state=0, br_forward_delay=0, br_mcast_snooping=0
            )
            bridge = lan.link_lookup(ifname=BRIDGE)[0]
            lan.link("set", index=bridge, state="up")
            for tap in self.taps:
                lan.link("add", ifname=tap, kind="tuntap", mode="tap")
                lan.link("set", index=lan.link_lookup(ifname=tap)[0], master=bridge, state="up")

    def _plug(self, namespace: str, port: str, *addresses: tuple[str, int]) -> None:
        with NetNS(self.lan) as lan:
            lan.link("add", ifname=port, kind="veth", peer={"ifname": "eth0", "net_ns_fd": namespace})
            bridge = lan.link_lookup(ifname=BRIDGE)[0]
            lan.link("set", index=lan.link_lookup(ifname=port)[0], master=bridge, state="up")
        with NetNS(namespace) as inner:
            inner.link("set", index=inner.link_lookup(ifname="lo")[0], state="up")
            card = inner.link_lookup(ifname="eth0")[0]
            for address, length in addresses:
                inner.addr("add", index=card, address=address, prefixlen=length, flags=_NO_DAD)
            inner.link("set", index=card, state="up")
        _send_as_on_a_wire(namespace)


def _send_as_on_a_wire(namespace: str) -> None:
    """Real checksums and frame sizes in the captures; without ethtool they only look odd."""
    if shutil.which("ethtool"):
        options = [word for offload in _OFFLOADS for word in (offload, "off")]
        subprocess.run(inside(namespace, ["ethtool", "-K", "eth0", *options]), capture_output=True, check=False)


def remove_leftovers() -> None:
    """Namespaces and folders of runs that are no more. Their programs died with them: see `Process`."""
    for name in filter(_is_leftover, netns.listnetns()):
        netns.remove(name)
    for folder in Path(tempfile.gettempdir()).glob("rack*-*"):
        if _is_leftover(folder.name):
            shutil.rmtree(folder, ignore_errors=True)


def _is_leftover(name: str) -> bool:
    match = _NAME.fullmatch(name)
    return match is not None and not Path(f"/proc/{match[1]}").exists()
