"""What the process asks of the system it runs on: folders, open files, boot programs, systemd's ear."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Mapping
from pathlib import Path

import structlog

from bootstrapd.edge import programs
from bootstrapd.errors import EdgeError
from bootstrapd.model import Program

log = structlog.get_logger("bootstrapd")


def make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    except OSError as error:
        raise EdgeError(
            f"{folder} cannot be made: {error.strerror}; run as one who may, or name another with --state"
        ) from None


def allow_open_files() -> None:
    """As many as the system allows: each transfer and each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def refuse_without(found: Mapping[str, Program]) -> None:
    """EdgeError: machines of this kind cannot be booted. One for 64-bit ARM alone says so and goes on."""
    missing = programs.missing(found)
    if missing and not any(name in found for name in programs.FOR_ARM):
        raise EdgeError(" ".join(missing))
    for sentence in missing:
        log.warning(sentence)


def notify(state: str) -> None:
    """Tell systemd (sd_notify protocol), where it asks to be told."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told, contextlib.suppress(OSError):
        told.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
