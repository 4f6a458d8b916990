"""The TFTP server: boot programs and scripts to firmware, iPXE, PXELINUX and GRUB (rules T*, I9).

Owns the port that is asked, and decides what becomes of a request: refused, or a transfer. What a path means is
`fetch`'s; packets and protocol are `wire/tftp` and `wire/tftp_transfer`. Its other rooms: `tftp_ports`,
`tftp_files`, `tftp_transfers`, which keeps them going, and `tftp_log`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Final, assert_never

from msgspec import Struct

from bootstrapd.edge.tftp_files import Content, File, PacketCache, Text
from bootstrapd.edge.tftp_log import Voice, log
from bootstrapd.edge.tftp_ports import Listener, OwnPort, Peer, SharedPort, can_segment
from bootstrapd.edge.tftp_transfers import Channel, Finished, Limits, Transfers
from bootstrapd.errors import EdgeError, WireError
from bootstrapd.model import DhcpReply, Door, FileAsk, FileReply, Nothing, Reply, TextReply
from bootstrapd.wire import tftp
from bootstrapd.wire.tftp import Caps, Error, Rrq, Wrq
from bootstrapd.wire.tftp_transfer import Outcome, Transfer

__all__ = ["Limits", "TftpServer"]

_HEADERS_BYTES: Final = 32  # IP, UDP and TFTP before the payload
_BATCH: Final = 16
_MODES: Final = frozenset(("octet", "netascii"))  # nobody boots text, so netascii gets octets too (T14)


class _Refusal(Exception):  # noqa: N818 - an answer, not an error
    """The request is answered with an ERROR; `why` counts it."""

    def __init__(self, why: str, code: int, text: str) -> None:
        super().__init__(text)
        self.why = why
        self.error = Error(code, text)


class _Request(Struct, frozen=True):
    """A read request that may be granted."""

    data: bytes
    rrq: Rrq
    peer: Peer
    ask: FileAsk


class TftpServer:
    """Serves `fetch` on one UDP port.

    `finished(ask, outcome)`: after each transfer; "done" means that the client acknowledged all of it, the
    other words are `Outcome`'s.
    `single_port`: answer from the port that was asked, for firewalls that cannot follow a transfer (T13).
    `segmentation` False: windows go out datagram by datagram even where the kernel could cut them.
    """

    def __init__(
        self,
        address: str,
        port: int,
        fetch: Callable[[FileAsk], Reply],
        counters: Counter[str],
        *,
        finished: Finished = lambda _ask, _outcome: None,
        limits: Limits | None = None,
        single_port: bool = False,
        segmentation: bool = True,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._address = address
        self._port = port
        self._fetch = fetch
        self._counters = counters
        self._limits = limits or Limits()
        self._single_port = single_port
        self._segmentation = segmentation and can_segment()
        self._clock = clock
        self._cache = PacketCache()
        self._voice = Voice(counters, clock)
        self._transfers = Transfers(counters, finished, self._limits, clock, self._voice)

    @property
    def port(self) -> int:
        """The port in use, where 0 was asked for."""
        return self._listener.port

    async def start(self) -> None:
        """EdgeError says which port cannot be had, why, and what to do."""
        self._listener = Listener(self._address, self._port)
        self._transfers.start()
        asyncio.get_running_loop().add_reader(self._listener.fd, self._hear)

    async def close(self) -> None:
        """Ends every transfer where it is."""
        asyncio.get_running_loop().remove_reader(self._listener.fd)
        self._transfers.close()
        self._listener.close()

    def _hear(self) -> None:
        for _ in range(_BATCH):
            try:
                heard = self._listener.receive()
            except OSError:
                self._counters["tftp.socket_errors"] += 1
                return
            if heard is None:
                return
            self._take(*heard)

    def _take(self, data: bytes, peer: Peer, own: str) -> None:
        """One datagram to our port; whatever it is, the next one is heard too."""
        channel = self._transfers.find(peer) if self._single_port else None
        try:
            if channel and data[1:2] != bytes([tftp.RRQ]):
                self._transfers.received(channel, data)
            else:
                self._request(data, peer, own)
        except WireError as error:
            self._counters["tftp.refused.malformed"] += 1
            log.debug("tftp.malformed", client=peer[0], reason=str(error))
        except _Refusal as refusal:
            self._refuse(refusal, peer, own)
        except EdgeError as error:
            self._voice.warning("tftp.unreadable", client=peer[0], reason=str(error))
            self._refuse(_Refusal("unreadable", tftp.UNDEFINED, "the file cannot be read"), peer, own)
        except Exception as error:  # noqa: BLE001 - counted and logged there
            self._voice.bug(error, client=peer[0])
            self._refuse(_Refusal("bug", tftp.UNDEFINED, "internal error"), peer, own)

    def _refuse(self, refusal: _Refusal, peer: Peer, own: str) -> None:
        self._counters[f"tftp.refused.{refusal.why}"] += 1
        log.debug("tftp.refused", client=peer[0], why=refusal.why, reason=refusal.error.text)
        try:
            self._listener.send(tftp.build(refusal.error), peer, own)
        except OSError:
            self._counters["tftp.socket_errors"] += 1

    def _request(self, data: bytes, peer: Peer, own: str) -> None:
        match tftp.parse(data):
            case Rrq() as rrq:
                self._counters["tftp.rrq"] += 1
                if not self._is_repeated(data, peer):
                    self._read(rrq, data, peer, own)
            case Wrq():
                raise _Refusal("write", tftp.ACCESS_VIOLATION, "nothing can be written here")
            case _:
                # No ERROR for these: two servers would send each other theirs for ever.
                self._counters["tftp.refused.stray"] += 1

    def _is_repeated(self, data: bytes, peer: Peer) -> bool:
        """The client has a transfer, and this is not the beginning of another one."""
        channel = self._transfers.find(peer)
        if channel is None:
            return False
        if not channel.transfer.was_answered and channel.request == data:
            self._counters["tftp.repeated"] += 1
            self._transfers.repeat(channel)
            return True
        if channel.transfer.was_answered and not channel.transfer.is_stuck:
            self._counters["tftp.repeated"] += 1
            return True
        # The machine was reset, or its ERROR got lost, and its ROM always uses the same port.
        self._transfers.end(channel, Outcome.TIMEOUT)
        return False

    def _read(self, rrq: Rrq, data: bytes, peer: Peer, own: str) -> None:
        if rrq.mode.lower() not in _MODES:
            raise _Refusal("mode", tftp.ILLEGAL_OPERATION, f"no mode {rrq.mode!r} here, only octet")
        ask = FileAsk(door=Door.TFTP, path=tftp.clean_path(rrq.file), server=own, client=peer[0])
        reply = self._fetch(ask)
        content = self._open(reply)
        try:
            self._begin(_Request(data, rrq, peer, ask), reply, content)
        except BaseException:
            content.close()
            raise

    def _open(self, reply: Reply) -> Content:
        match reply:
            case Nothing(reason):
                log.debug("tftp.nothing", reason=reason)
                # at once, with this code and no other text: iPXE waits for its autoexec.ipxe (I9, T12)
                raise _Refusal("not_found", tftp.NOT_FOUND, "File not found")
            case TextReply(body=body):
                return Text(body)
            case FileReply(path=path):
                return self._open_file(path)
            case DhcpReply():
                raise TypeError("TFTP cannot send a reply of DHCP's")
            case _:
                assert_never(reply)

    def _open_file(self, path: Path) -> File:
        try:
            return File(path, self._cache)
        except OSError as error:
            self._voice.warning("tftp.unreadable", path=str(path), reason=error.strerror or str(error))
            if isinstance(error, (FileNotFoundError, NotADirectoryError)):
                raise _Refusal("vanished", tftp.NOT_FOUND, "File not found") from error
            raise _Refusal("unreadable", tftp.UNDEFINED, "the file cannot be read") from error

    def _begin(self, request: _Request, reply: Reply, content: Content) -> None:
        if not self._transfers.make_room(request.ask.client):
            raise _Refusal("busy", tftp.UNDEFINED, "busy")
        port = self._open_port(request.ask.server, request.peer)
        try:
            agreed = tftp.negotiate(request.rrq.options, content.size, self._caps(reply, port.mtu))
            transfer = Transfer(content.packets(agreed.blksize), agreed, self._clock())
            port.prepare(transfer.stride, agreed.windowsize, may_segment=self._segmentation)
            self._transfers.begin(Channel(request.ask, request.data, content, port, transfer))
        except BaseException:
            port.close()
            raise

    def _open_port(self, own: str, peer: Peer) -> OwnPort | SharedPort:
        if self._single_port:
            return SharedPort(self._listener, own, peer)
        try:
            return OwnPort(own, peer)
        except OSError as error:
            raise _Refusal("no_socket", tftp.UNDEFINED, "busy") from error

    def _caps(self, reply: Reply, mtu: int) -> Caps:
        """Ours, the path's, and what the host's own settings allow (T4, T6)."""
        blksize, windowsize = self._limits.max_blksize, self._limits.max_windowsize
        if isinstance(reply, FileReply):
            blksize = min(blksize, reply.max_blksize or blksize)
            windowsize = min(windowsize, reply.max_windowsize or windowsize)
        return Caps(max(min(blksize, mtu - _HEADERS_BYTES), tftp.MIN_BLKSIZE), windowsize)
