"""The command line as a person meets it, and a daemon to talk to whose core is a fake."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import core_acts
import pytest
from msgspec import Struct
from msgspec.structs import replace

from bootstrapd.cli import main
from bootstrapd.edge.api import ApiServer
from bootstrapd.errors import RefusedError
from bootstrapd.model import Arch, Door, Mac, Nic, Stage, State
from bootstrapd.model.hardware import Disk, Hardware
from bootstrapd.model.view import (
    Explained,
    HostView,
    ImageView,
    ListenerView,
    MachineView,
    NoticeView,
    StageView,
    StatusView,
)

ROOT = Path(__file__).parents[2]
STRANGER = Mac.parse("52:54:00:aa:bb:99")
DEADLINE_S = 20.0


MAC = core_acts.MAC


class Said(Struct):
    """What a command ended with."""

    code: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder that does not exist yet."""
    return tmp_path / "state"


@pytest.fixture
def run(state: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line in this process, on the state folder of this test."""
    monkeypatch.setenv("BOOTSTRAPD_STATE", str(state))
    monkeypatch.delenv("BOOTSTRAPD_CONFIG", raising=False)

    def run(*args: str, stdin: str | None = None) -> Said:
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        code = main(args)
        out, err = capsys.readouterr()
        return Said(code, out, err)

    return run


def process(*args: str, state: Path, stdout: int | None = subprocess.PIPE) -> subprocess.Popen[str]:
    """The same as a process of its own."""
    return subprocess.Popen(
        [sys.executable, *args],
        cwd=ROOT,
        env=os.environ | {"BOOTSTRAPD_STATE": str(state)},
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    )


class FakeCore(core_acts.CoreActs):
    """A daemon with one host, its machine, and one stranger."""

    def __init__(self) -> None:
        super().__init__()
        self.mistakes: list[str] = []
        self.problems: tuple[str, ...] = ()
        known = MachineView(
            id=MAC.hex,
            state=State.LIVE,
            macs=(MAC,),
            host="node-1",
            profile="minimal",
            serial="evil\x1b[31m",
            firmware="UEFI x64",
            first_seen=1_700_000_000.0,
            last_seen=1_700_000_100.0,
            stages=(
                StageView(name="asked", at=1.0),
                StageView(name="chain", at=3.5, detail="snponly.efi by tftp"),
            ),
            notices=(NoticeView(code="SITE_FILENAME_WINS", reason="another server's file name won", at=1.0),),
            hardware=Hardware(
                cpu_threads=8,
                cpu_model="Some CPU",
                nics=(Nic(name="eth0", mac=MAC, driver="virtio_net"),),
                disks=(Disk(name="vda", size_bytes=10_000_000_000, serial="S1"),),
            ),
        )
        stranger = MachineView(id=STRANGER.hex, state=State.SEEN, macs=(STRANGER,))
        self.known = {machine.id: machine for machine in (known, stranger)}

    def status(self) -> StatusView:
        doors = (("dhcp", 67), ("pxe", 4011), ("tftp", 69), ("http", 80))
        return StatusView(
            version="0",
            pid=1,
            started=1_700_000_000.0,
            hosts=1,
            profiles=2,
            images=1,
            machines=len(self.known),
            listeners=tuple(
                ListenerView(door=door, address="10.0.0.1", port=port, interface="eth0") for door, port in doors
            ),
            problems=self.problems,
        )

    def hosts(self) -> list[HostView]:
        seen = self.known.get(MAC.hex)
        return [
            HostView(
                name="node-1",
                profile="minimal",
                macs=(MAC,),
                machine=MAC.hex if seen else "",
                state=seen.state if seen else None,
                last_seen=seen.last_seen if seen else 0.0,
                why="its image has no init= of this build" if seen else "",
            )
        ]

    def host(self, name: str) -> HostView | None:
        return next((host for host in self.hosts() if host.name == name), None)

    def machines(self) -> list[MachineView]:
        return list(self.known.values())

    def machine(self, key: str) -> MachineView | None:
        return self.known.get(key.lower().replace(":", "").replace("-", ""))

    def images(self) -> list[ImageView]:
        return [ImageView(name="installer")]

    def explain(self, mac: Mac, arch: Arch | None, stage: Stage | None, door: Door | None) -> list[Explained]:
        self.asked.append(("explain", mac, arch and arch.code, stage, door))
        if door is Door.TFTP:
            return []
        fields = [("siaddr", "10.0.0.1"), ("file", "x" * 200)]
        script = "#!ipxe\nboot\x1b[2J"
        return [
            Explained(
                door=Door.DHCP,
                stage=Stage.FIRMWARE,
                arch="UEFI x64",
                rule="I12",
                reason="node-1 boots",
                fields=fields,
                script=script,
            )
        ]

    async def adopt(self, machine: str, host: str, *, ready: bool) -> MachineView:
        self.asked.append(("adopt", machine, host, ready))
        if host == "taken":
            raise RefusedError("taken is machine 1 already; 'bootstrapd machines forget 1' first", "HOST_TAKEN")
        found = self.machine(machine)
        assert found is not None
        return replace(found, host=host, state=State.READY if ready else found.state)

    async def forget(self, machine: str, *, force: bool = False) -> bool:
        self.asked.append(("forget", machine, force) if force else ("forget", machine))
        return self.known.pop(machine, None) is not None

    async def reload(self) -> list[str]:
        self.asked.append(("reload",))
        return self.mistakes


@pytest.fixture
def daemon(state: Path) -> Iterator[FakeCore]:
    """A live API on the state folder's socket, in a thread of its own."""
    core, ready, stop = FakeCore(), threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def live() -> None:
        server = ApiServer(state / "run" / "api.sock", core, Counter())
        await server.start()
        ready.set()
        await stop.wait()
        await server.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(live()))
    thread.start()
    try:
        assert ready.wait(DEADLINE_S)
        yield core
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(DEADLINE_S)
        loop.close()
