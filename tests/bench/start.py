"""How long a start takes with 1,000 hosts, and what it weighs, beside dnsmasq with as many."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.bench.appliance import HOSTS, SERVER_CORE, mac_of, make_state, serving
from tests.bench.rows import Row

ROUNDS: Final = 7
PORTS: Final = ("--dhcp-port", "16067", "--pxe-port", "14011", "--tftp-port", "16069", "--http-port", "18080")


def measure() -> dict[str, Row]:
    """The start, and `cli_list_s`: `hosts list` of all hosts without a daemon, beside Python doing nothing."""
    with tempfile.TemporaryDirectory(prefix="bootstrapd-bench-") as folder:
        make_state(Path(folder))
        listing = ("-m", "bootstrapd.cli", "hosts", "list", "--json", "--state", folder)
        pairs = [(_seconds(*listing), _seconds("-c", "")) for _ in range(ROUNDS)]
    ours, peer = (statistics.median(side) for side in zip(*pairs, strict=True))
    return {**_starts(), "cli_list_s": Row(ours, peer, "python -c ''", "s")}


def _seconds(*argv: str) -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, *argv], check=True, capture_output=True)
    return time.monotonic() - began


def _starts() -> dict[str, Row]:
    """`start_s`: from exec to serving, median of 7, alternating; `start_rss_mb` just after."""
    ours: list[float] = []
    peer: list[float] = []
    weights: list[float] = []
    peer_weights: list[float] = []
    for _ in range(ROUNDS):
        with serving("lo", PORTS) as appliance:
            ours.append(appliance.start_s)
            weights.append(appliance.rss_mb())
        with _dnsmasq() as (seconds, weight):
            peer.append(seconds)
            peer_weights.append(weight)
    return {
        "start_s": Row(statistics.median(ours), statistics.median(peer), "dnsmasq", "s"),
        "start_rss_mb": Row(statistics.median(weights), statistics.median(peer_weights), "dnsmasq", "MB"),
    }


def peer_weight_mb() -> float:
    """dnsmasq's resident memory with as many hosts, at rest."""
    with _dnsmasq() as (_, weight):
        return weight


@contextlib.contextmanager
def _dnsmasq() -> Iterator[tuple[float, float]]:
    """(seconds until it says that it serves, resident MB)."""
    with tempfile.TemporaryDirectory(prefix="dnsmasq-bench-") as folder:
        hosts = Path(folder) / "hosts"
        hosts.write_text("".join(f"{mac_of(n)},host-{n}\n" for n in range(HOSTS)))
        command = [
            "taskset",
            "-c",
            str(SERVER_CORE),
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
        ]
        command += [
            "--port=0",
            "--interface=lo",
            "--bind-interfaces",
            f"--dhcp-hostsfile={hosts}",
            "--user=root",
        ]
        command += ["--dhcp-range=127.0.0.0,proxy", "--dhcp-alternate-port=16167,16168", "--pid-file="]
        command += ["--log-facility=-", f"--dhcp-leasefile={folder}/leases"]
        started = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if b"DHCP, proxy" in line or b"read " in line:
                    break
            seconds = time.monotonic() - started
            pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            yield seconds, pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        finally:
            process.terminate()
            process.wait(10)
