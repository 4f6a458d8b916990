"""Boot offers a second and how long one takes, beside dnsmasq as proxy: the real daemon, 1,000 enrolled hosts.

Each server has a link of its own (a veth pair between two namespaces) and core 0, the client has core 1; they
are measured in turns. The client is C (`dhcp_load.c`), so that it is never the slower side: `client_ceiling`
says how much it could have asked. dnsmasq has a bare proxy range, no host list that would slow it down.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.appliance import CLIENT_CORE, HOSTS, SERVER_CORE, mac_of, serving
from tests.bench.rows import Row

ROUNDS: Final = 7
SECONDS: Final = 1.0
WINDOW: Final = 128  # questions without an answer: a rack that was powered on at once
LOAD_SHARE: Final = 0.5  # of what the slower server can answer: what both are offered for the p99
ROOT: Final = Path(__file__).parent.parent.parent
SOURCE: Final = Path(__file__).parent / "dhcp_load.c"
PROGRAM: Final = ROOT / "build" / "bench" / "dhcp_load"
# edk2's own DISCOVER (FIRMWARE.md 3): the first packet of this capture, behind Ethernet, IP and UDP headers.
CAPTURE: Final = ROOT / "tests" / "golden" / "dhcp" / "edk2-pxe-x64.pcap"
PCAP_HEADERS: Final = 24 + 16
FRAME_HEADERS: Final = 14 + 20 + 8


class Link(NamedTuple):
    """A server's end and a client's end; both name their interface eth0."""

    server: str
    client: str

    def run(self, *argv: str) -> list[str]:
        return ["ip", "netns", "exec", self.server, "taskset", "-c", str(SERVER_CORE), *argv]

    def ask(self, questions: Path, seconds: float = SECONDS, rate: float = 0) -> dict[str, float]:
        """What the client saw: see `dhcp_load.c`."""
        command = ["ip", "netns", "exec", self.client, "taskset", "-c", str(CLIENT_CORE), str(PROGRAM), "ask"]
        command += ["eth0", str(questions), str(seconds), str(WINDOW), str(rate)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found: dict[str, float] = json.loads(done.stdout)
        return found


class Contender(NamedTuple):
    """A server under load."""

    link: Link
    pid: int

    def cpu_s(self) -> float:
        """Seconds on a core so far, its own and the kernel's for it."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Turn(NamedTuple):
    """One measurement."""

    per_second: float
    cpu_us: float  # of the server, an answer


def measure() -> dict[str, Row]:
    """`dhcp_proxy_rps`, `dhcp_proxy_p99_ms` at half of what the slower can do, `dhcp_proxy_cpu_us` an offer."""
    build()
    with tempfile.TemporaryDirectory(prefix="dhcp-bench-") as folder, _contenders(Path(folder)) as (ours, peer):
        questions = Path(folder) / "questions"
        questions.write_bytes(make_questions())
        for each in (ours, peer):
            each.link.ask(questions)  # warm: every machine seen once
        turns = [(_turn(ours, questions), _turn(peer, questions)) for _ in range(ROUNDS)]
        rates = [statistics.median(turn[side].per_second for turn in turns) for side in (0, 1)]
        costs = [statistics.median(turn[side].cpu_us for turn in turns) for side in (0, 1)]
        load = LOAD_SHARE * min(rates)
        waits = [
            [each.link.ask(questions, rate=load)["p99_ms"] for each in (ours, peer)] for _ in range(ROUNDS)
        ]
        late = [statistics.median(wait[side] for wait in waits) for side in (0, 1)]
    return {
        "dhcp_proxy_rps": Row(rates[0], rates[1], "dnsmasq", "answers/s"),
        "dhcp_proxy_p99_ms": Row(late[0], late[1], "dnsmasq", f"ms at {load:.0f}/s"),
        "dhcp_proxy_cpu_us": Row(costs[0], costs[1], "dnsmasq", "µs"),
    }


def client_ceiling() -> float:
    """Answers a second when the server only sends each question back."""
    build()
    with tempfile.TemporaryDirectory(prefix="dhcp-bench-") as folder, _link("echo") as link:
        questions = Path(folder) / "questions"
        questions.write_bytes(make_questions())
        with _running(link.run(str(PROGRAM), "echo", "eth0")):
            _until_answered(link, questions)
            return statistics.median(link.ask(questions)["per_second"] for _ in range(3))


def build() -> None:
    """Compiles the client into `build/`."""
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cc", "-O2", "-o", str(PROGRAM), str(SOURCE)], check=True)


def make_questions(machines: int = HOSTS) -> bytes:
    """edk2's DISCOVER from each enrolled host, with its own MAC and UUID."""
    recorded = CAPTURE.read_bytes()
    (size,) = struct.unpack_from("<I", recorded, PCAP_HEADERS - 8)
    sent = recorded[PCAP_HEADERS + FRAME_HEADERS : PCAP_HEADERS + size]
    uuid_at = sent.index(b"\x61\x11\x00") + 3
    packets = []
    for number in range(machines):
        question = bytearray(sent)
        question[28:34] = bytes.fromhex(mac_of(number).replace(":", ""))
        question[uuid_at : uuid_at + 16] = struct.pack("<QQ", number, 0x8000_0000_0000_4000)
        packets.append(struct.pack("=H", len(question)) + question)
    return b"".join(packets)


def _turn(contender: Contender, questions: Path) -> Turn:
    before = contender.cpu_s()
    seen = contender.link.ask(questions)
    return Turn(seen["per_second"], (contender.cpu_s() - before) * 1e6 / max(1, seen["answers"]))


@contextlib.contextmanager
def _contenders(folder: Path) -> Iterator[tuple[Contender, Contender]]:
    """The appliance and dnsmasq, each on its own link, both running."""
    with _link("ours") as ours, _link("peer") as peer:
        within = ("ip", "netns", "exec", ours.server)
        with serving("eth0", within=within) as appliance, _running(peer.run(*_dnsmasq(folder))) as dnsmasq:
            _until_answered(peer, _probe(folder))
            yield Contender(ours, appliance.pid), Contender(peer, dnsmasq.pid)


def _dnsmasq(folder: Path) -> Sequence[str]:
    return (
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--port=0", "--quiet-dhcp",
        "--interface=eth0", "--bind-interfaces", "--dhcp-range=10.99.0.0,proxy", "--pid-file=",
        f"--dhcp-leasefile={folder / 'leases'}", f"--log-facility={folder / 'log'}",
        "--pxe-service=x86PC,boot,undionly.kpxe", "--pxe-service=x86-64_EFI,boot,snponly.efi",
    )  # fmt: skip


def _probe(folder: Path) -> Path:
    path = folder / "probe"
    path.write_bytes(make_questions(1))
    return path


def _until_answered(link: Link, questions: Path, patience_s: float = 10.0) -> None:
    deadline = time.monotonic() + patience_s
    while not link.ask(questions, seconds=0.05)["answers"]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"nobody answers in {link.server} after {patience_s:.0f} s")


@contextlib.contextmanager
def _running(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


@contextlib.contextmanager
def _link(name: str) -> Iterator[Link]:
    """Two namespaces and a cable between them: 10.99.0.1 the server, .2 the client."""
    link = Link(f"bench{os.getpid()}-{name}-s", f"bench{os.getpid()}-{name}-c")
    try:
        for place in link:
            _ip("netns", "add", place)
            _ip("-n", place, "link", "set", "lo", "up")
        _ip("-n", link.server, "link", "add", "eth0", "type", "veth", "peer", "eth0", "netns", link.client)
        for place, address in zip(link, ("10.99.0.1/24", "10.99.0.2/24"), strict=True):
            _ip("-n", place, "address", "add", address, "dev", "eth0")
            _ip("-n", place, "link", "set", "eth0", "up")
        yield link
    finally:
        for place in link:
            subprocess.run(("ip", "netns", "del", place), check=False, capture_output=True)


def _ip(*argv: str) -> None:
    subprocess.run(("ip", *argv), check=True)


if __name__ == "__main__":
    print(f"client alone: {client_ceiling():,.0f} answers/s")
    for row_name, row in measure().items():
        print(f"{row_name}: {row.ours:.4g} beside {row.peer:.4g} {row.unit}, {row.ratio:.2f}")
