"""Ports of loopback for programs that a test starts."""

from __future__ import annotations

import socket


def free_ports(count: int) -> list[int]:
    """All different, and free a moment ago."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
