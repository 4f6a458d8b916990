"""nats-server is killed, and later stands still, while a machine is installed: it is ready all the same.

In the end the stream holds what the journal holds: each event once, each machine's in their order.
"""

import json
import os
import signal
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from install_story import BOOT_S, becomes_ready, machine, serve_installs, starts_phase
from rack import Rack

pytestmark = [pytest.mark.vm, pytest.mark.usefixtures("standins")]


def nats_runs(rack: Rack, count: int) -> int:
    """Wait until the appliance's nats-server was started so many times and is published to; its process id."""
    runs = rack.appliance.wait_for_log(r'"event": "nats-server runs"', BOOT_S, count=count)
    rack.appliance.wait_for_log(r'"lag": \d+, "event": "NATS"', BOOT_S, count=count)
    return int(json.loads(runs.text)["pid"])


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def ids(events: Iterable[tuple[str, str]]) -> Mapping[str, list[str]]:
    """Of each machine and host, in order."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for whose, event_id in events:
        found[whose].append(event_id)
    return found


def journalled(rack: Rack) -> list[Mapping[str, Any]]:
    said = rack.appliance.run("events", "--json", "--since", "1d")
    return [json.loads(line)["event"] for line in said.splitlines()]


def test_nats_away_during_install(rack: Rack, image: Path) -> None:
    rack.site()
    serve_installs(rack, image)
    first = nats_runs(rack, 1)
    worker = machine(rack)
    worker.start()
    starts_phase(rack, "disko")
    os.kill(first, signal.SIGKILL)
    second = nats_runs(rack, 2)
    starts_phase(rack, "install")
    with standing_still(second):
        becomes_ready(rack)
        worker.stop()
        assert rack.appliance.ask("status")["nats"]["lag"]
    journal = journalled(rack)
    stream = rack.appliance.stream(len(journal))
    assert ids((body["aggregate_id"], body["event_id"]) for body in stream) == ids(
        (event.get("machine") or event["host"], event["id"]) for event in journal
    )
    rack.note(f"{len(stream)} events, the stream's as the journal's")
