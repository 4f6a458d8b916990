"""Server CPU for 32 downloads at once, and a small GET's latency beside them, next to nginx with sendfile.

The small GET is due every `PACE_S`, so that a server that answers it sooner is not asked more; one that is
answered late counts from when it was due.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.appliance import CLIENT_CORE, SERVER_CORE, mac_of, pinned, serving
from tests.bench.rows import Row, p99

ROUNDS: Final = 7
DOWNLOADS: Final = 32
FILE_BYTES: Final = 128 << 20
PORTS: Final = ("--dhcp-port", "16067", "--pxe-port", "14011", "--tftp-port", "16069", "--http-port", "18080")
PEER_PORT: Final = 18081
PATIENCE_S: Final = 120.0
PACE_S: Final = 0.01
HOST: Final = "127.0.0.1"
SCRIPT: Final = f"/boot/{mac_of(1).replace(':', '-')}.ipxe?platform=efi&arch=x86_64"

_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class Target(NamedTuple):
    """A server to be loaded: its process, and where its big file and its small answer are."""

    pid: int
    port: int
    big: str
    small: str


class Load(NamedTuple):
    """What one round cost the server, and how long each small GET took meanwhile."""

    cpu_s_per_gb: float
    latencies_ms: list[float]


def measure(ours: Target | None = None) -> dict[str, Row]:
    """`http_cpu_s_per_gb` and the script's latencies, median of 7 rounds, alternating with nginx.

    Without `ours` a whole `bootstrapd serve` is started, with its image on this machine's disk.
    """
    with contextlib.ExitStack() as stack:
        ours = ours or stack.enter_context(_bootstrapd())
        peer = stack.enter_context(_nginx())
        stack.enter_context(pinned(CLIENT_CORE))
        rounds = [(load(ours), load(peer)) for _ in range(ROUNDS)]
    return {
        "http_cpu_s_per_gb": _row(rounds, lambda made: made.cpu_s_per_gb, "CPU s/GB"),
        "http_script_p50_ms": _row(rounds, lambda made: statistics.median(made.latencies_ms), "ms"),
        "http_script_p99_ms": _row(rounds, lambda made: p99(made.latencies_ms), "ms"),
    }


def load(target: Target) -> Load:
    """One round: every download from its first byte to its last."""
    before = cpu_s(target.pid)
    taken, latencies = _Client(target).run()
    return Load((cpu_s(target.pid) - before) / (taken / 1e9), latencies)


def cpu_s(pid: int) -> float:
    """User and system seconds of a process, all threads (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class _Client:
    """Takes downloads without copying them (MSG_TRUNC, tcp(7)), so that the server is what is measured."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._selector = selectors.DefaultSelector()
        self._discard = bytearray(4 << 20)
        self._left: dict[socket.socket, int] = {}  # bytes still to come
        self._taken = 0
        self._latencies: list[float] = []
        self._due = 0.0  # of the small GET that is on its way, or else of the next one
        self._is_asking = False
        self._answer = b""

    def run(self) -> tuple[int, list[float]]:
        """Bytes taken in all, and the small GETs' latencies in ms."""
        small = self._connected()
        self._due = time.perf_counter()
        for _ in range(DOWNLOADS):
            self._left[self._ask(self._target.big)] = -1
        deadline = time.monotonic() + PATIENCE_S
        while self._left:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(self._left)} downloads did not end in {PATIENCE_S} s")
            if not self._is_asking and time.perf_counter() >= self._due:
                self._request(small, self._target.small)
                self._is_asking = True
            for key, _ in self._selector.select(PACE_S):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                if connection is small:
                    self._answered(small)
                else:
                    self._take(connection)
        small.close()
        self._selector.close()
        return self._taken, self._latencies

    def _ask(self, path: str) -> socket.socket:
        connection = self._connected()
        self._request(connection, path)
        return connection

    def _connected(self) -> socket.socket:
        connection = socket.create_connection((HOST, self._target.port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(connection, selectors.EVENT_READ)
        return connection

    def _request(self, connection: socket.socket, path: str) -> None:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())

    def _answered(self, small: socket.socket) -> None:
        self._answer += small.recv(1 << 16)
        head, end, body = self._answer.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or length is None or len(body) < int(length[1]):
            return
        assert head.startswith(b"HTTP/1.1 200 "), head
        self._latencies.append((time.perf_counter() - self._due) * 1e3)
        self._answer, self._is_asking = b"", False
        self._due += PACE_S

    def _take(self, connection: socket.socket) -> None:
        left = self._left[connection]
        if left < 0:
            first = connection.recv(4096)
            head, _, body = first.partition(b"\r\n\r\n")
            length = _LENGTH.search(head)
            assert head.startswith(b"HTTP/1.1 200 "), first[:80]
            assert length is not None
            left, got = int(length[1]), len(body)
        else:
            got = connection.recv_into(self._discard, 0, socket.MSG_TRUNC)
            assert got, "the server hung up"
        self._taken += got
        self._left[connection] = left - got
        if left == got:
            self._selector.unregister(connection)
            connection.close()
            del self._left[connection]


@contextlib.contextmanager
def _bootstrapd() -> Iterator[Target]:
    with serving("lo", PORTS, image_bytes=FILE_BYTES) as appliance:
        yield Target(appliance.pid, 18080, "/images/installer/initrd", SCRIPT)


@contextlib.contextmanager
def _nginx() -> Iterator[Target]:
    """One nginx process with `sendfile on`, its own configuration and files, nothing of the system's."""
    with tempfile.TemporaryDirectory(prefix="nginx-bench-") as name:
        folder = Path(name)
        (folder / "big").write_bytes(os.urandom(1 << 20) * (FILE_BYTES >> 20))
        (folder / "small").write_bytes(b"#!ipxe\n" * 60)
        (folder / "nginx.conf").write_text(
            f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;\n"
            "events { worker_connections 256; }\n"
            f"http {{ access_log off; sendfile on; client_body_temp_path {folder}; proxy_temp_path {folder};\n"
            f"fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};\n"
            "keepalive_requests 1000000;\n"
            f"server {{ listen {HOST}:{PEER_PORT}; root {folder}; }} }}\n"
        )
        command = [
            "taskset",
            "-c",
            str(SERVER_CORE),
            "nginx",
            "-e",
            f"{folder}/log",
            "-c",
            f"{folder}/nginx.conf",
        ]
        process = subprocess.Popen(command)
        try:
            _wait_for(PEER_PORT)
            yield Target(process.pid, PEER_PORT, "/big", "/small")
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(port: int, patience_s: float = 10.0) -> None:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port)):
            return
        time.sleep(0.01)
    raise RuntimeError(f"nothing listens on port {port}")


def _row(rounds: list[tuple[Load, Load]], figure: Callable[[Load], float], unit: str) -> Row:
    ours, peer = (statistics.median(figure(made) for made in side) for side in zip(*rounds, strict=True))
    return Row(ours, peer, "nginx", unit)
