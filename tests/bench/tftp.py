"""64 clients fetch a boot program of 1 MB by TFTP, beside dnsmasq (no windows) and atftpd (windowsize 16).

Servers have core 0 and are measured in turns; the client is C (`tftp_clients.c`), on core 1. Ours is the whole
`bootstrapd serve` with 3,000 hosts, each fetch another host's; `measure(target)` takes any other server.
dnsmasq knows no TFTP port but 69, so this needs root; it listens on an own address of 127/8.

    python -m tests.bench.tftp          a bare TftpServer in the appliance's place
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import random
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import tftpy

from tests.bench.appliance import CLIENT_CORE, SERVER_CORE, mac_of, serving
from tests.bench.rows import Row

ROUNDS: Final = 7
SECONDS: Final = 1.0
CLIENTS: Final = 64
BLKSIZE: Final = 1468
FILE_BYTES: Final = 1_036_152  # shim's
FILE: Final = "ipxe.efi"
HOSTS: Final = 3000  # so that the loop guard has nothing to say about all these fetches
PE_X86_64: Final = 0x8664
PATIENCE_S: Final = 10.0

PORTS: Final = ("--dhcp-port", "16067", "--pxe-port", "14011", "--tftp-port", "16069", "--http-port", "18080")
BARE_PORT: Final = 16269
DNSMASQ_ADDRESS: Final = "127.0.69.1"
ATFTPD_PORT: Final = 16369

ROOT: Final = Path(__file__).parent.parent.parent
SOURCE: Final = Path(__file__).parent / "tftp_clients.c"
PROGRAM: Final = ROOT / "build" / "bench" / "tftp_clients"


class Target(NamedTuple):
    """A server to be loaded, and the names under which it has the file, the next one first."""

    pid: int
    address: str
    port: int
    names: deque[str]

    def cpu_s(self) -> float:
        """Seconds on a core so far, its own and the kernel's for it."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Turn(NamedTuple):
    """One measurement."""

    mb_per_s: float
    cpu_s_per_gb: float


def measure(ours: Target | None = None) -> dict[str, Row]:
    """`tftp_w1_64` and `tftp_w16_64` in MB/s, and what a GB cost the server's core; medians of 7 rounds."""
    _build()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tftp-bench-")))
        content = _make_file(folder)
        ours = ours or stack.enter_context(_appliance(folder))
        rows: dict[str, Row] = {}
        for windowsize, name, peer in ((1, "dnsmasq", _dnsmasq), (16, "atftpd", _atftpd)):
            with peer(folder) as theirs:
                for target in (ours, theirs):
                    _check(target, content)
                turns = [(_turn(ours, windowsize), _turn(theirs, windowsize)) for _ in range(ROUNDS)]
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
        command = [
            "taskset",
            "-c",
            str(CLIENT_CORE),
            str(PROGRAM),
            target.address,
            str(target.port),
            names.name,
        ]
        command += [str(CLIENTS), str(BLKSIZE), str(windowsize), str(SECONDS)]
        before = target.cpu_s()
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    received, warm_up, seconds, files, _stalls = map(float, done.stdout.split())
    target.names.rotate(-int(files))
    cost = (target.cpu_s() - before) / (received + warm_up)
    return Turn(received / seconds / 1e6, cost * 1e9)


def _check(target: Target, content: bytes) -> None:
    """An oracle of its own: the file arrives, byte by byte."""
    arrived = io.BytesIO()
    tftpy.TftpClient(target.address, target.port, {"blksize": BLKSIZE}).download(target.names[0], arrived)
    assert arrived.getvalue() == content, f"port {target.port} sent something else"


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
    with serving("lo", (*PORTS, "--config", str(config)), hosts=HOSTS) as appliance:
        names = deque(f"nbp/{mac_of(number).replace(':', '-')}/{FILE}" for number in range(HOSTS))
        yield Target(appliance.pid, "127.0.0.1", 16069, names)


@contextlib.contextmanager
def _bare(folder: Path) -> Iterator[Target]:
    """The server alone: `python -m tests.bench.tftp serve FOLDER`."""
    with _running(sys.executable, "-m", "tests.bench.tftp", "serve", str(folder)) as pid:
        yield _ready(Target(pid, "127.0.0.1", BARE_PORT, deque([FILE])))


@contextlib.contextmanager
def _dnsmasq(folder: Path) -> Iterator[Target]:
    options = ["--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--pid-file=", "--user=root"]
    options += ["--enable-tftp", f"--tftp-root={folder}", "--tftp-max=1000", "--log-facility=/dev/null"]
    options += ["--bind-interfaces", f"--listen-address={DNSMASQ_ADDRESS}"]
    with _running("dnsmasq", *options) as pid:
        yield _ready(Target(pid, DNSMASQ_ADDRESS, 69, deque([FILE])))


@contextlib.contextmanager
def _atftpd(folder: Path) -> Iterator[Target]:
    options = ["--daemon", "--no-fork", "--bind-address", "127.0.0.1", "--port", str(ATFTPD_PORT)]
    options += ["--logfile", "/dev/null", "--maxthread", "1000", str(folder)]
    with _running("atftpd", *options) as pid:
        yield _ready(Target(pid, "127.0.0.1", ATFTPD_PORT, deque([FILE])))


@contextlib.contextmanager
def _running(*command: str) -> Iterator[int]:
    process = subprocess.Popen(["taskset", "-c", str(SERVER_CORE), *command], cwd=ROOT)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(10)


def _ready(target: Target) -> Target:
    """Once it listens."""
    deadline = time.monotonic() + PATIENCE_S
    port = f":{target.port:04X} "
    while not any(port in line for line in Path("/proc/net/udp").read_text().splitlines()):
        if time.monotonic() > deadline:
            raise RuntimeError(f"nobody listens on {target.address} port {target.port}")
        time.sleep(0.01)
    return target


async def serve(folder: Path) -> None:
    """A bare server of one folder, until the process is told to end."""
    from bootstrapd.edge.tftp import TftpServer
    from bootstrapd.model import FileAsk, FileReply, Nothing, Reply

    def fetch(ask: FileAsk) -> Reply:
        path = folder / ask.path
        return FileReply(path=path, name=ask.path) if path.is_file() else Nothing("no such file")

    server = TftpServer("127.0.0.1", BARE_PORT, fetch, Counter())
    await server.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    import logging

    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(Path(sys.argv[2])))
    else:
        with tempfile.TemporaryDirectory(prefix="tftp-bench-") as name:
            _make_file(Path(name))
            with _bare(Path(name)) as bare:
                for row, values in measure(bare).items():
                    print(f"{row:24} {values.ours:8.2f} {values.peer:8.2f} {values.ratio:6.2f} {values.unit}")
