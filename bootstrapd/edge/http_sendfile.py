"""A file's bytes into a connection, by the kernel, a slice at a time: `sendfile`.

Owns whose turn it is. asyncio's own `loop.sendfile` goes on for as long as a fast peer drains the socket, and
DHCP waits on this loop; asked for small slices, it pays for each with a whole set-up. Here a transfer is one
writer in the loop's selector: whenever the socket takes something, it gets one slice, then the others have
their turn.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import BinaryIO, Final

from aiohttp import web

SLICE: Final = 256 << 10  # bytes: a round of the loop with 32 fast peers is then one or two milliseconds


async def sendfile(request: web.BaseRequest, file: BinaryIO, part: range) -> int:
    """How many bytes the kernel took; fewer than asked for where the peer left or the file shrank.

    The peer is not listened to meanwhile: one that only closed its own half still gets everything.
    """
    transport = request.transport
    if transport is None or transport.is_closing():
        return 0
    transport.set_write_buffer_limits(0)  # so that `drain` waits until the answer's head has left
    try:
        await request.writer.drain()
    except ConnectionError:
        return 0
    if transport.is_closing():
        return 0
    transport.set_write_buffer_limits()
    transport.pause_reading()
    _cork(transport, 1)
    try:
        return await _Sender(transport, file.fileno(), part).run()
    finally:
        if not transport.is_closing():
            _cork(transport, 0)
            transport.resume_reading()


def _cork(transport: asyncio.Transport, is_in: int) -> None:
    """Whether segments wait until they are full (tcp(7)): else each slice ends with one that is not."""
    transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, is_in)


class _Sender:
    """One transfer. Its descriptor is a copy: the selector has the transport's own already."""

    def __init__(self, transport: asyncio.Transport, file: int, part: range) -> None:
        self._transport = transport
        self._file = file
        self._at = part.start
        self._part = part
        self._socket = os.dup(transport.get_extra_info("socket").fileno())
        self._ended = asyncio.get_running_loop().create_future()

    async def run(self) -> int:
        """Bytes that have gone when there are no more, or no peer."""
        loop = asyncio.get_running_loop()
        try:
            self._send()
            if not self._ended.done():
                loop.add_writer(self._socket, self._send)
                await self._ended
        finally:
            loop.remove_writer(self._socket)
            os.close(self._socket)
        return self._at - self._part.start

    def _send(self) -> None:
        left = self._part.stop - self._at
        try:
            taken = os.sendfile(self._socket, self._file, self._at, min(SLICE, left))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # the peer left, or took nothing for too long
            taken = 0
        self._at += taken
        if taken in (0, left) or self._transport.is_closing():
            self._end()

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
