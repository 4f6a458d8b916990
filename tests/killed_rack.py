"""A rack to kill the appliance over: the real daemon, and four machines that behave as machines do.

A machine asks for its script over real sockets, registers from its live system, reboots when it is told to, and
reports from its own disk. It keeps what the appliance acknowledged: that is what may not be lost.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import re
import select
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from dhcp_packets import discover
from loopback import free_ports

from bootstrapd.model import Disk, Hardware, Mac, Nic, Registration, Report, encode
from bootstrapd.policy.install_steps import MARK
from bootstrapd.policy.machine import token_id
from bootstrapd.wire import cpio

MACHINES: Final = 4
TURN_S: Final = 0.02  # how often a machine looks whether something happened to it
PATIENCE_S: Final = 180.0  # a round where every tool is slow, on a machine that has other things to do
TOOLS: Final = ("nix", "ssh", "nixos-anywhere")
PORTS: Final = ("dhcp", "pxe", "tftp", "http")
CONFIG: Final = '[install]\nat_once = 2\n[nats]\nsite = "killed"\n'
BY: Final = "a test"
AWAY: Final = (OSError, http.client.HTTPException)  # what a caller of a dead appliance gets


class Acknowledged(NamedTuple):
    """What the appliance answered with success: it may not forget it."""

    kind: str  # the event that says it: "Registered" | "Reported" | "Armed"
    host: str
    what: str  # the token's name | the boot id | the arm's id


class PowerCutError(Exception):
    """The machine was switched off and on."""


class SimMachine(threading.Thread):
    """One machine: `switch` is its power button, `mishaps` is what an appliance should not have done to it."""

    def __init__(self, rack: Rack, number: int) -> None:
        self.host = f"cim-{number}"
        super().__init__(name=self.host, daemon=True)
        self.mac = Mac.parse(f"52:54:00:77:00:1{number}")
        self.address = f"127.0.0.{20 + number}"
        self.folder = rack.folder / "machines" / self.address
        self.folder.mkdir(parents=True)
        self.is_over = False
        self.acknowledged: list[Acknowledged] = []
        self.refused: list[str] = []
        self.mishaps: list[str] = []
        self.state = "off"
        self._rack = rack
        self._dice = random.Random(number)
        self._switched = threading.Event()
        self.write("disk", "blank")

    def switch(self) -> None:
        """Off and on again."""
        self.state = "off"
        self._switched.set()

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def write(self, name: str, text: str) -> None:
        new = self.folder / f".{name}.new"
        new.write_text(text)
        new.rename(self.folder / name)

    def run(self) -> None:
        self._switched.wait()
        while not self.is_over:
            self._switched.clear()
            for name in ("live", "mounted", "reboot"):
                (self.folder / name).unlink(missing_ok=True)
            with contextlib.suppress(PowerCutError, *AWAY):  # no script: the next power-on is at once
                self._boot()

    def end(self) -> None:
        self.is_over = True
        self.switch()
        self.join()

    def _turn(self) -> None:
        if self._switched.wait(TURN_S):
            raise PowerCutError

    def _boot(self) -> None:
        self._turn()
        self.state = "booting"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dhcp:
            dhcp.sendto(
                discover(xid=self._dice.getrandbits(32), mac=bytes.fromhex(self.mac.hex)),
                ("127.0.0.1", self._rack.ports["dhcp"]),
            )
        status, body = self._ask("GET", f"/boot/{self.mac.hexhyp}.ipxe")
        script = body.decode()
        if status == 200 and "/overlay/" in script:
            self._live_system(script)
        elif status == 200 and "boots its own disk" in script:
            self._own_disk()

    def _live_system(self, script: str) -> None:
        path = re.search(r"http://[^/]+(/overlay/\S+)", script)
        initrd = re.search(r"http://[^/]+(/images/\S+initrd\S*)", script)
        assert path, script
        assert initrd, script
        status, overlay = self._ask("GET", path[1])
        if status != 200 or self._ask("GET", initrd[1])[0] != 200:
            return
        token = {file.path: file.data for file in cpio.parse(overlay)}["bootstrapd/token"].decode().strip()
        key = f"ssh-ed25519 AAAA{self._dice.getrandbits(128):032x}"
        self.write("live", key)
        self.state = "live"
        if self._insist("/v1/register", self._registration(token, key)):
            self.acknowledged.append(Acknowledged("Registered", self.host, token_id(token)))
            self.state = "registered"
            self._until_rebooted()

    def _own_disk(self) -> None:
        if self.read("disk") != "whole":
            self.mishaps.append(f"{self.host} was sent to its own disk, which is {self.read('disk')}")
            return
        self.state = "starting its own system"
        token = self.folder / "system/var/lib/bootstrapd-report/token"
        if token.exists():
            boot_id = f"boot-{self._dice.getrandbits(64):016x}"
            closure = self.read("system/closure")
            report = Report(token=token.read_text().strip(), closure=closure, boot_id=boot_id)
            if self._insist("/v1/report", encode(report)):
                self.acknowledged.append(Acknowledged("Reported", self.host, boot_id))
                token.unlink()
        self.state = "own disk"
        self._until_rebooted()

    def _until_rebooted(self) -> None:
        while not (self.folder / "reboot").exists():
            self._turn()

    def _insist(self, path: str, body: bytes) -> bool:
        """As the agent does: until it is answered; its refusal ends it."""
        while True:
            with contextlib.suppress(*AWAY):
                status, answer = self._ask("POST", path, body)
                if status == 200:
                    return True
                if status < 500:
                    self.refused.append(f"{path}: {answer.decode()}")
                    return False
            self._turn()

    def _ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._rack.ports["http"], timeout=PATIENCE_S, source_address=(self.address, 0)
        )
        with contextlib.closing(connection):
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def _registration(self, token: str, key: str) -> bytes:
        serial = f"S{self.mac.hex}"
        hardware = Hardware(
            nics=(Nic(name="eth0", mac=self.mac),),
            disks=(
                Disk(
                    name="vda",
                    size_bytes=10**12,
                    serial=serial,
                    by_id=f"/dev/disk/by-id/virtio-{serial}",
                    type="virtual",
                ),
            ),
            firmware="uefi",
            cpu_threads=4,
            memory_bytes=2**33,
        )
        return encode(Registration(token=token, boot_mac=self.mac, hardware=hardware, host_key=key))


class Rack:
    """The appliance and its machines. `start` may be called again after `kill`; nothing outlives `close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.process: subprocess.Popen[bytes] | None = None
        self._arms: list[Acknowledged] = []
        self._make_tools()
        self._make_state()
        self.machines = [SimMachine(self, number) for number in range(1, MACHINES + 1)]
        for machine in self.machines:
            self._declare(machine)
            machine.start()

    @property
    def acknowledged(self) -> list[Acknowledged]:
        return [*self._arms, *(each for machine in self.machines for each in machine.acknowledged)]

    def arm(self, machine: SimMachine) -> None:
        """As a person does: until it is answered. Where an answer was lost, an install may run already."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            with contextlib.suppress(*AWAY):
                status, said = self.api(f"/v1/hosts/{machine.host}/arm", "POST", {"by": BY})
                assert status == 200 or said["code"] == "MID_INSTALL", said
                if said.get("arm"):
                    self._arms.append(Acknowledged("Armed", machine.host, said["arm"]["id"]))
                return
            os.sched_yield()
        raise AssertionError("nobody takes the arm")

    def attend(self) -> bool:
        """What a person does who reads `hosts why`; whether everything has come to rest."""
        hosts = self.hosts()
        at_rest = [self._attend(machine, host) for machine, host in zip(self.machines, hosts, strict=False)]
        return len(at_rest) == MACHINES and all(at_rest)

    def _attend(self, machine: SimMachine, host: dict[str, Any]) -> bool:
        if machine.state not in {"registered", "own disk"}:
            return False
        is_to_reboot = host["state"] == "ready" and host["arm"] and machine.state == "own disk"
        if is_to_reboot or "power it on" in host["why"]:
            machine.switch()
            return False
        if "it is tried again by itself" in host["why"]:
            with contextlib.suppress(*AWAY):
                self.api(f"/v1/hosts/{machine.host}/retry", "POST", {"by": BY})
            return False
        return host["arm"] is None and (host["state"] == "ready" or host["failure"] is not None)

    def until_rest(self) -> None:
        self.until(self.attend)

    def until(self, is_so: Callable[[], bool]) -> None:
        """Asking is the only way to know from outside."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._is(is_so):
            assert time.monotonic() < deadline, self.why_not()
            select.select([], [], [], TURN_S)

    def _is(self, so: Callable[[], bool]) -> bool:
        with contextlib.suppress(*AWAY):
            return so()
        return False

    def why_not(self) -> str:
        lines = [
            f"{m.host}: {m.state}, its disk {m.read('disk')}, refused {m.refused[-2:]}" for m in self.machines
        ]
        lines += [f"{h['name']}: {h['state']} {h['phase']}, {h['why']}, arm {h['arm']}" for h in self.hosts()]
        log = (self.folder / "log").read_text().splitlines()[-40:]
        return "\n".join(["it does not come to rest", *lines, *log])

    def start(self) -> None:
        """Returns at once: a start is a moment to be killed at like any other."""
        command = [sys.executable, "-m", "bootstrapd.cli", "serve", "--interface", "lo"]
        command += ["--state", str(self.state), "--config", str(self.folder / "config.toml")]
        for name, port in self.ports.items():
            command += [f"--{name}-port", str(port)]
        path = f"{self.folder}/tools:{os.environ['PATH']}"
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"PATH": path})

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def written(self) -> int:
        """Grows with each piece that is written onto any disk."""
        logs = [machine.folder / "log" for machine in self.machines]
        return sum(log.stat().st_size for log in logs if log.exists())

    @contextlib.contextmanager
    def slow_disk(self) -> Iterator[None]:
        """No event gets onto the disk meanwhile: what the appliance says and does must wait."""
        journal = sqlite3.connect(self.state / "journal.db", isolation_level=None, timeout=PATIENCE_S)
        with contextlib.closing(journal):
            journal.execute("BEGIN IMMEDIATE")
            yield
            journal.execute("ROLLBACK")

    def ask_to_stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def stop(self) -> int:
        """Ends it as an operator does; its exit code."""
        assert self.process is not None
        self.ask_to_stop()
        return self.process.wait(PATIENCE_S)

    def api(self, path: str, method: str = "GET", body: object = None) -> tuple[int, Any]:
        """OSError while no appliance is there."""
        connection = http.client.HTTPConnection("localhost")
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(PATIENCE_S)
        with contextlib.closing(connection):
            connection.sock.connect(str(self.state / "run" / "api.sock"))
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def hosts(self) -> list[dict[str, Any]]:
        """As the API shows them; [] while there is no appliance."""
        with contextlib.suppress(*AWAY):
            found: list[dict[str, Any]] = self.api("/v1/hosts")[1]
            return found
        return []

    def left(self) -> dict[int, str]:
        """Processes that an appliance of this rack started, and that still run: their number and command."""
        ours = [f"{MARK}={self.state}/".encode(), str(self.state / "nats").encode()]
        found = {}
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and (self.process is None or int(process.name) != self.process.pid):
                words = b"\0".join(_words_of(process))
                if any(mark in words for mark in ours):
                    found[int(process.name)] = words[:200].replace(b"\0", b" ").decode(errors="replace")
        return found

    def close(self) -> None:
        for machine in self.machines:
            machine.end()
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for pid in self.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _make_tools(self) -> None:
        text = (Path(__file__).parent / "killed_tool.py").read_text()
        for name in TOOLS:
            program = self.folder / "tools" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(f"#!{sys.executable} -IS\n{text}")
            program.chmod(0o755)
        (self.folder / "store").mkdir()

    def _make_state(self) -> None:
        (self.folder / "config.toml").write_text(CONFIG)
        profiles = self.state / "hosts/profiles"
        profiles.mkdir(parents=True)
        (profiles / "minimal.toml").write_text('image = "installer"\nlayout = "single-disk"\n')
        source = self.folder / "source"
        source.mkdir()
        kernel = bytearray(4096)
        kernel[0x1FE:0x200], kernel[0x202:0x206] = b"\x55\xaa", b"HdrS"
        (source / "bzImage").write_bytes(kernel)
        (source / "initrd").write_bytes(b"initrd")
        command = [sys.executable, "-m", "bootstrapd.cli", "images", "add", "installer", str(source)]
        command += ["--kernel", "bzImage", "--initrd", "initrd", "--cmdline", "quiet", "--arch", "x86_64"]
        subprocess.run([*command, "--state", str(self.state)], check=True, capture_output=True)
        shutil.rmtree(source)

    def _declare(self, machine: SimMachine) -> None:
        file = self.state / "hosts" / machine.host / "host.toml"
        file.parent.mkdir()
        file.write_text(f'profile = "minimal"\n[match]\nmac = ["{machine.mac}"]\n')


def _words_of(process: Path) -> Iterator[bytes]:
    for name in ("cmdline", "environ"):
        with contextlib.suppress(OSError):
            yield (process / name).read_bytes()
