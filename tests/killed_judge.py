"""Judges what killed appliances left: the journal, the disks' own logs, and what was acknowledged.

Every function gives sentences, one for each thing that must never be; [] = all is well.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

from killed_rack import Acknowledged, Rack

from bootstrapd.edge import journal_file
from bootstrapd.model import (
    Accepted,
    AnyEvent,
    Built,
    Claimed,
    EraseStarted,
    Failed,
    Installed,
    PhaseStarted,
    Progressed,
    Rejected,
    Reported,
    State,
)
from bootstrapd.policy.arm import forbids
from bootstrapd.policy.install import PHASES
from bootstrapd.policy.lifecycle import ERASES_AN_ARM
from bootstrapd.policy.registry import Registry

AT_WORK: Final = {State.CLAIMED, State.INSTALLING}
# Where each of these may happen: the table of the lifecycle leaves a machine where it is for the others.
LEGAL: Final[dict[type, set[State]]] = {
    Accepted: {State.LIVE, State.REJECTED},
    Rejected: {State.LIVE, State.REJECTED},
    Claimed: {State.LIVE, State.FAILED},
    PhaseStarted: AT_WORK,
    Built: AT_WORK,
    EraseStarted: AT_WORK,
    Progressed: AT_WORK,
    Installed: {State.INSTALLING},
    Failed: {State.LIVE, State.CLAIMED, State.INSTALLING, State.REBOOTING},
    Reported: {State.REBOOTING, State.DRIFTED, State.FAILED},
}


class Piece(NamedTuple):
    """A line of a disk's log."""

    at: float
    run: str
    pid: str
    what: str


class Story(NamedTuple):
    """The journal, replayed."""

    events: list[AnyEvent]
    registry: Registry
    mistakes: list[str]


def read(rack: Rack) -> Story:
    """Replays the journal and judges each event where it stands. DamagedError: a gap, a checksum."""
    story = Story(list(journal_file.read(rack.state / "journal.db")), Registry(), [])
    last: dict[str, float] = defaultdict(float)
    for event in story.events:
        story.mistakes.extend(_misplaced(event, story.registry, last[event.machine]))
        last[event.machine] = event.at
        story.registry.apply(event)
    ids = Counter(event.id for event in story.events)
    story.mistakes.extend(f"event {name} is there {count} times" for name, count in ids.items() if count > 1)
    return story


def _misplaced(event: AnyEvent, registry: Registry, last: float) -> Iterator[str]:
    name = f"{type(event).__name__} of {event.machine}"
    if event.at < last:
        yield f"{name} is older than the event before it"
    machine = registry.machines.get(event.machine)
    legal = LEGAL.get(type(event))
    if machine is None or legal is None:
        return
    if machine.state not in legal:
        yield f"{name} while it is {machine.state}"
    if machine.state in AT_WORK and event.run != machine.run:
        yield f"{name} belongs to run {event.run}, and {machine.run} is under way"
    if isinstance(event, EraseStarted):
        arm = registry.arms.get(machine.host)
        if arm is None or not event.arm == machine.arm == arm.id:
            yield f"{name} without the arm that it names"
        elif why := forbids(arm, event.disks, event.at):
            yield f"{name} although {why}"


def phases_in_order(story: Story) -> list[str]:
    """Each run goes through the phases from the first on, one erase before the first that destroys."""
    runs: dict[str, list[str]] = defaultdict(list)
    for event in story.events:
        if isinstance(event, PhaseStarted):
            runs[event.run].append(event.phase)
        elif isinstance(event, EraseStarted):
            runs[event.run].append("erase")
    wanted = [PHASES[0], "erase", *PHASES[1:]]
    return [f"run {run} went {went}" for run, went in runs.items() if went != wanted[: len(went)]]


def nothing_forgotten(story: Story, acknowledged: Iterable[Acknowledged]) -> list[str]:
    """Whatever was answered with success has its event."""
    told = {(type(event).__name__, what) for event in story.events for what in _names(event)}
    return [f"{each} has no event" for each in acknowledged if (each.kind, each.what) not in told]


def _names(event: AnyEvent) -> Iterator[str]:
    for field in ("token_id", "boot_id", "arm"):
        yield getattr(event, field, "")


def disks_in_order(story: Story, rack: Rack) -> list[str]:
    """Each run that wrote had its own EraseStarted before, erased once, and was alone on the disk."""
    erases = {event.run: event for event in story.events if isinstance(event, EraseStarted)}
    budget = Counter(event.arm for event in erases.values())
    mistakes = [f"arm {arm} was spent on {n} erases" for arm, n in budget.items() if n > ERASES_AN_ARM]
    for machine in rack.machines:
        blocks = [(run, list(pieces)) for run, pieces in groupby(pieces_of(machine.folder), lambda p: p.run)]
        again = [run for run, count in Counter(run for run, _ in blocks).items() if count > 1]
        mistakes += [f"{machine.host}: run {run} wrote while another run did" for run in again]
        for run, pieces in blocks:
            erase = erases.get(run)
            if erase is None or erase.at > pieces[0].at:
                mistakes.append(f"{machine.host}: run {run} wrote before its erase was in the journal")
            elif story.registry.machines[erase.machine].host != machine.host:
                mistakes.append(f"{machine.host}: run {run} is of another machine")
            steps = [what for what, _ in groupby((piece.pid, piece.what) for piece in pieces)]
            if [what for _, what in steps] != ["preclean", "disko", "install"][: len(steps)]:
                mistakes.append(f"{machine.host}: run {run} did {steps}")
    return mistakes


def pieces_of(machine: Path) -> list[Piece]:
    log = machine / "log"
    lines = log.read_text().splitlines() if log.exists() else []
    words = [line.split() for line in lines]
    return [Piece(float(at), run, pid, what) for at, run, pid, what in words]


def retried_for_a_reason(story: Story) -> list[str]:
    """Between two erases under one arm stands the failure of the first."""
    mistakes: list[str] = []
    open_runs: dict[str, str] = {}
    for event in story.events:
        if isinstance(event, Failed):
            open_runs.pop(event.machine, None)
        elif isinstance(event, EraseStarted):
            if event.machine in open_runs:
                mistakes.append(f"{event.machine} was erased again and nothing had failed")
            open_runs[event.machine] = event.run
        elif isinstance(event, Reported):
            open_runs.pop(event.machine, None)
    return mistakes


def as_shown(story: Story, hosts: list[dict[str, Any]]) -> list[str]:
    """The API shows what the journal says."""
    mistakes = []
    for host in hosts:
        machine = story.registry.by_host[host["name"]]
        arm = story.registry.arms.get(host["name"])
        shown = (host["state"], host["run"], host["phase"], host["closure"], host["arm"] and host["arm"]["id"])
        told = (machine.state, machine.run, machine.phase, machine.closure, arm and arm.id)
        if shown != told:
            mistakes.append(f"{host['name']}: the API shows {shown}, the journal says {told}")
    return mistakes


def well_ended(hosts: list[dict[str, Any]], rack: Rack) -> list[str]:
    """Ready on a whole disk, or failed with a cause (live again with it, once it was switched on anew)."""
    mistakes = [mishap for machine in rack.machines for mishap in machine.mishaps]
    for machine, host in zip(rack.machines, hosts, strict=True):
        if host["state"] == "ready" and machine.read("disk") != "whole":
            mistakes.append(f"{machine.host} is ready and its disk {machine.read('disk')}")
        failure = host["failure"] or {"stage": "", "cause": ""}
        if host["state"] != "ready" and not (failure["stage"] and failure["cause"]):
            mistakes.append(f"{machine.host} is {host['state']} without a cause")
    return mistakes


def everything(rack: Rack) -> list[str]:
    """All of the above, of an appliance at rest, once what it told last is on disk too."""
    rack.until(lambda: as_shown(read(rack), rack.hosts()) == [])
    hosts = rack.hosts()
    story = read(rack)
    return [
        *story.mistakes,
        *phases_in_order(story),
        *nothing_forgotten(story, rack.acknowledged),
        *disks_in_order(story, rack),
        *retried_for_a_reason(story),
        *as_shown(story, hosts),
        *well_ended(hosts, rack),
    ]
