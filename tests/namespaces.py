"""Network namespaces for edge tests (root only): a thread that lives in one of its own, gone when it ends.

A socket belongs to the namespace it was opened in, whoever uses it later.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

import pytest

P = ParamSpec("P")
T = TypeVar("T")
CLONE_NEWNET = 0x40000000
NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: network namespaces")


class Namespace:
    """A namespace with nothing but its loopback; `run` and `call` do things inside."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._thread_id = self.call(threading.get_native_id)
        self.call(_leave_home)

    def call(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return self._thread.submit(act, *args, **kwargs).result(timeout=30)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine on a loop of its own, inside."""
        return self.call(asyncio.run, coroutine)

    def ip(self, *argv: str) -> None:
        self.call(run_ip, *argv)

    def link(self, name: str, address: str, other: Namespace, other_name: str, other_address: str) -> None:
        """A cable between this namespace and another, both ends with an address and up."""
        self.ip("link", "add", name, "type", "veth", "peer", other_name)
        self.ip("link", "set", other_name, "netns", str(other._thread_id))
        for place, end, own in ((self, name, address), (other, other_name, other_address)):
            place.ip("address", "add", own, "dev", end)
            place.ip("link", "set", end, "up")
        for place, end in ((self, name), (other, other_name)):
            place.call(_until_up, end)

    def close(self) -> None:
        self._thread.shutdown()


def _leave_home() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    run_ip("link", "set", "lo", "up")


def _until_up(name: str, patience_s: float = 10.0) -> None:
    """The kernel opens a link's queue a moment after its carrier came; until then what is sent is dropped."""
    deadline = time.monotonic() + patience_s
    said = ""
    while not ("state UP" in said and "qdisc noqueue" in said):
        assert time.monotonic() < deadline, said
        said = subprocess.run(
            ("ip", "-o", "link", "show", name), check=True, capture_output=True, text=True
        ).stdout


def run_ip(*argv: str) -> None:
    """In the namespace of the calling thread."""
    subprocess.run(("ip", *argv), check=True, capture_output=True)
