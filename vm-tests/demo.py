"""`make demo`: a virtual rack for a person to watch.

Four machines are switched on, by BIOS, UEFI PXE and UEFI HTTP boot. Three are declared: they are installed and
start from their own disks; the one that nobody knows is left alone. What happens is shown as it happens, by
`bootstrapd events`. It is the stories' own code, with their stand-ins for nix and nixos-anywhere. It ends
by itself; KEEP=1 stays up, with a terminal or without, until told to end, and says how to look around.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the package, where it is not installed

from image.build import build
from install_story import empty_disk, serve_installs
from rack import Machine, MissingError, Rack, stages
from rack.lines import Line, Lines, NotSeenError
from rack.stages import CONSOLE, WIRE
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from standin import parts
from story import URL, small_disk

AT_ONCE = max(2, (os.cpu_count() or 2) // 2)
DEADLINE_S = 600.0
REFRESH_S = 0.5
STRANGER = "(nobody's)"
EVENTS = (("live", '"state": "live"'), ("installed", '"state": "rebooting"'), ("ready", '"state": "ready"'))
SEEN = tuple(name for name, _ in (*WIRE, *CONSOLE) if name not in ("Linux", "registered", "own disk"))
COLUMNS = (*SEEN, "live", "installed")
RACK = (  # host, firmware, MAC
    ("cim-worker-1", "bios-ipxe", "52:54:00:aa:bb:01"),
    ("cim-worker-2", "ovmf-pxe", "52:54:00:aa:bb:02"),
    ("cim-worker-3", "ovmf-http", "52:54:00:aa:bb:03"),
    (STRANGER, "bios-ipxe", "52:54:00:aa:bb:99"),
)


@dataclass
class Guest:
    """A machine of the demo and what became of it: "" while it is still under way."""

    host: str
    machine: Machine
    result: str = ""
    is_good: bool = False

    @property
    def is_on(self) -> bool:
        return self.machine.started_at > 0

    def reached(self, rack: Rack) -> dict[str, float]:
        """Seconds after power-on, by stage: seen on the wire and the console, then said by the appliance."""
        if not self.is_on:
            return {}
        seen = {stage.name: stage.after_s for stage in stages(self.machine, rack.wire)}
        told = {name: self.said(rack, state) for name, state in EVENTS}
        return seen | {name: line.at - self.machine.started_at for name, line in told.items() if line}

    def said(self, rack: Rack, state: str) -> Line | None:
        """The appliance's first word on this host with `state` in it."""
        return rack.appliance.find_log(f'"machine": "{self.host}", .*{state}')

    def look(self, rack: Rack) -> None:
        """Decide whether it has arrived: ready for a host, on its own disk for a stranger."""
        if self.result or not self.is_on:
            return
        if self.host == STRANGER:
            if self.machine.console.find("LOCAL DISK BOOTED"):
                was_answered = bool(rack.wire.seen(r"from 10\.77\.0\.2", self.machine.mac))
                self._arrive(not was_answered, "left alone", "was answered")
        elif self.said(rack, '"state": "ready"'):
            self._arrive(True, "ready", "")
        elif bad := self.said(rack, '"state": "(rejected|drifted)"'):
            self._arrive(False, "", bad.text)
        elif time.time() - self.machine.started_at > DEADLINE_S:
            self._arrive(False, "", f"not ready in {DEADLINE_S:.0f} s")

    def _arrive(self, is_good: bool, good: str, bad: str) -> None:
        self.is_good = is_good
        self.result = good if is_good else bad


def table(guests: list[Guest], rack: Rack) -> Table:
    """Host, machine and firmware, seconds per stage, result: 80 columns wide."""
    shown = Table(box=box.SIMPLE, padding=(0, 1, 0, 0), title="seconds after power-on", title_style="dim")
    shown.add_column("host, machine,\nfirmware", no_wrap=True)
    for name in COLUMNS:
        shown.add_column(name.replace(" ", "\n"), justify="right", no_wrap=True)
    shown.add_column("result", min_width=10, no_wrap=True)
    for guest in guests:
        reached = guest.reached(rack)
        times = (f"{reached[name]:.1f}" if name in reached else "" for name in COLUMNS)
        who = f"{guest.host}\n[dim]{guest.machine.mac}\n{guest.machine.label}"
        shown.add_row(who, *times, said(guest, reached))
    return shown


def said(guest: Guest, reached: dict[str, float]) -> str:
    """The last column."""
    if guest.result:
        after = reached.get("ready", reached.get("own disk"))
        colour = "green" if guest.is_good else "red"
        return f"[{colour}]{guest.result}" + (f"\n{after:.1f} s" if after else "")
    if not guest.is_on:
        return "[dim]waits for\na free core"
    return f"[yellow]{time.time() - guest.machine.started_at:.0f} s"


def boot(
    rack: Rack, guests: list[Guest], news: queue.Queue[None], events: Lines, console: Console, *, keep: bool
) -> None:
    """Switch them on, no more at once than the processors bear, until each has arrived or has not."""
    shown = 0
    with Live(console=console, auto_refresh=False) as live:
        while any(not guest.result for guest in guests):
            under_way = sum(guest.is_on and not guest.result for guest in guests)
            for guest in [guest for guest in guests if not guest.is_on][: AT_ONCE - under_way]:
                guest.machine.start()
            with contextlib.suppress(queue.Empty):
                news.get(timeout=REFRESH_S)
            for line in events.all()[shown:]:
                console.print(line.text, highlight=False, markup=False, soft_wrap=True, style="dim")
                shown += 1
            for guest in guests:
                guest.look(rack)
                if guest.result and guest.machine.is_on and not keep:
                    guest.machine.stop()
            if console.is_terminal:
                live.update(table(guests, rack), refresh=True)


def how_to_look_around(rack: Rack, console: Console) -> None:
    """The namespaces, the socket, the files."""
    state = rack.appliance.state
    command = f"{sys.executable} -m bootstrapd.cli"
    end = "Enter ends it." if sys.stdin.isatty() else f"`kill {os.getpid()}` ends it."
    console.print(
        f"""
The rack stays up. In another terminal, as root, in {Path.cwd()}:
  {command} status --state {state}
  {command} machines list --state {state}
  {command} watch --state {state}
  {command} explain {RACK[0][2]} --state {state}
  ip netns exec {rack.network.lan} tcpdump -ni br0          the whole network
  ip netns exec {rack.network.appliance} curl -s {URL}/metrics
  tail -f {rack.folder}/*.console                           what the machines say
The operator's API is the socket {state}/run/api.sock; the capture is {rack.wire.file}.
{end}""",
        highlight=False,
        soft_wrap=True,
    )


def until_told_to_end() -> None:
    """Enter at a terminal, SIGINT or SIGTERM anywhere."""
    if sys.stdin.isatty():
        sys.stdin.readline()
        return
    endings = (signal.SIGINT, signal.SIGTERM)  # a shell's background jobs begin with SIGINT ignored
    before = [signal.signal(ending, signal.default_int_handler) for ending in endings]
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(1)  # not signal.pause(): a signal just before it would be slept through
    for ending, handler in zip(endings, before, strict=True):  # what pyroute2 forks is ended by SIGTERM
        signal.signal(ending, handler)


def main() -> int:
    console = Console()
    keep = os.environ.get("KEEP", "") not in ("", "0")
    news: queue.Queue[None] = queue.Queue()
    began = time.monotonic()
    console.print(
        "building the test image and the rack: a bridge, the site's DHCP server, bootstrapd beside it"
    )
    with Rack("demo", on_sighting=lambda _: news.put(None)) as rack:
        rack.site()
        parts.build()
        serve_installs(rack, build(), {host: mac for host, _, mac in RACK if host != STRANGER})
        guests = []
        for number, (host, kind, mac) in enumerate(RACK):
            is_known = host != STRANGER
            disk = empty_disk(rack, f"RACK{number:04}") if is_known else small_disk(rack)
            machine = rack.machine(f"machine-{number + 1}", kind, mac, disks=[disk], reboots=is_known)
            guests.append(Guest(host, machine))
        console.print(
            f"bootstrapd serves after {rack.appliance.started_in_s:.2f} s; the machines are switched on. What "
            "installs them is a stand-in for nix and nixos-anywhere, what is installed is a test system"
        )
        events = rack.appliance.follow_events()
        boot(rack, guests, news, events, console, keep=keep)
        console.print(table(guests, rack) if not console.is_terminal else "")
        console.print(rack.appliance.run("hosts", "list"), highlight=False, soft_wrap=True)
        console.print(rack.appliance.run("hosts", "show", RACK[0][0]), highlight=False, soft_wrap=True)
        if keep:
            how_to_look_around(rack, console)
            until_told_to_end()
        words = f"""\
the appliance's own share of all these boots: {rack.share()}
done in {time.monotonic() - began:.0f} s; consoles, logs and the capture: {rack.folder}"""
        console.print(words, highlight=False, soft_wrap=True)
        if all(guest.is_good for guest in guests):
            return 0
        console.print(rack.situation(), markup=False, highlight=False, soft_wrap=True)
        return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MissingError as missing:
        sys.exit(f"the demo {missing}")
    except NotSeenError as failed:
        sys.exit(f"the demo failed: {failed}")
    except KeyboardInterrupt:
        sys.exit(130)
