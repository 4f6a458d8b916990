"""64 clients fetch a boot program of 1 MB by TFTP, beside dnsmasq (no windows) and atftpd (windowsize 16).

Each server has a link of its own (a veth pair between two namespaces) and core 0, the client core 1; they are
measured in turns. The client is C (`tftp_clients.c`). Ours is the whole `bootstrapd serve`, and each fetch is
another host's.

    python -m tests.bench.tftp          a bare TftpServer in the appliance's place
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import statistics
import struct
import subprocess
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.appliance import CLIENT_CORE, SERVER_CORE, mac_of, serving
from tests.bench.rows import Row

ROUNDS: Final = 7
SECONDS: Final = 1.0
CLIENTS: Final = 64
BLKSIZE: Final = 1468
FILE_BYTES: Final = 1_036_152  # shim's
FILE: Final = "ipxe.efi"
HOSTS: Final = 2000  # enough that the loop guard (I11) has nothing to say about all these fetches
PE_X86_64: Final = 0x8664
SERVER: Final = "10.98.0.1"
SERVER_MAC: Final = "52:54:00:fe:00:01"
ROUTER: Final = "10.98.0.2"
NETWORK: Final = "10.97.0"  # of the clients

ROOT: Final = Path(__file__).parent.parent.parent
SOURCE: Final = Path(__file__).parent / "tftp_clients.c"
PROGRAM: Final = ROOT / "build" / "bench" / "tftp_clients"


class Link(NamedTuple):
    """A server's end and a client's end; both name their interface eth0."""

    server: str
    client: str

    def serve(self, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.server, "taskset", "-c", str(SERVER_CORE), *command]

    def fetch(self, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.client, "taskset", "-c", str(CLIENT_CORE), *command]


class Target(NamedTuple):
    """A server to be loaded, and the names under which it has the file, the next one first."""

    link: Link
    pid: int
    names: deque[str]

    def cpu_s(self) -> float:
        """Seconds on a core so far, its own and the kernel's for it."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Turn(NamedTuple):
    """One measurement."""

    mb_per_s: float
    cpu_s_per_gb: float


Contender = Callable[[Path], AbstractContextManager[Target]]


def measure(ours: Contender | None = None) -> dict[str, Row]:
    """`tftp_w1_64` and `tftp_w16_64` in MB/s, and what a GB cost the server's core; medians of 7 rounds."""
    _build()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tftp-bench-")))
        content = _make_file(folder)
        rows: dict[str, Row] = {}
        for windowsize, name, peer in ((1, "dnsmasq", _dnsmasq), (16, "atftpd", _atftpd)):
            with (ours or _appliance)(folder) as target, peer(folder) as theirs:
                for each in (target, theirs):
                    _check(each, folder, content)
                turns = [(_turn(target, windowsize), _turn(theirs, windowsize)) for _ in range(ROUNDS)]
            rows |= _rows(windowsize, name, turns)
    return rows


def _rows(windowsize: int, peer: str, turns: list[tuple[Turn, Turn]]) -> dict[str, Row]:
    def row(unit: str, figure: Callable[[Turn], float]) -> Row:
        ours, theirs = (statistics.median(figure(turn[side]) for turn in turns) for side in (0, 1))
        return Row(ours, theirs, peer, unit)

    return {
        f"tftp_w{windowsize}_64": row("MB/s", lambda turn: turn.mb_per_s),
        f"tftp_w{windowsize}_cpu_s_per_gb": row("CPU s/GB", lambda turn: turn.cpu_s_per_gb),
    }


def _turn(target: Target, windowsize: int) -> Turn:
    with tempfile.NamedTemporaryFile("w", suffix=".names") as names:
        names.write("".join(f"{name}\n" for name in target.names))
        names.flush()
        command = [str(PROGRAM), SERVER, "69", names.name, f"{NETWORK}.0"]
        command += [str(number) for number in (CLIENTS, BLKSIZE, windowsize, SECONDS)]
        before = target.cpu_s()
        done = subprocess.run(target.link.fetch(*command), check=True, stdout=subprocess.PIPE, text=True)
    received, warm_up, seconds, files, _stalls = map(float, done.stdout.split())
    target.names.rotate(-int(files))
    cost = (target.cpu_s() - before) / (received + warm_up)
    return Turn(received / seconds / 1e6, cost * 1e9)


def _check(target: Target, folder: Path, content: bytes) -> None:
    """By a client that others wrote: the file arrives, byte by byte. Waits until the server is there."""
    arrived = folder / "arrived"
    options = ["--interface", f"{NETWORK}.1", "--tftp-blksize", str(BLKSIZE), "-o", str(arrived)]
    options += ["-m", "5", "--retry", "20", "--retry-delay", "1", "--retry-all-errors"]
    url = f"tftp://{SERVER}/{target.names[0]}"
    subprocess.run(target.link.fetch("curl", "-sS", *options, url), check=True)
    if arrived.read_bytes() != content:
        raise RuntimeError(f"{target.link.server} sent something else")


def _build() -> None:
    """Compiles the client into `build/`."""
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cc", "-O2", "-o", str(PROGRAM), str(SOURCE)], check=True)


def _make_file(folder: Path) -> bytes:
    folder.chmod(0o755)  # atftpd gives up root
    content = bytearray(random.Random(1).randbytes(FILE_BYTES))
    content[:0x86] = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I64x4sH", 0x80, b"PE", PE_X86_64)
    (folder / FILE).write_bytes(content)
    return bytes(content)


@contextlib.contextmanager
def _appliance(folder: Path) -> Iterator[Target]:
    config = folder / "config.toml"
    config.write_text(f'[nbp]\ndirs = ["{folder}"]\n')
    with _link("ours") as link:
        within = ("ip", "netns", "exec", link.server)
        with serving("eth0", ("--config", str(config)), within=within, hosts=HOSTS) as appliance:
            names = deque(f"nbp/{mac_of(number).replace(':', '-')}/{FILE}" for number in range(HOSTS))
            yield Target(link, appliance.pid, names)


@contextlib.contextmanager
def _running(name: str, *command: str) -> Iterator[Target]:
    with _link(name) as link:
        process = subprocess.Popen(link.serve(*command), cwd=ROOT)
        try:
            yield Target(link, process.pid, deque([FILE]))
        finally:
            process.terminate()
            process.wait(10)


def _bare(folder: Path) -> AbstractContextManager[Target]:
    """The server alone: `serve` below."""
    return _running("bare", sys.executable, "-m", "tests.bench.tftp", "serve", str(folder))


def _dnsmasq(folder: Path) -> AbstractContextManager[Target]:
    options = ["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--pid-file=", "--user=root"]
    options += ["--enable-tftp", f"--tftp-root={folder}", "--tftp-max=1000", "--log-facility=/dev/null"]
    options += ["--bind-interfaces", f"--listen-address={SERVER}"]
    return _running("dnsmasq", "dnsmasq", *options)


def _atftpd(folder: Path) -> AbstractContextManager[Target]:
    options = [
        "--daemon",
        "--no-fork",
        "--bind-address",
        SERVER,
        "--logfile",
        "/dev/null",
        "--maxthread",
        "1000",
    ]
    return _running("atftpd", "atftpd", *options, str(folder))


@contextlib.contextmanager
def _link(name: str) -> Iterator[Link]:
    """Two namespaces and a cable between them. The clients are behind a router: on the link itself they would
    have one MAC, and the appliance gives a machine's boot program to no other one.
    """
    link = Link(f"tftp{os.getpid()}-{name}-s", f"tftp{os.getpid()}-{name}-c")
    try:
        for place in link:
            _ip("netns", "add", place)
        veth = ("type", "veth", "peer", "eth0", "netns", link.client)
        _ip("-n", link.server, "link", "add", "eth0", "address", SERVER_MAC, *veth)
        _ip("-n", link.server, "address", "add", f"{SERVER}/16", "dev", "eth0")
        _ip("-n", link.client, "address", "add", f"{ROUTER}/16", "dev", "eth0")
        for number in range(1, CLIENTS + 1):
            _ip("-n", link.client, "address", "add", f"{NETWORK}.{number}/32", "dev", "lo")
        for place in link:
            _ip("-n", place, "link", "set", "lo", "up")
            _ip("-n", place, "link", "set", "eth0", "up")
        # or the server would learn the clients' addresses from the client's ARP questions
        _ip("-n", link.client, "neighbour", "add", SERVER, "lladdr", SERVER_MAC, "dev", "eth0")
        _ip("-n", link.server, "route", "add", f"{NETWORK}.0/24", "via", ROUTER)
        yield link
    finally:
        for place in link:
            subprocess.run(("ip", "netns", "del", place), check=False, capture_output=True)


def _ip(*argv: str) -> None:
    subprocess.run(("ip", *argv), check=True)


async def serve(folder: Path) -> None:
    """A bare server of one folder, until the process is told to end."""
    from bootstrapd.edge.tftp import TftpServer
    from bootstrapd.model import FileAsk, FileReply, Nothing, Reply

    def fetch(ask: FileAsk) -> Reply:
        path = folder / ask.path
        return FileReply(path=path, name=ask.path) if path.is_file() else Nothing("no such file")

    server = TftpServer(SERVER, 69, fetch, Counter())
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    import logging

    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(Path(sys.argv[2])))
    else:
        for row, values in measure(_bare).items():
            print(f"{row:24} {values.ours:8.2f} {values.peer:8.2f} {values.ratio:6.2f} {values.unit}")
