"""The open doors of the appliance: DHCP, TFTP and HTTP servers on each served link, as links come and go."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from msgspec import Struct

from bootstrapd.config import Config
from bootstrapd.edge import tftp
from bootstrapd.edge.dhcp import DhcpServer
from bootstrapd.edge.http import HttpServer, Page, Post
from bootstrapd.edge.http_connection import Limits
from bootstrapd.errors import EdgeError
from bootstrapd.model import Ask, FileAsk, Link, Mac, Reply
from bootstrapd.model.view import ListenerView
from bootstrapd.policy.surroundings import Heard
from bootstrapd.wire.dhcp import Packet

log = structlog.get_logger(__name__)

Take = Callable[[bytes, str], Awaitable[tuple[int, bytes]]]  # body, client's address -> status, JSON


class Answers(Struct, frozen=True, kw_only=True):
    """What the doors ask of the rest of the daemon."""

    answer: Callable[[Ask], Reply]
    fetch: Callable[[FileAsk], Reply]
    fetched: Callable[[FileAsk], None]
    register: Take
    report: Take
    heard: Callable[[Heard], None]
    took: Callable[[Mac, str], None]
    pages: Mapping[str, Page]


class LinkDoors:
    """The servers of one link. `http_port` is known once started."""

    def __init__(
        self, link: Link, config: Config, http_ports: Sequence[int], answers: Answers, counters: Counter[str]
    ) -> None:
        self.link = link
        self.http_port = 0
        self._opened = contextlib.AsyncExitStack()
        self._config = config
        self._answers = answers
        self._dhcp = DhcpServer(
            link.name,
            link.address,
            answers.answer,
            counters,
            port=config.dhcp.port,
            pxe_port=config.dhcp.pxe_port,
            heard=self._heard,
            took=answers.took,
        )
        self._tftp = tftp.TftpServer(
            link.address,
            config.tftp.port,
            answers.fetch,
            counters,
            finished=self._finished,
            single_port=config.tftp.single_port,
            limits=tftp.Limits(
                max_blksize=config.tftp.max_blksize,
                max_windowsize=config.tftp.max_windowsize,
                max_transfers=config.tftp.max_transfers,
            ),
        )
        self._http = HttpServer(
            link.address,
            http_ports,
            answers.fetch,
            counters,
            posts={"/v1/register": _post(answers.register), "/v1/report": _post(answers.report)},
            pages=answers.pages,
            sent=self._sent,
            limits=Limits(connections=config.http.max_connections),
        )

    async def start(self) -> None:
        """All three, or none: EdgeError says which could not be had."""
        async with contextlib.AsyncExitStack() as opened:
            self.http_port = await self._http.start()
            opened.push_async_callback(self._http.close)
            await self._tftp.start()
            opened.push_async_callback(self._tftp.close)
            await self._dhcp.start()
            opened.push_async_callback(self._dhcp.close)
            self._opened = opened.pop_all()

    async def close(self) -> None:
        """The last opened door first."""
        await self._opened.aclose()

    def views(self) -> list[ListenerView]:
        """What is open, for `status`."""
        config = self._config
        ports = {
            "dhcp": config.dhcp.port,
            "pxe": config.dhcp.pxe_port,
            "tftp": config.tftp.port,
            "http": self.http_port,
        }
        return [
            ListenerView(door=door, address=self.link.address, port=port, interface=self.link.name)
            for door, port in ports.items()
        ]

    def _finished(self, ask: FileAsk, outcome: str) -> None:
        if outcome == "done":
            self._answers.fetched(ask)

    def _sent(self, ask: FileAsk, _reply: Reply, is_complete: bool) -> None:
        if is_complete:
            self._answers.fetched(ask)

    def _heard(self, packet: Packet, source: str) -> None:
        self._answers.heard(
            Heard(
                mac=packet.mac,
                server=packet.server_id or source,
                gives_address=any(packet.yiaddr),
                vendor_class=packet.vendor_class,
                file=packet.boot_file,
            )
        )


class Doors:
    """One `LinkDoors` a served link that has an address. `problems` says which could not be opened."""

    def __init__(self, config: Config, answers: Answers, counters: Counter[str]) -> None:
        self._config = config
        self._answers = answers
        self._counters = counters
        self._open: dict[str, LinkDoors] = {}
        self._http_port = 0
        self.problems: dict[str, str] = {}

    @property
    def http_port(self) -> int:
        """The HTTP port of every link: the first that was free when the first link opened."""
        return self._http_port or self._config.http.ports[0]

    @property
    def addresses(self) -> list[str]:
        return [doors.link.address for doors in self._open.values()]

    def views(self) -> list[ListenerView]:
        return [view for doors in self._open.values() for view in doors.views()]

    async def sync(self, links: Sequence[Link]) -> None:
        """Open, move and close doors until they stand where the links are. Never raises: see `problems`."""
        wanted = {link.name: link for link in links if link.address and link.is_up}
        for name, doors in list(self._open.items()):
            if name not in wanted or _place(wanted[name]) != _place(doors.link):
                log.info("link closed", interface=name, address=doors.link.address)
                await self._open.pop(name).close()
        for name in [name for name in self.problems if name not in wanted]:
            del self.problems[name]
        for name, link in wanted.items():
            if name not in self._open:
                await self._try(link)

    async def _try(self, link: Link) -> None:
        ports = (self._http_port,) if self._http_port else self._config.http.ports
        doors = LinkDoors(link, self._config, ports, self._answers, self._counters)
        try:
            await doors.start()
        except EdgeError as error:
            if self.problems.get(link.name) != (said := f"{link.name}: {error}"):
                self.problems[link.name] = said
                log.warning("link not served", interface=link.name, reason=str(error))
            return
        self.problems.pop(link.name, None)
        self._open[link.name] = doors
        self._http_port = doors.http_port
        log.info("link served", interface=link.name, address=link.address, http_port=doors.http_port)

    async def close(self) -> None:
        for doors in self._open.values():
            await doors.close()
        self._open.clear()


def _post(take: Take) -> Post:
    async def post(body: bytes, client: str, _headers: Mapping[str, str]) -> tuple[int, bytes]:
        return await take(body, client)

    return post


def _place(link: Link) -> tuple[int, str]:
    """A link that was deleted and made again has another index: its sockets heard their last."""
    return link.index, link.address
