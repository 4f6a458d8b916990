"""Builds the answering core from the configuration: the same for `serve` and for commands without a daemon."""

from __future__ import annotations

import random
import secrets
import time
from collections import Counter
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bootstrapd import shipped
from bootstrapd.config import Config, parse_hosts
from bootstrapd.daemon.appliance import Appliance, Chance
from bootstrapd.daemon.explain import explain
from bootstrapd.daemon.writer import Writer
from bootstrapd.edge import hostdir, programs
from bootstrapd.edge.images import ImageStore
from bootstrapd.edge.journal import Journal
from bootstrapd.model import Arch, Door, HostBook, Mac, Stage, Transition, written
from bootstrapd.model.view import Explained
from bootstrapd.policy.boot import Setup
from bootstrapd.policy.match import index
from bootstrapd.policy.registry import Snapshot

if TYPE_CHECKING:
    from bootstrapd.policy.render import Scripts

NEIGHBOURS: Final = 4096
NOBODYS_ADDRESS: Final = "192.0.2.1"  # RFC 5737


@cache
def scripts() -> Scripts:
    """The iPXE templates that ship with the code, compiled when first asked for: that takes a while."""
    from bootstrapd.policy.render import Scripts

    folder = shipped.netboot() / "ipxe"
    return Scripts({file.name: file.read_text() for file in sorted(folder.glob("*.ipxe.j2"))})


def agent() -> str:
    """The agent's text, for the overlay: any live system can run it from there."""
    return (shipped.netboot() / "agent" / "bootstrapd-agent").read_text()


def setup(config: Config, book: HostBook, store: ImageStore, http_port: int) -> Setup:
    """All that is configured as one value. ConfigError: two hosts claim one identity."""
    return Setup(
        book=book,
        index=index(book.hosts.values()),
        images=store.images,
        programs=programs.find([Path(folder) for folder in config.nbp.dirs]),
        unknown=config.unknown,
        discovery_image=config.discovery_image,
        http_port=http_port,
    )


def chance() -> Chance:
    """The real clock and dice. The clock starts at the wall's time and never jumps after."""
    started, ticks = time.time(), time.monotonic()
    return Chance(
        now=lambda: started + time.monotonic() - ticks,
        new_id=new_id,
        new_secret=lambda: secrets.token_hex(16),
    )


def remembered(ask: Callable[[str], Mac | None], now: Callable[[], float]) -> Callable[[str], Mac | None]:
    """`ask`, asked once a second at most for each address: a boot asks the kernel's table dozens of times."""
    known: dict[str, tuple[Mac | None, float]] = {}

    def neighbour(address: str) -> Mac | None:
        at = now()
        found = known.get(address)
        if found is not None and at < found[1]:
            return found[0]
        if len(known) >= NEIGHBOURS:
            known.clear()
        mac = ask(address)
        known[address] = (mac, at + 1.0)
        return mac

    return neighbour


def new_id() -> str:
    """A UUIDv7 (RFC 9562): time first, so that ids sort as they were made. It is no secret."""
    value = (time.time_ns() // 1_000_000) << 80 | random.getrandbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_SNAPSHOT: Final = written(Snapshot)


def read_snapshot(body: bytes) -> Snapshot:
    """The registry as a snapshot of the journal has it."""
    return _SNAPSHOT.decode(body)


class Offline:
    """The appliance as it would answer, without a daemon: files, images, and the journal's last word."""

    def __init__(self, config: Config) -> None:
        store = ImageStore(config.paths.images_folder)
        store.load()
        hosts = config.paths.hosts_folder
        book = hostdir.read_as(hosts, partial(parse_hosts, folder=str(hosts)))
        core = Appliance(setup(config, book, store, config.http.ports[0]), chance(), Counter(), _nobody)
        if config.paths.journal_file.exists():
            replay(Journal(config.paths.journal_file), core)
        self._core = core
        self._writer = Writer(scripts, lambda: core.setup)

    def explain(self, mac: Mac, arch: Arch | None, stage: Stage | None, door: Door | None) -> list[Explained]:
        """As over the API, with an address from the documentation range in the place of ours."""
        return explain(self._core, self._writer, NOBODYS_ADDRESS, mac, arch, stage, door)


def replay(journal: Journal, appliance: Appliance) -> int:
    """Bring the registry to where the journal ends; how many events that took after its last snapshot."""
    count = 0
    body, events = journal.replay()
    if body is not None:
        appliance.registry.restore(read_snapshot(body))
    for event in events:
        appliance.registry.apply(event)
        count += 1
    appliance.registry.calm(appliance.chance.now())
    return count


def _nobody(_: Transition) -> None:
    """Offline, nothing is told."""
