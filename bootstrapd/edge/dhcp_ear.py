"""Overhears what other DHCP servers answer on a link, so that a person can be told who else speaks there.

Offers go to port 68, which no server's socket hears. A packet socket with a filter gets them without taking
them from a DHCP client on this machine. It needs CAP_NET_RAW; without, the appliance serves all the same.
"""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
from collections import Counter
from collections.abc import Callable
from typing import Final

import structlog

from bootstrapd.errors import WireError
from bootstrapd.wire import dhcp, frame

Heard = Callable[[dhcp.Packet, str], None]

BATCH: Final = 64
LARGEST: Final = 4096
_CLIENT_PORT: Final = 68
_ETH_P_IP: Final = 0x0800  # bound to it, a packet socket sees what comes in and nothing of what we send
_SO_ATTACH_FILTER: Final = 26

_log = structlog.get_logger(__name__)


class Ear:
    """Calls `heard(packet, source)` for each DHCP answer on `interface` that is not from `address`, our own."""

    def __init__(self, interface: str, address: str, heard: Heard, counters: Counter[str]) -> None:
        self._interface = interface
        self._address = address
        self._heard = heard
        self._counters = counters
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Opens the socket. What cannot be opened is said once and gone without."""
        try:
            self._socket = _open(self._interface)
        except OSError as error:
            _log.info("dhcp.deaf_to_others", interface=self._interface, error=str(error), needs="CAP_NET_RAW")
            return
        asyncio.get_running_loop().add_reader(self._socket, self._drain, self._socket)

    def close(self) -> None:
        if self._socket:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _drain(self, ear: socket.socket) -> None:
        for _ in range(BATCH):
            try:
                data = ear.recv(LARGEST)
            except OSError:  # empty, or the link went down
                return
            self._overhear(data)

    def _overhear(self, data: bytes) -> None:
        try:
            datagram = frame.parse(data)
            packet = dhcp.parse(datagram.payload)
        except WireError:
            self._counters["dhcp.heard_malformed"] += 1
            return
        if packet.op != dhcp.REPLY or datagram.source == self._address:
            return
        self._counters["dhcp.heard"] += 1
        try:
            self._heard(packet, datagram.source)
        except Exception:  # noqa: BLE001 - what somebody answers must not stop us listening
            self._counters["dhcp.bug"] += 1
            _log.exception("dhcp.heard", source=datagram.source)


def _open(interface: str) -> socket.socket:
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)  # protocol 0: deaf until it is filtered and bound
    try:
        ear.setblocking(False)
        _attach(ear, frame.udp_to(_CLIENT_PORT))
        ear.bind((interface, _ETH_P_IP))
    except BaseException:
        ear.close()
        raise
    return ear


def _attach(ear: socket.socket, program: bytes) -> None:
    """SO_ATTACH_FILTER takes `struct sock_fprog`: the number of steps and where they are."""
    steps = ctypes.create_string_buffer(program, len(program))
    fprog = struct.pack("HP", len(program) // 8, ctypes.addressof(steps))
    ear.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fprog)
