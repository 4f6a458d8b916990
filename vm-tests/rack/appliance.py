"""bootstrapd in the rack: `bootstrapd serve` as its own process in its own namespace, and its commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from rack.lines import Line, Lines
from rack.network import APPLIANCE, Network
from rack.process import Process, inside
from rack.share import Absence
from rack.tools import Tools

ROOT: Final = Path(__file__).parents[2]
COMMAND_S: Final = 30.0
START_S: Final = 30.0


LIVE: Final = "live"  # a profile without a layout


class Appliance:
    """Off when made. `state` is its folder: hosts, images, journal, socket."""

    def __init__(self, network: Network, folder: Path, state: Path) -> None:
        self.address = APPLIANCE
        self.state = state
        self.config = ""  # what its config.toml says from its next start on
        self.started_in_s = 0.0
        self.absences: list[Absence] = []
        self._gone_at: float | None = None
        self._network = network
        self._log = folder / "appliance.log"
        self._process: Process | None = None
        self._tools: Tools | None = None
        self._events: Process | None = None

    def install_with(self, tools: Tools) -> None:
        """From its next start it finds these."""
        self._tools = tools

    def start(self) -> None:
        """Serve, and return when it does."""
        began = time.monotonic()
        config = self.state.with_name("config.toml")
        config.write_text(self.config)
        argv = [*_COMMAND, "serve", "--state", str(self.state), "--config", str(config), "--interface", "eth0"]
        env = _env()
        if ipxe := os.environ.get("RACK_IPXE"):  # a folder with another build than the system's
            config = self._log.with_name("config.toml")
            config.write_text(f"[nbp]\ndirs = [{json.dumps(ipxe)}]\n")
            argv += ["--config", str(config)]
        if self._tools is not None:
            argv = [*self._tools.command(), *argv]
            env |= self._tools.environment()
        self._process = Process("bootstrapd", argv, self._log, namespace=self._network.appliance, env=env)
        serving = self._process.lines.wait_for(r"\bserving\b", START_S)
        self.started_in_s = time.monotonic() - began
        if self._gone_at is not None:
            self.absences.append(Absence(self._gone_at, serving.at))
            self._gone_at = None

    def stop(self) -> None:
        if self._events is not None:
            self._events.stop()
            self._events = None
        if self._process is not None:
            self._process.stop()
            self._process = None

    def crash(self) -> None:
        """As a power cut does it."""
        assert self._process is not None
        self._gone_at = time.time()
        self._process.kill()
        self._process = None

    def wait_for_log(self, pattern: str, timeout_s: float, unless: str = "", count: int = 1) -> Line:
        """The first line of its log since its start that matches; see `Lines.wait_for`."""
        assert self._process is not None
        return self._process.lines.wait_for(pattern, timeout_s, unless, count)

    def find_log(self, pattern: str) -> Line | None:
        """The first line of its log since its start that matches, so far."""
        assert self._process is not None
        return self._process.lines.find(pattern)

    def follow_events(self) -> Lines:
        """`bootstrapd events --follow`, as it is printed, until the appliance is stopped."""
        argv = [*_COMMAND, "events", "--follow", "--since", "1d", "--state", str(self.state)]
        log = self._log.with_name("events.log")
        self._events = Process("events", argv, log, namespace=self._network.appliance, env=_env())
        return self._events.lines

    def stream(self, count: int) -> list[Mapping[str, Any]]:
        """What a consumer of its stream gets, in its order: all of it, once there are `count` messages."""
        done = subprocess.run(
            inside(self._network.appliance, [*_STREAM, str(self.state / "nats"), str(count)]),
            capture_output=True,
            text=True,
            timeout=3 * COMMAND_S,
            check=False,
        )
        assert done.returncode == 0, f"the stream cannot be read:\n{done.stderr}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def tail(self) -> str:
        """Its log's last lines, for a message."""
        said = self._process.lines.tail() if self._process else "(not running)"
        return f"--- the appliance's log ({self._log})\n{said}"

    def run(self, *words: str) -> str:
        """One of its commands; what it printed. A failure carries what it said."""
        done = subprocess.run(
            [*_COMMAND, *words, "--state", str(self.state)],
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            env=_env(),
            check=False,
        )
        assert done.returncode == 0, (
            f"bootstrapd {' '.join(words)} ended with {done.returncode}:\n{done.stderr}{done.stdout}"
        )
        return done.stdout

    def ask(self, *words: str) -> Any:  # noqa: ANN401 - a command's JSON
        """The same with `--json`, read."""
        return json.loads(self.run(*words, "--json"))

    def enrol(self, host: str, *macs: str, profile: str = LIVE) -> None:
        """`hosts add`; machines of the profile that nobody names boot their image and stay live."""
        if profile == LIVE:
            folder = self.state / "hosts" / "profiles"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{LIVE}.toml").write_text('image = "installer"\n')
        self.run("hosts", "add", *macs, "--name", host, "--profile", profile)

    def machine(self, mac: str) -> Mapping[str, Any] | None:
        """What it knows of the machine with this card."""
        return next((machine for machine in self.ask("machines", "list") if mac in machine["macs"]), None)


_COMMAND: Final = [sys.executable, "-m", "bootstrapd.cli"]
_STREAM: Final = [sys.executable, str(Path(__file__).with_name("stream.py"))]


def _env() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
