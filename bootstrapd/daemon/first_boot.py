"""Looks for installed systems that do not report by themselves, until one answers or its time is over.

The time is the state's own deadline (`policy.lifecycle`): `Installs` ends the watch with it, and asks here what
was seen last. What an answer means is `policy.first_boot`'s and `policy.admission`'s.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import structlog
from msgspec.structs import replace

from bootstrapd.daemon.appliance import Appliance
from bootstrapd.model import Host, Mac, Report, State
from bootstrapd.policy import admission, first_boot
from bootstrapd.policy.first_boot import Asked
from bootstrapd.policy.install import Failure, Job
from bootstrapd.policy.machine import Machine

log = structlog.get_logger(__name__)


class Looker(Protocol):
    async def look(self, job: Job) -> Report | Failure: ...


class FirstBoots:
    """`watch` one machine at a time; `overdue` in the words of what was seen last."""

    def __init__(
        self,
        appliance: Appliance,
        looker: Looker,
        durable: Callable[[], Awaitable[None]],
        neighbours: Callable[[Iterable[Mac]], list[str]],
        wait: Callable[[float], Awaitable[None]],
    ) -> None:
        self._appliance = appliance
        self._looker = looker
        self._durable = durable
        self._neighbours = neighbours
        self._wait = wait
        self._asked: dict[str, Asked] = {}

    async def watch(self, machine: Machine, host: Host, job: Job) -> None:
        """Ask again and again; told as a report would be, and durable, when this returns."""
        for pause in first_boot.pauses():
            await self._wait(pause)
            if machine.state is not State.REBOOTING or await self._is_found(machine, host, job):
                return

    def overdue(self, machine: Machine, waited_s: float) -> Failure:
        """Why its first boot counts as failed."""
        return first_boot.overdue(machine.host, waited_s, self._asked.pop(machine.id, None))

    async def _is_found(self, machine: Machine, host: Host, job: Job) -> bool:
        where = first_boot.addresses(host, machine.address, self._neighbours(machine.macs))
        failures = []
        for address in where:
            found = await self._looker.look(replace(job, address=address))
            if machine.state is not State.REBOOTING:
                return False
            if isinstance(found, Report):
                self._asked.pop(machine.id, None)
                self._appliance.tell(admission.outcome(found, machine, address))
                await self._durable()
                return True
            log.debug("not seen yet", host=host.name, address=address, cause=found.cause)
            failures.append(found)
        if failures:
            # Who answers, and is not what was hoped for, says more than who does not answer.
            told = next((each for each in failures if not each.is_lost), failures[0])
            public_key = f"{job.key_file}.pub"
            self._asked[machine.id] = Asked(addresses=where, failure=told, public_key=public_key)
        return False
