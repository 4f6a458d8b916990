"""Small fleets for tests: hosts, images and setups with as little said as the test needs."""

from __future__ import annotations

import itertools
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from bootstrapd import shipped
from bootstrapd.daemon.admit import Admissions
from bootstrapd.daemon.appliance import Appliance, Chance
from bootstrapd.daemon.files import Files
from bootstrapd.daemon.writer import Writer
from bootstrapd.model import (
    ARCHES,
    Ask,
    Door,
    Feature,
    Hardware,
    Host,
    HostBook,
    Image,
    Mac,
    Nic,
    Profile,
    Program,
    Registration,
    Stage,
    Transition,
    encode,
)
from bootstrapd.policy.boot import Setup
from bootstrapd.policy.machine import Machine
from bootstrapd.policy.match import index
from bootstrapd.policy.render import Scripts

MAC = Mac.parse("52:54:00:77:00:10")
OTHER_MAC = Mac.parse("52:54:00:77:00:11")
STRANGER = Mac.parse("52:54:00:00:00:99")
SERVER = "10.77.0.2"
CLIENT = "10.77.0.50"
GOOD_IPXE = Feature.HTTP | Feature.BZIMAGE | Feature.EFI
AGENT = "#!/bin/sh\n"
PROGRAMS = ("undionly.kpxe", "ipxe.pxe", "snponly.efi", "ipxe.efi")
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKKmxkdVBP0vFRnVdF0vgrTnRgVwYiV9yh2yH0RxJ0dB cim-1"


def host(name: str = "cim-1", *macs: Mac, **fields: Any) -> Host:
    return Host(name=name, profile="minimal", macs=macs or (MAC,), source=f"{name}/host.toml", **fields)


def image(name: str = "installer", **fields: Any) -> Image:
    given = {
        "kind": "linux",
        "arch": "x86_64",
        "kernel": "bzImage",
        "initrds": ("initrd",),
        "cmdline": "console=ttyS0",
        "sha256": {"bzImage": "0" * 64, "initrd": "1" * 64},
        "sizes": {"bzImage": 10, "initrd": 20},
        "folder": Path("/images") / name,
    }
    return Image(name=name, **{**given, **fields})


def setup(*hosts: Host, profile: dict[str, Any] | None = None, **fields: Any) -> Setup:
    minimal = Profile(name="minimal", **{"images": {"": "installer"}, **(profile or {})})
    known = {h.name: h for h in hosts}
    given: dict[str, Any] = {
        "book": HostBook(hosts=known, profiles={"minimal": minimal}),
        "index": index(known.values()),
        "images": {"installer": image()},
        "programs": {name: Program(name=name, path=Path("/ipxe") / name, size=5) for name in PROGRAMS},
    }
    return Setup(**{**given, **fields})


def ask(
    door: Door = Door.DHCP, mac: Mac = MAC, stage: Stage = Stage.FIRMWARE, arch: int = 7, **fields: Any
) -> Ask:
    given: dict[str, Any] = {"server": SERVER, "arch": ARCHES[arch], "xid": 1}
    if stage is Stage.IPXE:
        given["features"] = GOOD_IPXE
    return Ask(door=door, mac=mac, stage=stage, **{**given, **fields})


class World:
    """An appliance in memory, with the clock and the dice in the test's hand, and all that it recorded."""

    def __init__(self, first: Setup, *, now: float = 1_000_000.0) -> None:
        self.now = now
        self.told: list[Transition] = []
        self.counters: Counter[str] = Counter()
        self.neighbours: dict[str, Mac] = {}
        self.left: list[tuple[str, str]] = []  # live systems that were left, and why
        ids = itertools.count(1)
        secrets = itertools.count(1)
        chance = Chance(
            now=lambda: self.now,
            new_id=lambda: f"id-{next(ids)}",
            new_secret=lambda: f"{next(secrets):032x}",
        )
        self.appliance = Appliance(first, chance, self.counters, self.told.append)
        sources = {f.name: f.read_text() for f in (shipped.netboot() / "ipxe").glob("*.j2")}
        self.writer = Writer(partial(Scripts, sources), lambda: self.appliance.setup)
        self.files = Files(self.appliance, self.writer, self.neighbours.get, (KEY,), AGENT)
        self.admissions = Admissions(self.appliance, self.neighbours.get, self._durable, self._left)

    async def _durable(self) -> None:
        return None

    async def _left(self, machine: Machine, cause: str) -> None:
        self.left.append((machine.id, cause))

    def events(self) -> list[str]:
        """The names of what was told, in order."""
        return [type(transition.event).__name__ for transition in self.told]


def registration(token: str, mac: Mac = MAC, **fields: Any) -> bytes:
    hardware = fields.pop(
        "hardware", Hardware(nics=(Nic(name="eth0", mac=mac),), cpu_threads=4, memory_bytes=2**30)
    )
    return encode(Registration(token=token, boot_mac=mac, hardware=hardware, host_key=KEY, **fields))
