"""A machine's boot cut into stages by what was seen of it, from power-on to registration or to its own disk."""

from __future__ import annotations

from typing import Final, NamedTuple

from rack.machine import Machine
from rack.wire import Wire

# name, what on the wire begins it; the console's own rows come after.
WIRE: Final = (
    ("asks", r"^DHCP DISCOVER (PXEClient|HTTPClient|iPXE)"),
    ("boot program", r"^(TFTP RRQ|HTTP GET) \S*nbp/\S+"),
    ("script", r"^HTTP GET /boot/"),
    ("kernel", r"^HTTP GET /images/\S+/vmlinuz"),
)
CONSOLE: Final = (
    ("Linux", r"TEST IMAGE: Linux"),
    ("registered", r"bootstrapd: registered with"),
    ("own disk", r"LOCAL DISK BOOTED"),
)


class Stage(NamedTuple):
    name: str
    after_s: float  # since power-on


def stages(machine: Machine, wire: Wire) -> list[Stage]:
    """The stages reached so far, in order."""
    reached: list[Stage] = []
    for name, pattern in WIRE:
        seen = [s for mac in machine.macs for s in wire.seen(pattern, mac, machine.started_at)]
        if seen:
            reached.append(Stage(name, min(s.at for s in seen) - machine.started_at))
    for name, pattern in CONSOLE:
        line = machine.console.find(pattern)
        if line:
            reached.append(Stage(name, line.at - machine.started_at))
    return reached


def told(machine: Machine, wire: Wire) -> str:
    """The stages in one line, for a person."""
    return " · ".join(f"{stage.name} {stage.after_s:.1f} s" for stage in stages(machine, wire))
