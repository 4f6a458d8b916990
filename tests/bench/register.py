"""Registrations: `register_rps` as fast as they are taken, `register_p99_ms` at half of the bar.

A real `bootstrapd serve`, NATS and all. Every registration has a connection, an address, a declared machine and
a fresh token of its own, as an agent has; scripts and overlays are fetched before the clock runs. Answers that
are not 200 fail the bench, and so does a registration that is not judged. The peer is SQLite alone, with a
durable commit for each of as many rows: what the appliance would at best be without group commit.
"""

from __future__ import annotations

import re
import selectors
import socket
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from bootstrapd.model import Disk, Gpu, Hardware, Nic, Registration, encode
from tests.bench.appliance import CLIENT_CORE, HOSTS, Serving, mac_of, pinned, serving
from tests.bench.rows import Row, p99

ROUNDS: Final = 5
AT_ONCE: Final = 64  # connections, for the highest rate
PACE_S: Final = 0.001  # one begins every millisecond, for the latencies
MOST: Final = 400  # connections at a pace: the appliance takes 512, and who waits here is counted as waiting
PATIENCE_S: Final = 60.0
SERVER: Final = ("127.0.0.1", 18080)
PORTS: Final = ("--dhcp-port", "16067", "--pxe-port", "14011", "--tftp-port", "16069", "--http-port", "18080")
# Judged as a machine that will be installed is; nobody has armed it.
PROFILE: Final = """
image = "installer"
layout = "single-disk"
[requires]
cpu.threads = 32
memory = "64G"
[[requires.disk]]
type = "nvme"
size = "900G"
"""
KEY: Final = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKKmxkdVBP0vFRnVdF0vgrTnRgVwYiV9yh2yH0RxJ0dB"


class Request(NamedTuple):
    """One HTTP request from an address of its own."""

    source: str
    data: bytes


def measure() -> dict[str, Row]:
    """Median of 5 rounds of every host; the peer's in between."""
    with serving("lo", PORTS, profile=PROFILE) as appliance, pinned(CLIENT_CORE):
        fast = [(Client(prepared()).run(), alone()) for _ in range(ROUNDS)]
        paced = [(Client(prepared(), PACE_S).run(), alone()) for _ in range(ROUNDS)]
        check(appliance, 2 * ROUNDS * HOSTS)
    return {
        "register_rps": _row(fast, lambda done: len(done.latencies_s) / done.seconds, "registrations/s"),
        "register_p99_ms": _row(paced, lambda done: p99(done.latencies_s) * 1e3, f"ms at {1 / PACE_S:,.0f}/s"),
    }


def check(appliance: Serving, count: int) -> None:
    """Each was accepted once, and judged once."""
    counters = appliance.status()["counters"]
    assert isinstance(counters, dict)
    assert counters["event.registered"] == counters["event.accepted"] == count, counters


def prepared() -> list[Request]:
    """A registration of every host: it has asked for its script and its overlay."""
    scripts = Client([_get(number, _script(number)) for number in range(HOSTS)]).run()
    overlays = [
        re.findall(rb"http://[^/]*(/overlay/\w+\.cpio)", answer)[0].decode() for answer in scripts.answers
    ]
    fetched = Client([_get(number, path) for number, path in enumerate(overlays)]).run()
    tokens = [re.findall(rb"bootstrapd/token\0+(\w{32})\n", answer)[0] for answer in fetched.answers]
    return [_registration(number, token.decode()) for number, token in enumerate(tokens)]


def address_of(number: int) -> str:
    return f"127.1.{number >> 8}.{number & 255}"


def _script(number: int) -> str:
    return f"/boot/{mac_of(number).replace(':', '-')}.ipxe?platform=efi&arch=x86_64"


def _get(number: int, path: str) -> Request:
    return Request(
        address_of(number), f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode()
    )


def _registration(number: int, token: str) -> Request:
    said = Registration(
        token=token, boot_mac=mac_of(number), hardware=hardware(number), host_key=KEY, agent="1"
    )
    body = encode(said)
    head = "POST /v1/register HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return Request(address_of(number), head.encode() + body)


def hardware(number: int) -> Hardware:
    """An inventory as a server's: two NICs, a disk, a stick and a GPU."""
    disk = Disk(
        name="nvme0n1",
        size_bytes=10**12,
        model="SAMSUNG MZQL2960HCJR-00A07",
        serial=f"S64FNE0R{number:06}",
        wwn=f"eui.36344630520{number:06}",
        type="nvme",
        filesystems=("vfat", "ext4"),
        by_id=f"/dev/disk/by-id/nvme-SAMSUNG_MZQL2960HCJR-00A07_S64FNE0R{number:06}",
    )
    stick = Disk(name="sda", size_bytes=16 * 10**9, model="Ultra Fit", type="ssd", is_removable=True)
    nics = (
        Nic(name="eth0", mac=mac_of(number), driver="ixgbe", speed_mbps=10_000, has_link=True),
        Nic(name="eth1", mac=f"52:54:01:00:{number >> 8:02x}:{number & 255:02x}", driver="ixgbe"),
    )
    return Hardware(
        nics=nics,
        disks=(disk, stick),
        gpus=(Gpu(pci_id="10de:2204", address="0000:41:00.0"),),
        cpu_model="AMD EPYC 7313P 16-Core Processor",
        cpu_threads=32,
        memory_bytes=64 << 30,
        arch="x86_64",
        firmware="uefi",
        uuid=f"4c4c4544-0043-4810-8051-{number:012x}",
        serial=f"CZ2{number:06}",
        vendor="Dell Inc.",
        product="PowerEdge R7515",
        kernel="6.6.32",
    )


class Done(NamedTuple):
    """How long it took in all, the answers in the order of the requests, and each one's time."""

    seconds: float
    answers: list[bytes]
    latencies_s: list[float]


class Client:
    """Sends each request on a connection of its own: AT_ONCE of them, or one every `pace_s` come what may.

    With a pace, a latency counts from when the request was due, so that a server that stalls is not spared.
    """

    def __init__(self, requests: list[Request], pace_s: float = 0.0) -> None:
        self._requests = requests
        self._pace_s = pace_s
        self._selector = selectors.DefaultSelector()
        self._answers: list[bytes] = [b""] * len(requests)
        self._due: list[float] = [0.0] * len(requests)
        self._latencies: list[float] = []
        self._sent = self._ended = 0

    def run(self) -> Done:
        """Until every one is answered with 200."""
        began = time.perf_counter()
        while self._ended < len(self._requests):
            now = time.perf_counter()
            if now - began > PATIENCE_S:
                raise TimeoutError(f"{len(self._requests) - self._ended} of {len(self._requests)} not answered")
            while self._is_next_due(now - began):
                self._send(self._sent, began + self._sent * self._pace_s if self._pace_s else now)
                self._sent += 1
            for key, _ in self._selector.select(self._pace_s or 1.0):
                self._read(key)
        self._selector.close()
        return Done(time.perf_counter() - began, self._answers, self._latencies)

    def _is_next_due(self, elapsed: float) -> bool:
        if self._sent == len(self._requests):
            return False
        is_due = elapsed >= self._sent * self._pace_s
        return is_due and self._sent - self._ended < (MOST if self._pace_s else AT_ONCE)

    def _send(self, number: int, due: float) -> None:
        request = self._requests[number]
        connection = socket.socket()
        connection.bind((request.source, 0))
        connection.connect(SERVER)
        connection.sendall(request.data)
        self._due[number] = due
        self._selector.register(connection, selectors.EVENT_READ, number)

    def _read(self, key: selectors.SelectorKey) -> None:
        connection, number = key.fileobj, key.data
        assert isinstance(connection, socket.socket)
        got = connection.recv(1 << 16)
        self._answers[number] += got
        if got:
            return
        self._selector.unregister(connection)
        connection.close()
        self._ended += 1
        self._latencies.append(time.perf_counter() - self._due[number])
        assert self._answers[number].startswith(b"HTTP/1.1 200 "), self._answers[number][:300]


def alone() -> Done:
    """As many rows of the same size, one after the other, each durable before the next."""
    body, latencies = _registration(0, "0" * 32).data, []
    with tempfile.TemporaryDirectory(prefix="sqlite-bench-") as folder:
        db = sqlite3.connect(f"{folder}/db", isolation_level=None)
        db.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (body BLOB);")
        began = time.perf_counter()
        for _ in range(HOSTS):
            before = time.perf_counter()
            db.execute("INSERT INTO t VALUES (?)", (body,))
            latencies.append(time.perf_counter() - before)
        seconds = time.perf_counter() - began
        db.close()
    return Done(seconds, [], latencies)


def _row(rounds: list[tuple[Done, Done]], figure: Callable[[Done], float], unit: str) -> Row:
    ours, peer = (statistics.median(figure(done) for done in side) for side in zip(*rounds, strict=True))
    return Row(ours, peer, "SQLite, a commit each", unit)
