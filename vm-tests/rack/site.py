"""The site's own DHCP server: dnsmasq, ordinary, knowing nothing of network booting unless a story says so."""

from __future__ import annotations

from pathlib import Path

from rack.network import SITE, SITE6, Network
from rack.process import Process

# no-ping: it would try out each new address for 3 s. Router advertisements: iPXE waits for one, 16 s in vain.
_ORDINARY = f"""\
port=0
no-resolv
no-hosts
keep-in-foreground
log-facility=-
log-dhcp
interface=eth0
bind-interfaces
dhcp-authoritative
no-ping
dhcp-range=10.77.0.100,10.77.0.199,255.255.255.0,1h
dhcp-option=option:router,{SITE}
dhcp-range={SITE6.removesuffix("1")},ra-only,64,1h
enable-ra
"""


class Site:
    """A running dnsmasq on 10.77.0.1."""

    def __init__(self, network: Network, folder: Path, *extra: str, delay_s: int = 0) -> None:
        """`extra`: more lines of its configuration. `delay_s`: how long each answer takes."""
        lines = [*extra, f"dhcp-leasefile={folder / 'site.leases'}"]
        if delay_s:
            lines.append(f"dhcp-reply-delay={delay_s}")
        config = folder / "site.conf"
        config.write_text(_ORDINARY + "\n".join(lines) + "\n")
        argv = ["dnsmasq", f"--conf-file={config}", "--user=root", "--group=root", "--pid-file="]
        self.process = Process("site's dnsmasq", argv, folder / "site.log", namespace=network.site)
        self.process.lines.wait_for(r"DHCP, IP range", 10)

    def stop(self) -> None:
        self.process.stop()


def names_a_boot_file(name: str, *, also_vendor_class: bool = False) -> tuple[str, ...]:
    """Extra lines of a site whose DHCP server sends a boot file of its own, with option 60 beside it or not."""
    lines = [f"dhcp-boot={name},site,{SITE}"]
    if also_vendor_class:
        lines.append("dhcp-option-force=60,PXEClient")
    return tuple(lines)
