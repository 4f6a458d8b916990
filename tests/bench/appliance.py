"""A real `bootstrapd serve` for the benches: 1,000 hosts, one image, pinned to a core."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

HOSTS: Final = 1000
SERVER_CORE: Final = 0
CLIENT_CORE: Final = 1


def mac_of(number: int) -> str:
    """The MAC of the n-th enrolled host."""
    return f"52:54:00:00:{number >> 8:02x}:{number & 255:02x}"


def make_state(folder: Path, hosts: int = HOSTS, image_bytes: int = 0, profile: str = "") -> None:
    """A state folder as an operator would have it: enrolled hosts, an image with a file of `image_bytes`.

    `profile` is the text of the hosts' profile, "" = the shipped one.
    """
    if profile:
        (folder / "hosts" / "profiles").mkdir(parents=True)
        (folder / "hosts" / "profiles" / "minimal.toml").write_text(profile)
    for number in range(hosts):
        own = folder / "hosts" / f"host-{number:05}"
        own.mkdir(parents=True)
        (own / "host.toml").write_text(f'profile = "minimal"\n[match]\nmac = ["{mac_of(number)}"]\n')
    source = folder / "source"
    source.mkdir()
    kernel = bytearray(4096)
    kernel[0x1FE:0x200], kernel[0x202:0x206] = b"\x55\xaa", b"HdrS"
    (source / "bzImage").write_bytes(kernel)
    (source / "initrd").write_bytes(os.urandom(1 << 20) * max(1, image_bytes >> 20))
    command = [sys.executable, "-m", "bootstrapd.cli", "images", "add", "installer", str(source)]
    command += ["--kernel", "bzImage", "--initrd", "initrd", "--cmdline", "quiet", "--arch", "x86_64"]
    subprocess.run([*command, "--state", str(folder)], check=True, capture_output=True)


class Serving:
    """A running appliance."""

    def __init__(self, process: subprocess.Popen[bytes], state: Path, start_s: float) -> None:
        self.process = process
        self.state = state
        self.start_s = start_s

    @property
    def pid(self) -> int:
        return self.process.pid

    def rss_mb(self) -> float:
        """Resident memory now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def status(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(ask(self.state / "run" / "api.sock", "/v1/status"))
        return found


def ask(path: Path, url: str) -> bytes:
    """GET over a Unix socket."""
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.connect(str(path))
    connection.request("GET", url)
    return connection.getresponse().read()


@contextlib.contextmanager
def serving(
    interface: str,
    flags: Sequence[str] = (),
    *,
    within: Sequence[str] = (),
    hosts: int = HOSTS,
    image_bytes: int = 0,
    core: int = SERVER_CORE,
    profile: str = "",
) -> Iterator[Serving]:
    """`bootstrapd serve` on `interface`; `within` is a prefix such as `ip netns exec NAME`."""
    with tempfile.TemporaryDirectory(prefix="bootstrapd-bench-") as folder:
        state = Path(folder)
        make_state(state, hosts, image_bytes, profile)
        command = [*within, "taskset", "-c", str(core), sys.executable, "-m", "bootstrapd.cli", "serve"]
        command += ["--state", folder, "--interface", interface, "--log-level", "warning", *flags]
        started = time.monotonic()
        with (state / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield Serving(process, state, _wait(process, state, started))
        finally:
            process.terminate()
            process.wait(10)


def _wait(process: subprocess.Popen[bytes], state: Path, started: float, patience_s: float = 15.0) -> float:
    """Seconds until it serves: the API's socket is the last door to open."""
    while time.monotonic() < started + patience_s:
        with contextlib.suppress(OSError):
            ask(state / "run" / "api.sock", "/v1/status")
            return time.monotonic() - started
        if process.poll() is not None:
            break
        time.sleep(0.005)
    raise RuntimeError(f"bootstrapd serve did not start:\n{(state / 'log').read_text()[-2000:]}")


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """This process on one core, as far as it may."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core} & before or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
