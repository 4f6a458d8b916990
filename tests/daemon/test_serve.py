"""`bootstrapd serve` as a process, on loopback with high ports: starting, refusing, changing, dying."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from builders import MAC, registration
from loopback import free_ports

from bootstrapd.wire import cpio

PATIENCE_S: Final = 15.0
SCRIPT: Final = f"/boot/{MAC.hexhyp}.ipxe"


class Server:
    """One appliance on loopback; `start` may be called again after `kill`."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.dhcp, self.pxe, self.tftp, self.http = free_ports(4)
        self.process: subprocess.Popen[str] | None = None

    def command(self) -> list[str]:
        ports = {
            "--dhcp-port": self.dhcp,
            "--pxe-port": self.pxe,
            "--tftp-port": self.tftp,
            "--http-port": self.http,
        }
        flags = [str(word) for pair in ports.items() for word in pair]
        base = [
            sys.executable,
            "-m",
            "bootstrapd.cli",
            "serve",
            "--state",
            str(self.state),
            "--interface",
            "lo",
        ]
        return [*base, *flags]

    def start(self) -> None:
        self.process = subprocess.Popen(self.command(), stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        said = []
        for line in self.process.stderr:
            said.append(line)
            if '"event": "serving"' in line:
                return
        pytest.fail("".join(said))

    def wait_for(self, happened: Callable[[], bool]) -> None:
        """Until it happened, with a deadline; asking is the only way to know from outside."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if happened():
                    return
            assert self.process is None or self.process.poll() is None, self.process.communicate()[1]
            os.sched_yield()
        pytest.fail(f"not within {PATIENCE_S} s; /readyz says {self.get('/readyz')}")

    def get(self, path: str, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=PATIENCE_S)
        with contextlib.closing(connection):
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def api(self, path: str) -> Any:
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.closing(connection):
            connection.sock.connect(str(self.state / "run" / "api.sock"))
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None

    def register(self) -> tuple[int, dict[str, str]]:
        """What iPXE and the agent do over HTTP."""
        script = self.get(SCRIPT)[1].decode()
        found = re.search(r"http://[^/]+(/overlay/\S+)", script)
        assert found, script
        files = {file.path: file.data for file in cpio.parse(self.get(found[1])[1])}
        body = registration(files["bootstrapd/token"].decode().strip())
        status, answer = self.get("/v1/register", "POST", body)
        return status, json.loads(answer)


def declare(
    state: Path, name: str = "cim-1", text: str = f'profile = "minimal"\n[match]\nmac = ["{MAC}"]\n'
) -> Path:
    file = state / "hosts" / name / "host.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def add_image(state: Path) -> None:
    source = state / "source"
    source.mkdir()
    kernel = bytearray(4096)
    kernel[0x1FE:0x200], kernel[0x202:0x206] = b"\x55\xaa", b"HdrS"
    (source / "bzImage").write_bytes(kernel)
    (source / "initrd").write_bytes(b"initrd")
    command = [
        sys.executable,
        "-m",
        "bootstrapd.cli",
        "images",
        "add",
        "installer",
        str(source),
        "--state",
        str(state),
    ]
    command += ["--kernel", "bzImage", "--initrd", "initrd", "--cmdline", "quiet", "--arch", "x86_64"]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A site whose machines boot their image and stay live."""
    declare(tmp_path)
    (tmp_path / "hosts/profiles").mkdir()
    (tmp_path / "hosts/profiles/minimal.toml").write_text('image = "installer"\n')
    add_image(tmp_path)
    return tmp_path


@pytest.fixture
def server(state: Path) -> Iterator[Server]:
    server = Server(state)
    server.start()
    yield server
    server.kill()


def test_a_machine_registers_and_a_kill_forgets_nothing(server: Server) -> None:
    assert server.register() == (200, {"status": "accepted", "machine": MAC.hex, "host": "cim-1"})
    server.kill()
    server.start()
    (machine,) = server.api("/v1/machines")
    assert (machine["state"], machine["host"], machine["hardware"]["cpu_threads"]) == ("live", "cim-1", 4)
    assert [stage["name"] for stage in machine["stages"]] == ["asked", "script", "registered"]


def test_a_token_given_before_a_kill_is_good_after_it(server: Server) -> None:
    found = re.search(r"(/overlay/\S+)", server.get(SCRIPT)[1].decode())
    assert found
    server.wait_for(lambda: b"TokenIssued" in (server.state / "journal.db-wal").read_bytes())
    server.kill()
    server.start()
    files = {file.path: file.data for file in cpio.parse(server.get(found[1])[1])}
    body = registration(files["bootstrapd/token"].decode().strip())
    assert server.get("/v1/register", "POST", body)[0] == 200


def test_sigterm_ends_it_cleanly_and_at_once(server: Server) -> None:
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    server.process.communicate(timeout=PATIENCE_S)
    assert server.process.returncode == 0
    assert not (server.state / "run" / "api.sock").exists()
    server.process = None


def test_a_new_host_and_a_broken_file_are_noticed_while_running(server: Server) -> None:
    other = "52:54:00:77:00:99"
    path = f"/boot/{other.replace(':', '-')}.ipxe"
    assert server.get(path)[0] == 404
    declare(server.state, "new", f'profile = "minimal"\n[match]\nmac = ["{other}"]\n')
    server.wait_for(lambda: server.get(path)[0] == 200)
    broken = declare(server.state, "broken", "profile = ")
    server.wait_for(lambda: "broken/host.toml" in str(server.api("/v1/status")["problems"]))
    assert server.get(path)[0] == 200, "the last good set still serves"
    assert server.get("/readyz") == (200, b"ready\n")
    broken.unlink()
    server.wait_for(lambda: "broken/host.toml" not in str(server.api("/v1/status")["problems"]))


def test_an_images_folder_that_goes_away_stops_nothing(server: Server) -> None:
    away = server.state / "images.away"
    (server.state / "images").rename(away)
    server.wait_for(lambda: server.api("/v1/status")["images"] == 0)
    assert server.get("/healthz")[0] == 200
    away.rename(server.state / "images")
    server.wait_for(lambda: server.api("/v1/status")["images"] == 1)


def test_metrics_count_and_health_answers(server: Server) -> None:
    server.get(SCRIPT)
    metrics = server.get("/metrics")[1].decode()
    assert 'bootstrapd_total{what="decision.script"} 1.0' in metrics
    assert server.get("/healthz") == (200, b"ok\n")


def refused(server: Server, *, words: tuple[str, ...], code: int, command: list[str] | None = None) -> None:
    ended = subprocess.run(command or server.command(), capture_output=True, text=True, timeout=PATIENCE_S)
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    for word in words:
        assert word in ended.stderr


DOORS = {
    "dhcp": socket.SOCK_DGRAM,
    "pxe": socket.SOCK_DGRAM,
    "tftp": socket.SOCK_DGRAM,
    "http": socket.SOCK_STREAM,
}


@pytest.mark.parametrize(("door", "kind"), DOORS.items(), ids=DOORS)
def test_a_port_in_use_is_named(state: Path, door: str, kind: socket.SocketKind) -> None:
    server = Server(state)
    port = getattr(server, door)
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", port))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        refused(server, words=(str(port),), code=3)


def test_a_second_appliance_on_the_same_state_is_refused(server: Server) -> None:
    other = Server(server.state)
    refused(other, words=("in use by process", str(server.state)), code=3)


def test_no_such_interface(state: Path) -> None:
    server = Server(state)
    command = ["nonesuch0" if word == "lo" else word for word in server.command()]
    refused(server, words=("nonesuch0",), code=2, command=command)


def test_a_broken_folder_at_start_names_file_and_key(state: Path) -> None:
    declare(state, "cim-2", 'profile = "nonesuch"\n')
    refused(Server(state), words=("cim-2/host.toml", "profile", "nonesuch"), code=2)


def test_a_state_folder_that_cannot_be_made() -> None:
    refused(Server(Path("/proc/bootstrapd")), words=("/proc/bootstrapd", "cannot be made", "--state"), code=3)
