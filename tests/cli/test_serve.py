"""The commands against a real daemon on loopback; how `serve` starts and fails is in tests/daemon."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import DEADLINE_S, MAC, Run, process

OTHER = "52:54:00:aa:bb:02"


def free_ports() -> list[str]:
    """The flags of serve, with ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(4)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        flags = ("--dhcp-port", "--pxe-port", "--tftp-port", "--http-port")
        numbers = [str(each.getsockname()[1]) for each in sockets]
        return [word for pair in zip(flags, numbers, strict=True) for word in pair]


@pytest.fixture
def appliance(state: Path) -> Iterator[None]:
    """A real daemon on this test's state folder, on loopback."""
    args = ("-m", "bootstrapd.cli", "serve", "--interface", "lo", *free_ports())
    with process(*args, state=state) as child:
        assert child.stderr is not None
        said = []
        for line in child.stderr:  # ends when the process does
            said.append(line)
            if '"serving"' in line:
                break
        else:
            pytest.fail("".join(said))
        try:
            yield
        finally:
            child.send_signal(signal.SIGTERM)
            child.communicate(timeout=DEADLINE_S)
    assert child.returncode == 0


@pytest.mark.root
@pytest.mark.usefixtures("appliance")
def test_a_day_at_the_command_line(run: Run, state: Path) -> None:
    assert run("machines", "list").out == ""
    added = run("hosts", "add", MAC, "--name", "node-1", "--profile", "minimal")
    assert "next: power it on" in added.out
    assert "has asked to boot" in run("hosts", "why", "node-1").out

    assert run("machines", "adopt", OTHER, "--host", "node-1", "--ready").code == 0
    assert OTHER in (state / "hosts/node-1/host.toml").read_text()
    assert json.loads(run("hosts", "list", "--json").out)[0]["state"] == "ready"
    said = run("explain", OTHER, "--arch", "7", "--stage", "ipxe", "--door", "http", "--json")
    assert "I15" in json.loads(said.out)[0]["rule"]

    assert run("machines", "forget", OTHER, "--force").code == 0
    assert run("machines", "list").out == ""
    assert run("hosts", "remove", "node-1").code == 0
    assert json.loads(run("hosts", "list", "--json").out) == []
