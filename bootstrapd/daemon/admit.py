"""What the agent says: a live system registers with its overlay's token, an installed one reports with its."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from bootstrapd.daemon.appliance import Appliance, of
from bootstrapd.errors import WireError
from bootstrapd.model import (
    Mac,
    Merged,
    Refused,
    Registered,
    Registration,
    encode,
    read_registration,
    read_report,
)
from bootstrapd.model.view import Admission
from bootstrapd.policy import admission
from bootstrapd.policy.admission import Caller, Refusal
from bootstrapd.policy.limit import Buckets
from bootstrapd.policy.machine import Machine, token_id
from bootstrapd.policy.registry import STRANGERS

log = structlog.get_logger(__name__)

# Every refusal that is a machine's own story is an event; these only count: they are there to save events.
ONLY_COUNTED: Final = frozenset({"TOO_OFTEN"})
# A machine boots a few times in a row; each registration and each report of drift is journalled.
A_SECOND: Final = 1 / 30
AT_ONCE: Final = 10.0
MACHINES: Final = 2 * STRANGERS


class Admissions:
    """`register` and `report` for the HTTP door.

    `durable` returns once everything told so far is on disk; `left` ends an install on a live system that the
    machine has left, since it says so itself.
    """

    def __init__(
        self,
        appliance: Appliance,
        neighbour: Callable[[str], Mac | None],
        durable: Callable[[], Awaitable[None]],
        left: Callable[[Machine, str], Awaitable[None]],
    ) -> None:
        self._appliance = appliance
        self._left = left
        self._neighbour = neighbour
        self._durable = durable
        self._registrations = Buckets(A_SECOND, AT_ONCE, MACHINES)
        self._reports = Buckets(A_SECOND, AT_ONCE, MACHINES)

    async def register(self, body: bytes, client: str) -> tuple[int, bytes]:
        """The HTTP status and JSON body for one POST. An acceptance is durable before it is said."""
        try:
            registration = read_registration(body)
        except WireError as error:
            return self._refuse(400, Refusal("BAD_REGISTRATION", str(error)), client)
        found = self._appliance.registry.token(registration.token)
        if found is None:
            unknown = Refusal(
                "UNKNOWN_TOKEN", "this token was never given, or its 15 minutes are over: boot again"
            )
            return self._refuse(403, unknown, client)
        machine, token = found
        caller = Caller(client, self._neighbour(client))
        declared = self._appliance.setup.book.hosts.get(machine.host)
        now = self._appliance.chance.now()
        refusal = admission.judge(registration, machine, token, declared, caller, now)
        if refusal is not None:
            return self._refuse(503 if refusal.is_for_now else 403, refusal, client, machine)
        if not admission.is_repeat(registration, token, caller):
            if not self._registrations.take(machine.id, now):
                return self._refuse(503, admission.too_often("it registered"), client)
            await self._left(machine, "the machine booted anew and registered again")
            if token.spent_by or self._appliance.registry.token(registration.token) is None:
                return await self.register(body, client)  # another was quicker while the run was being stopped
            self._accept(machine, registration, client)
        await self._durable()
        return 200, encode(Admission(status="accepted", machine=machine.id, host=machine.host))

    async def report(self, body: bytes, client: str) -> tuple[int, bytes]:
        """The HTTP status and JSON body for one `POST /v1/report` of an installed system."""
        try:
            report = read_report(body)
        except WireError as error:
            return self._refuse(400, Refusal("BAD_REPORT", str(error)), client, what="a report")
        name = token_id(report.token)
        machine = self._appliance.registry.by_report.get(name)
        if machine is None:
            unknown = Refusal("UNKNOWN_TOKEN", "no install that counts gave this token")
            return self._refuse(403, unknown, client, what="a report")
        refusal = admission.judge_report(report, machine)
        if refusal is not None:
            return self._refuse(503 if refusal.is_for_now else 403, refusal, client, machine, "a report")
        if not admission.is_report_repeated(report, machine):
            if not self._reports.take(machine.id, self._appliance.chance.now()):
                return self._refuse(503, admission.too_often("it reported"), client)
            await self._left(machine, "the machine rebooted into its new system before it was told to")
            self._appliance.tell(admission.outcome(report, machine, client))
        await self._durable()
        return 200, encode(Admission(status="accepted", machine=machine.id, host=machine.host))

    def _accept(self, machine: Machine, registration: Registration, client: str) -> None:
        hardware = admission.sane(registration.hardware)
        if not machine.host:
            hardware = admission.extract(hardware)
        macs = self._own(machine, [Mac.parse(nic.mac) for nic in hardware.nics])
        for mac in macs:
            other = self._appliance.registry.by_mac.get(mac)
            if other is not None and other is not machine and not other.host:
                self._appliance.tell(Merged(**of(machine), other=other.id))
        self._appliance.tell(
            Registered(
                **of(machine),
                address=client,
                hardware=hardware,
                host_key=registration.host_key,
                macs=tuple(macs),
                token_id=token_id(registration.token),
            )
        )

    def _own(self, machine: Machine, macs: list[Mac]) -> list[Mac]:
        """Without what another host declares: an inventory is a claim, a host.toml is a person's word.

        A stranger's inventory gives it nothing at all: what it lists may be enrolled tomorrow.
        """
        if not machine.host:
            return []
        owners = self._appliance.setup.index.by_mac
        return [mac for mac in macs if mac not in owners or owners[mac].name == machine.host]

    def _refuse(
        self,
        status: int,
        refusal: Refusal,
        client: str,
        machine: Machine | None = None,
        what: str = "a registration",
    ) -> tuple[int, bytes]:
        """The answer; and in the story of the machine whose token it is, else of the host's that sent it."""
        machine = machine or self._host_machine_at(client)
        if machine is not None and refusal.code not in ONLY_COUNTED:
            reason = f"{what} from {client} was refused: {refusal.reason}"
            self._appliance.tell(Refused(**of(machine), code=refusal.code, reason=reason))
        self._appliance.counters[f"register.refused.{refusal.code.lower()}"] += 1
        log.debug("registration refused", client=client, code=refusal.code, reason=refusal.reason)
        return status, encode(Admission(status="refused", code=refusal.code, reason=refusal.reason))

    def _host_machine_at(self, client: str) -> Machine | None:
        """The machine of a host with the NIC that the kernel saw at this address; None over a router."""
        mac = self._neighbour(client)
        machine = self._appliance.registry.by_mac.get(mac) if mac else None
        return machine if machine is not None and machine.host else None
