"""The same boot served by the usual pair, dnsmasq (proxy DHCP, TFTP) and nginx (HTTP): the stories' yardstick.

It stands in bootstrapd's place, knows no machine from another, and takes any registration. dnsmasq's proxy mode
answers no UEFI HTTP boot.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from rack import need
from rack.network import APPLIANCE, Network
from rack.process import Process

_IPXE = Path("/usr/lib/ipxe")
_SCRIPT = """\
#!ipxe
set server http://{address}
kernel ${{server}}/vmlinuz initrd=initrd {cmdline} bootstrapd.server=${{server}} bootstrapd.token=anybody
initrd --name initrd ${{server}}/initrd
boot
"""
# A proxy must answer iPXE with its own address in siaddr, or iPXE takes it for no answer: the third field.
_DNSMASQ = """\
port=0
no-resolv
keep-in-foreground
log-facility=-
log-dhcp
interface=eth0
bind-interfaces
enable-tftp
tftp-root={root}
dhcp-range=10.77.0.0,proxy
dhcp-match=set:ipxe,175
dhcp-boot=tag:ipxe,http://{address}/boot.ipxe,,{address}
dhcp-boot=tag:!ipxe,snponly.efi,,{address}
pxe-service=tag:!ipxe,x86PC,"boot",undionly.kpxe,{address}
pxe-service=tag:!ipxe,X86-64_EFI,"boot",snponly.efi,{address}
pxe-service=tag:!ipxe,BC_EFI,"boot",snponly.efi,{address}
"""
_NGINX = """\
daemon off;
user root;
master_process off;
pid {root}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 64; }}
http {{
    access_log off;
    sendfile on;
    client_body_temp_path {root}/body;
    server {{
        listen {address}:80;
        root {root};
        location /v1/register {{
            default_type application/json;
            return 200 '{{"status":"accepted","host":"anybody","machine":"anybody"}}';
        }}
    }}
}}
"""


class Peer:
    """Running dnsmasq and nginx on the appliance's address."""

    def __init__(self, network: Network, folder: Path, run_folder: Path, image: Path) -> None:
        root = run_folder / "peer"
        root.mkdir()
        for name in ("snponly.efi", "undionly.kpxe"):
            shutil.copyfile(need.file(str(_IPXE / name), "ipxe"), root / name)
        for name in ("vmlinuz", "initrd"):
            shutil.copyfile(image / name, root / name)
        cmdline = json.loads((image / "manifest.json").read_text())["cmdline"]
        words = {"address": APPLIANCE, "root": root, "cmdline": cmdline}
        (root / "boot.ipxe").write_text(_SCRIPT.format(**words))
        (root / "dnsmasq.conf").write_text(_DNSMASQ.format(**words))
        (root / "nginx.conf").write_text(_NGINX.format(**words))
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        need.file(nginx, "nginx-light")
        self._processes = (
            Process(
                "peer's dnsmasq",
                [
                    "dnsmasq",
                    f"--conf-file={root / 'dnsmasq.conf'}",
                    "--user=root",
                    "--group=root",
                    "--pid-file=",
                ],
                folder / "peer-dnsmasq.log",
                namespace=network.appliance,
            ),
            Process(
                "peer's nginx",
                [nginx, "-c", str(root / "nginx.conf"), "-e", "stderr", "-p", str(root)],
                folder / "peer-nginx.log",
                namespace=network.appliance,
            ),
        )
        self._processes[0].lines.wait_for("TFTP root is", 10)

    def stop(self) -> None:
        for process in self._processes:
            process.stop()
