"""A deploy over NATS that must not be taken: it is refused with a reason, and nothing has changed."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from builders import MAC
from installing import Fleet
from msgspec.structs import replace

from bootstrapd.config import parse_hosts
from bootstrapd.daemon.commands import Commands
from bootstrapd.daemon.enrol import enrol
from bootstrapd.edge import hostdir
from bootstrapd.edge.bus_commands import Commands as Door
from bootstrapd.errors import RefusedError
from bootstrapd.model import Host, Mac, encode
from bootstrapd.policy.match import index
from bootstrapd.wire.command import Ack

NEW = "52:54:00:77:00:77"
PATIENCE_S = 5.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file, text in {
        "cim-1/host.toml": f'profile = "auto"\n[match]\nmac = ["{MAC}"]\n',
        "profiles/auto.toml": 'image = "installer"\nlayout = "single-disk"\n',
        "profiles/approve.toml": 'image = "installer"\nlayout = "single-disk"\ninstall = "approve"\n',
        "profiles/live.toml": 'image = "installer"\n',
        "profiles/mac.toml": 'system = "darwin"\n',
    }.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    return tmp_path


class Site(Fleet):
    """A fleet over a real folder, and the door that commands come in by."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self._read()
        operator: Any = None
        commands = Commands(self.appliance, operator, self.arming, self._enrol, allow_arm=False, is_alone=True)
        self._door = Door("deploy", commands.handle, commands.is_for_us, Counter())

    async def _enrol(self, host: Host) -> None:
        await asyncio.to_thread(enrol, self.folder, host)
        self._read()

    def _read(self) -> None:
        book = parse_hosts(hostdir.read(self.folder), str(self.folder))
        self.appliance.reconfigure(replace(self.appliance.setup, book=book, index=index(book.hosts.values())))

    async def deploy(self, **said: Any) -> Ack | None:
        command = {"command_id": "c1", "host": "new", "mac": [NEW], "profile": "auto", **said}
        return await self._door.answer("deploy", encode(command))


def content(folder: Path) -> dict[str, str]:
    return {str(file): file.read_text() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    "said",
    [
        {"profile": "nonesuch"},
        {"profile": "live"},
        {"profile": "mac"},
        {"mac": [str(MAC)]},
        {"mac": []},
        {"mac": ["ff:ff:ff:ff:ff:ff"]},
        {"unknown": 1},
        *(
            {"host": name}
            for name in ("profiles", "layouts", "Upper", "a.b", "a..", "*", "..", "a\n", "a" * 64)
        ),
    ],
    ids=str,
)
async def test_it_is_refused_and_the_folder_is_as_it_was(folder: Path, said: dict[str, Any]) -> None:
    site = Site(folder)
    before = content(folder)
    ack = await site.deploy(**said)
    assert ack is not None, "nobody else hears it"
    assert (ack.status, bool(ack.reason)) == ("Rejected", True)
    assert content(folder) == before
    assert not site.appliance.registry.arms
    assert "Armed" not in site.events()


async def test_a_mac_is_armed_by_nobody(folder: Path) -> None:
    (folder / "mac-1").mkdir()
    (folder / "mac-1/host.toml").write_text('profile = "mac"\n')
    site = Site(folder)
    with pytest.raises(RefusedError, match="deployed over SSH with nix-darwin") as caught:
        await site.arming.arm("mac-1", "hosts arm")
    assert caught.value.code == "DARWIN"
    assert not site.appliance.registry.arms


async def test_enrolling_by_deploy_is_no_approval(folder: Path) -> None:
    site = Site(folder)
    ack = await site.deploy(profile="approve")
    assert ack is not None
    assert ack.status == "Accepted"
    assert "hosts arm new" in ack.reason
    assert not site.appliance.registry.arms


async def test_the_same_twice_at_once_is_one_host_with_one_arm(folder: Path) -> None:
    site = Site(folder)
    acks = await asyncio.gather(*(site.deploy() for _ in range(4)))
    assert {ack.status for ack in acks if ack} == {"Accepted"}
    assert site.events().count("Armed") == 1
    assert list(site.appliance.registry.arms) == ["new"]


async def test_a_command_that_is_sent_again_later_consents_to_nothing_more(folder: Path) -> None:
    """Its reply was lost: the sender cannot know that the install it asked for has run meanwhile."""
    site = Site(folder)
    await site.deploy()
    await site.arming.disarm("new")
    ack = await site.deploy()
    assert ack is not None
    assert (ack.status, ack.reason) == ("Accepted", "new: this command was taken already")
    assert not site.appliance.registry.arms
    assert site.events().count("Armed") == 1


async def test_whoever_holds_the_folders_lock_holds_up_nobody_else(folder: Path) -> None:
    site = Site(folder)
    holder = os.open(folder, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    waiting = asyncio.create_task(site.deploy())
    turned = asyncio.Event()
    asyncio.get_running_loop().call_later(0.05, turned.set)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await turned.wait()  # the loop goes round
        assert not waiting.done()
    finally:
        os.close(holder)
    async with asyncio.timeout(PATIENCE_S):
        ack = await waiting
    assert ack is not None
    assert ack.status == "Accepted"


def test_a_host_is_never_written_twice(folder: Path) -> None:
    with pytest.raises(RefusedError, match="is there already"):
        enrol(folder, Host(name="cim-1", profile="auto", macs=(Mac(NEW),)))
