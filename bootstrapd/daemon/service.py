"""`serve`: builds the parts, owns the loop, turns transitions into acts. No protocol knowledge.

Start: configuration checked, journal replayed, links chosen, doors opened, API last. Then it waits for changes
(links, hosts, images, signals) and ticks for what time alone brings. A broken part is named and the rest goes
on; what cannot work at all ends the start with a reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Final

import structlog

from bootstrapd import __version__
from bootstrapd.config import Config, parse_hosts
from bootstrapd.daemon import assemble, metrics, system
from bootstrapd.daemon.admit import Admissions
from bootstrapd.daemon.appliance import Appliance
from bootstrapd.daemon.commands import Commands
from bootstrapd.daemon.doors import Answers, Doors
from bootstrapd.daemon.enrol import enrol as enrol_in
from bootstrapd.daemon.files import Files
from bootstrapd.daemon.fleet import Fleet
from bootstrapd.daemon.operator import Operator
from bootstrapd.daemon.record import Recorder
from bootstrapd.daemon.writer import Writer
from bootstrapd.edge import hostdir, netif
from bootstrapd.edge.api import ApiServer
from bootstrapd.edge.hostdir import HostDir
from bootstrapd.edge.images import ImageStore
from bootstrapd.edge.journal import Journal
from bootstrapd.edge.journal_keep import Bounds
from bootstrapd.errors import ConfigError, EdgeError
from bootstrapd.model import AnyEvent, Host, HostBook, Link, Transition, encode
from bootstrapd.model.view import StatusView

log = structlog.get_logger("bootstrapd")

TICK_S: Final = 5.0
SNAPSHOT_EVENTS: Final = 50_000
PAST_EVENTS: Final = 200_000  # so far a question about the past looks back: a second
HTTP_PORT: Final = 80


class Daemon:
    """One running appliance."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._paths = config.paths
        self._started = time.time()
        self._stop = asyncio.Event()
        self._syncing: asyncio.Task[None] | None = None
        self._reloading: asyncio.Task[list[str]] | None = None
        self._host_problems: list[str] = []
        self._image_problems: list[str] = []
        self._images_seen = 0
        self.counters: Counter[str] = Counter()
        for folder in (self._paths.state_folder, self._paths.hosts_folder, self._paths.images_folder):
            system.make(folder)
        self._store = ImageStore(self._paths.images_folder)
        self._load_images()
        self._journal = Journal(self._paths.journal_file, Bounds(has_outbox=config.nats.enabled))
        self._recorder = Recorder(self._journal, self._publish, self.counters, self._host_of)
        hosts = self._paths.hosts_folder
        self._hostdir = HostDir(
            hosts, partial(parse_hosts, folder=str(hosts)), self._reconfigure, self._on_host_problems
        )
        self.appliance = Appliance(
            assemble.setup(config, self._hostdir.book, self._store, config.http.ports[0]),
            assemble.chance(),
            self.counters,
            self._recorder,
        )
        system.refuse_without(self.appliance.setup.programs)
        self._fleet = Fleet(config, self.appliance, self._recorder.durable, self._server_for)
        writer = Writer(assemble.scripts, lambda: self.appliance.setup)
        self._doors = Doors(config, self._answers(writer), self.counters)
        operator = self._operator(writer)
        self._fleet.join(config.nats, self._commands(operator), self._journal, self.counters)
        self._api = ApiServer(
            self._paths.api_socket,
            operator,
            self.counters,
            tcp=config.api.tcp,
            token_file=config.api_token_file,
        )
        self._watcher = netif.Watcher(self._on_links)

    def _answers(self, writer: Writer) -> Answers:
        neighbour = assemble.remembered(netif.neighbour, self.appliance.chance.now)
        files = Files(self.appliance, writer, neighbour, self._fleet.keys, assemble.agent())
        admissions = Admissions(
            self.appliance, netif.neighbour, self._recorder.durable, self._fleet.installs.interrupt
        )
        return Answers(
            answer=self.appliance.answer,
            fetch=files.fetch,
            fetched=files.fetched,
            register=admissions.register,
            report=admissions.report,
            heard=self.appliance.heard,
            took=self.appliance.took,
            pages=metrics.pages(self.counters, self._is_ready),
        )

    def _operator(self, writer: Writer) -> Operator:
        return Operator(
            self.appliance,
            writer,
            server=lambda: next(iter(self._doors.addresses), assemble.NOBODYS_ADDRESS),
            durable=self._recorder.durable,
            add_mac=lambda host, mac: asyncio.to_thread(hostdir.add_mac, self._paths.hosts_folder, host, mac),
            reload=self.reload,
            check_hosts=self._hostdir.check,
            status=self.status,
            arming=self._fleet.arming,
            installs=self._fleet.installs,
            read_past=self._past,
        )

    def _commands(self, operator: Operator) -> Commands:
        async def enrol(host: Host) -> None:
            await asyncio.to_thread(enrol_in, self._paths.hosts_folder, host)
            mistakes = await self.reload()
            if mistakes:
                raise ConfigError(*mistakes)

        nats = self._config.nats
        is_alone = not (nats.url or nats.leaf_of)
        return Commands(
            self.appliance, operator, self._fleet.arming, enrol, allow_arm=nats.allow_arm, is_alone=is_alone
        )

    def problems(self) -> list[str]:
        """Everything that is wrong now, in sentences; empty when all is well."""
        found = [*self._doors.problems.values(), *self._host_problems, *self._image_problems]
        found += self._fleet.problems()
        if not self._doors.addresses:
            found.append("no link is served yet: none of the chosen interfaces is up with an IPv4 address")
        nats = self._fleet.nats()
        if nats is not None and nats.problem:
            found.append(f"{nats.lag} events wait for NATS: {nats.problem}")
        return [*found, *filter(None, (self._journal.problem, self._journal.crowded))]

    def _is_ready(self) -> bool:
        """Machines are answered, and what happens is kept. A mistake in a host's file changes neither."""
        return bool(self._doors.addresses) and not self._doors.problems and not self._journal.problem

    def status(self) -> StatusView:
        setup = self.appliance.setup
        return StatusView(
            version=__version__,
            pid=os.getpid(),
            started=self._started,
            hosts=len(setup.book.hosts),
            profiles=len(setup.book.profiles),
            images=len(setup.images),
            machines=len(self.appliance.registry.machines),
            listeners=tuple(self._doors.views()),
            problems=tuple(self.problems()),
            nats=self._fleet.nats(),
            counters=dict(self.counters),
        )

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT. EdgeError or ConfigError: it could not start, and why."""
        system.allow_open_files()
        chosen = netif.choose(netif.links(), list(self._config.interfaces))
        events = assemble.replay(self._journal, self.appliance)
        async with contextlib.AsyncExitStack() as stack:
            await self._journal.start()
            stack.push_async_callback(self._journal.close)
            stack.callback(self._snapshot)
            await self._doors.sync(chosen)
            stack.push_async_callback(self._doors.close)
            if self._doors.problems:
                raise EdgeError(" ".join(self._doors.problems.values()))
            self._reconfigure(self.appliance.setup.book)
            for part in (self._hostdir, self._watcher, self._api):
                await part.start()
                stack.push_async_callback(part.close)
            self._hear_signals()
            log.info(
                "serving",
                addresses=self._doors.addresses,
                hosts=len(self.appliance.setup.book.hosts),
                events=events,
                start_s=round(time.time() - self._started, 3),
            )
            for problem in self.problems():
                log.warning(problem)
            system.notify("READY=1")
            await asyncio.to_thread(assemble.scripts)
            stack.push_async_callback(self._fleet.close)
            await self._fleet.start()
            await self._tick_until_stopped()
            system.notify("STOPPING=1")

    async def _tick_until_stopped(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), TICK_S)
            try:
                await self._tick()
            except Exception:
                self.counters["daemon.bug"] += 1
                log.exception("a tick failed; serving goes on")

    async def _tick(self) -> None:
        now = self.appliance.chance.now()
        self.appliance.tick(now)
        await self._fleet.tick(now)
        if self._journal.since_snapshot > SNAPSHOT_EVENTS:
            self._snapshot()
        if self._images_seen != self._images_now():
            self._load_images()
            self._reconfigure(self.appliance.setup.book)
        if self._doors.problems:
            self._on_links(netif.links())

    async def reload(self) -> list[str]:
        """Read hosts and images again, now; what is wrong with them."""
        self._load_images()
        mistakes = await self._hostdir.check()
        self._reconfigure(self._hostdir.book)
        return [*mistakes, *self._image_problems]

    def _load_images(self) -> None:
        self._images_seen = self._images_now()
        self._image_problems = self._store.load()

    def _images_now(self) -> int:
        """Changes when an image comes or goes: `images add` and `remove` rename folders in here."""
        try:
            return self._paths.images_folder.stat().st_mtime_ns
        except OSError:  # gone, or its file system is: what is loaded still serves, and `load` names it
            return 0

    def _reconfigure(self, book: HostBook) -> None:
        self.appliance.reconfigure(assemble.setup(self._config, book, self._store, self._doors.http_port))
        self._fleet.reconfigured()
        log.info("configuration", hosts=len(book.hosts), images=len(self._store.images))

    def _on_host_problems(self, problems: list[str]) -> None:
        self._host_problems = problems
        for problem in problems:
            log.error("hosts folder: the last good set still serves", mistake=problem)

    def _on_links(self, links: list[Link]) -> None:
        """Links came, went or changed their address: the doors follow, one change after the other."""
        chosen = netif.choose(links, list(self._config.interfaces), must_exist=False)
        previous = self._syncing

        async def follow() -> None:
            if previous is not None:
                await asyncio.wait((previous,))
            try:
                await self._doors.sync(chosen)
            except Exception:
                self.counters["daemon.bug"] += 1
                log.exception("links changed and the doors could not follow; the next change tries again")

        self._syncing = asyncio.get_running_loop().create_task(follow())

    def _publish(self, transition: Transition) -> None:
        self._api.publish(transition)
        self._fleet.wake(transition)

    def _snapshot(self) -> None:
        self._journal.snapshot(encode(self.appliance.registry.snapshot()))

    async def _past(self, since: float, wanted: Callable[[AnyEvent], bool], limit: int) -> list[AnyEvent]:
        """The newest `limit` of the journal's events that are wanted, from `since` on, oldest first."""
        await self._recorder.durable()

        def read() -> list[AnyEvent]:
            newest_first = islice(self._journal.latest(since), PAST_EVENTS)
            found = islice((event for event in newest_first if wanted(event)), limit)
            return list(found)[::-1]

        return await asyncio.to_thread(read)

    def _server_for(self, address: str) -> str:
        """Our base URL, for a machine at this address: ours on the link that it is on."""
        ours = netif.source_for(address) or next(iter(self._doors.addresses), assemble.NOBODYS_ADDRESS)
        port = self._doors.http_port
        return f"http://{ours}" + ("" if port == HTTP_PORT else f":{port}")

    def _host_of(self, machine: str) -> str:
        found = self.appliance.registry.machines.get(machine)
        return found.host if found else ""

    def _hear_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)

    def _reload_soon(self) -> None:
        self._reloading = asyncio.get_running_loop().create_task(self.reload())
