"""A LAN in network namespaces: a bridge, the site's DHCP server, a boot server, a prober (root only).

10.77.0.1 is the site, .2 the boot server, .9 where `bootstrapd probe` runs. Nothing leaves the namespaces.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PLACES = {"site": "10.77.0.1", "boot": "10.77.0.2", "probe": "10.77.0.9"}
DEADLINE_S = 60
DNSMASQ = ("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--log-facility=-", "--user=root")


def missing() -> str:
    """Why there can be no LAN here, "" where there can."""
    if os.geteuid() != 0:
        return "needs root for network namespaces"
    return next((f"needs {program}" for program in ("ip", "dnsmasq") if shutil.which(program) is None), "")


class Lan:
    """Namespaces PREFIX-lan, -site, -boot, -probe; `close` ends what was started and takes them away."""

    def __init__(self, prefix: str, folder: Path) -> None:
        self.prefix = prefix
        self.folder = folder
        self.leases = folder / "leases"
        self.running: list[subprocess.Popen[str]] = []

    def build(self) -> Lan:
        lan = f"{self.prefix}-lan"
        _ip("netns", "add", lan)
        _ip("-n", lan, "link", "add", "br0", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        _ip("-n", lan, "link", "set", "br0", "up")
        for place, address in PLACES.items():
            name = f"{self.prefix}-{place}"
            _ip("netns", "add", name)
            _ip("-n", lan, "link", "add", place, "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("-n", lan, "link", "set", place, "master", "br0", "up")
            _ip("-n", name, "address", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", "eth0", "up")
        return self

    def close(self) -> None:
        for process in reversed(self.running):
            process.terminate()
            process.wait(DEADLINE_S)
            assert process.stderr is not None
            process.stderr.close()
        for place in (*PLACES, "lan"):
            subprocess.run(("ip", "netns", "del", f"{self.prefix}-{place}"), check=False, capture_output=True)

    def inside(self, place: str, *argv: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", f"{self.prefix}-{place}", *argv)

    def start(
        self, place: str, *argv: str, ready: str, env: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Starts a server and waits until it has said `ready` on stderr."""
        process = subprocess.Popen(
            self.inside(place, *argv), stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}
        )
        self.running.append(process)
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if ready in line:
                return process
        raise AssertionError(f"{argv[0]} ended before it said {ready!r}: {''.join(said)}")

    def site(self, *options: str) -> None:
        """dnsmasq as the site's ordinary DHCP server."""
        self.start(
            "site",
            *DNSMASQ,
            "--port=0",
            "--no-ping",
            "--interface=eth0",
            "--dhcp-range=10.77.0.100,10.77.0.200,1h",
            f"--dhcp-leasefile={self.leases}",
            f"--pid-file={self.folder}/site.pid",
            *options,
            ready="DHCP, ",
        )

    def proxy(self, *options: str) -> None:
        """dnsmasq as somebody else's proxy-DHCP and TFTP server, its files in `folder`/tftp."""
        self.start(
            "boot",
            *DNSMASQ,
            "--port=0",
            "--interface=eth0",
            "--dhcp-range=10.77.0.0,proxy",
            "--enable-tftp",
            f"--tftp-root={self.folder}/tftp",
            f"--dhcp-leasefile={self.folder}/proxy-leases",
            f"--pid-file={self.folder}/proxy.pid",
            *options,
            ready="TFTP root",
        )

    def probe(self, *options: str, through: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        command = (*through, sys.executable, "-m", "bootstrapd.cli", "probe", *options)
        return subprocess.run(
            self.inside("probe", *command), capture_output=True, text=True, check=False, timeout=DEADLINE_S
        )

    def probed(self, *options: str) -> tuple[int, dict[str, Any]]:
        """The exit code and the JSON of `probe --interface eth0`."""
        done = self.probe("--interface", "eth0", "--json", *options)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)


def _ip(*argv: str) -> None:
    subprocess.run(("ip", *argv), check=True, capture_output=True)


def rules(found: dict[str, Any]) -> dict[str, dict[str, str]]:
    return {finding["rule"]: finding for finding in found["findings"]}
