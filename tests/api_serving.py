"""The operator's API on a Unix socket over a made-up core, and a client of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import core_acts

from bootstrapd.edge.api import ApiServer
from bootstrapd.errors import EdgeError, RefusedError
from bootstrapd.model import Arch, Door, Mac, Stage, State
from bootstrapd.model.view import Explained, HostView, ImageView, MachineView, StatusView

DEADLINE_S = 5.0


MAC = core_acts.MAC


class FakeCore(core_acts.CoreActs):
    """One host, one machine; remembers what it was asked to do."""

    def __init__(self) -> None:
        super().__init__()
        self.machine_view = MachineView(id=MAC.hex, state=State.LIVE, macs=(MAC,), host="node-1")

    def status(self) -> StatusView:
        return StatusView(version="0", pid=1, started=1.0)

    def hosts(self) -> list[HostView]:
        return [HostView(name="node-1", profile="minimal", macs=(MAC,))]

    def host(self, name: str) -> HostView | None:
        return self.hosts()[0] if name == "node-1" else None

    def machines(self) -> list[MachineView]:
        return [self.machine_view]

    def machine(self, key: str) -> MachineView | None:
        return self.machine_view if key.lower().replace("-", ":") in {MAC, MAC.hex} else None

    def images(self) -> list[ImageView]:
        return [ImageView(name="minimal")]

    def explain(self, mac: Mac, arch: Arch | None, stage: Stage | None, door: Door | None) -> list[Explained]:
        self.asked.append(("explain", mac, arch and arch.code, stage, door))
        return [Explained(door=Door.DHCP, stage=Stage.FIRMWARE, arch="BIOS", rule="P1", reason="because")]

    async def adopt(self, machine: str, host: str, *, ready: bool) -> MachineView:
        self.asked.append(("adopt", machine, host, ready))
        if host == "nobody":
            raise RefusedError("there is no host 'nobody'; add it first", "NO_SUCH_HOST")
        return self.machine_view

    async def forget(self, machine: str, *, force: bool = False) -> bool:
        self.asked.append(("forget", machine, force) if force else ("forget", machine))
        return True

    async def reload(self) -> list[str]:
        return ["hosts/a/host.toml: profile: unknown", "hosts/b/host.toml: match.mac: wrong"]


class BrokenCore(FakeCore):
    """Everything it is asked fails, each in its own way."""

    def status(self) -> StatusView:
        raise EdgeError("the disk is full")

    def hosts(self) -> list[HostView]:
        raise KeyError("secret detail")


class Rig:
    """A server with its client and its counters."""

    def __init__(
        self, server: ApiServer, path: Path, client: aiohttp.ClientSession, counters: Counter[str]
    ) -> None:
        self.server = server
        self.path = path
        self.client = client
        self.counters = counters

    async def ask(self, method: str, route: str, **given: Any) -> tuple[int, Any]:
        async with self.client.request(method, f"http://localhost{route}", **given) as response:
            return response.status, json.loads(await response.read())


@asynccontextmanager
async def serving(folder: Path, core: FakeCore) -> AsyncIterator[Rig]:
    path, counters = folder / "run" / "api.sock", Counter[str]()
    server = ApiServer(path, core, counters)
    await server.start()
    try:
        timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path)), timeout=timeout) as client:
            yield Rig(server, path, client, counters)
    finally:
        await server.close()
