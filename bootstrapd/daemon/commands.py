"""What the fleet may do over NATS: enrol, arm and install a host; ask for machines and hosts.

A command is a person's word from afar: it is checked as the CLI's is, and what re-arms a host must also name
the disks that it lets be erased. The reply only says that it was taken; what comes of it are events.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from bootstrapd.daemon.appliance import Appliance
from bootstrapd.daemon.arming import Arming
from bootstrapd.daemon.operator import Operator
from bootstrapd.errors import RefusedError
from bootstrapd.model import Host, Profile, State
from bootstrapd.wire import command
from bootstrapd.wire.command import Ack, AnyCommand, Deploy, QueryHosts, QueryMachines

BY: Final = "deploy"


class Commands:
    """`handle` answers a command, None = it is for another appliance; `owns` says whose a host is."""

    def __init__(
        self,
        appliance: Appliance,
        operator: Operator,
        arming: Arming,
        enrol: Callable[[Host], Awaitable[None]],
        *,
        allow_arm: bool,
        is_alone: bool,
    ) -> None:
        self._appliance = appliance
        self._operator = operator
        self._arming = arming
        self._enrol = enrol
        self._allow_arm = allow_arm
        self._is_alone = is_alone
        self._turn = asyncio.Lock()  # the second of two that come at once finds what the first has done

    def owns(self, host: str) -> bool:
        """Whether the host is declared here."""
        return host in self._appliance.setup.book.hosts

    def is_for_us(self, host: str) -> bool:
        """Whether a command about this host is ours to answer: nobody else hears an own server's."""
        return self._is_alone or self.owns(host)

    async def handle(self, asked: AnyCommand) -> Ack | None:
        """RefusedError and ConfigError: why it was not taken."""
        match asked:
            case Deploy():
                async with self._turn:
                    return self._repeated(asked) or await self._deploy(asked)
            case QueryMachines():
                machines = sorted(self._operator.machines(), key=lambda machine: machine.id)
                found = [m for m in machines if m.id > asked.after and asked.host in {"", m.host}]
                return command.accepted(asked, found[: asked.limit])
            case QueryHosts():
                hosts = [h for h in self._operator.hosts() if h.name > asked.after]
                return command.accepted(asked, [h for h in hosts if asked.host in {"", h.name}][: asked.limit])

    def _repeated(self, asked: Deploy) -> Ack | None:
        """A command is sent again when its reply was lost: it must not consent a second time."""
        registry = self._appliance.registry
        held = registry.arms.get(asked.host)
        if _arm_of(asked) not in {*registry.ended_arms, held.id if held else ""}:
            return None
        return command.accepted(asked, reason=f"{asked.host}: this command was taken already")

    async def _deploy(self, asked: Deploy) -> Ack | None:
        if self.owns(asked.host):
            return await self._deploy_again(asked)
        if not self._is_alone and not any(mac in self._appliance.registry.by_mac for mac in asked.mac):
            return None
        if not asked.mac or not asked.profile:
            raise RefusedError(
                f"{asked.host} is not declared here: a new host needs mac and profile", "NO_HOST"
            )
        profile = self._appliance.setup.book.profiles.get(asked.profile)
        if profile is not None and profile.is_darwin:
            raise RefusedError(
                f'profile {profile.name} is for Macs (system = "darwin"), which cannot boot over the network: '
                f"'bootstrapd hosts add --name {asked.host} --profile {profile.name}' declares one, and says "
                "how it is deployed",
                "DARWIN",
            )
        if profile is not None and not profile.layout:
            raise RefusedError(f"profile {profile.name} names no layout: nothing is installed", "NO_LAYOUT")
        await self._enrol(Host(name=asked.host, profile=asked.profile, macs=asked.mac))
        if profile is not None and profile.install == "approve":
            return command.accepted(asked, reason=f"{asked.host} is enrolled; {_approval(asked.host, profile)}")
        await self._arming.arm(asked.host, BY, _arm_of(asked))
        return command.accepted(asked, reason=f"{asked.host} is enrolled and armed")

    async def _deploy_again(self, asked: Deploy) -> Ack:
        host = self._appliance.setup.book.hosts[asked.host]
        if asked.profile and asked.profile != host.profile:
            raise RefusedError(
                f"{host.name} has profile {host.profile}, not {asked.profile}: its file says so",
                "OTHER_PROFILE",
            )
        if any(mac not in host.macs for mac in asked.mac):
            raise RefusedError(
                f"{host.name} has the MACs {', '.join(host.macs)}: its file says so", "OTHER_MAC"
            )
        machine = self._appliance.registry.by_host.get(host.name)
        arm = self._appliance.registry.arms.get(host.name)
        if arm is not None and not arm.is_spending:
            return command.accepted(asked, reason=f"{host.name} is armed already")
        if not self._allow_arm:
            raise RefusedError(
                f"{host.name} is declared, and its disks may only be erased again by a person here "
                f"('bootstrapd hosts arm {host.name}'), or with nats.allow_arm = true",
                "MAY_NOT_ARM",
            )
        disks = machine.disks if machine else ()
        serials = {disk.serial or disk.wwn for disk in disks}
        if not serials or set(asked.confirm_disks) != serials:
            known = ", ".join(sorted(serials)) or "none are known until it has registered"
            raise RefusedError(
                f"confirm_disks must name the disks of {host.name} that will be erased ({known})",
                "CONFIRM_DISKS",
            )
        await self._arming.arm(host.name, BY, _arm_of(asked))
        return command.accepted(asked, reason=_what_next(host, machine.state if machine else None))


def _arm_of(asked: Deploy) -> str:
    """The id of the arm that this command gives: the same one however often it comes."""
    return f"{BY} {asked.host} {asked.command_id}"


def _approval(host: str, profile: Profile) -> str:
    return (
        f"profile {profile.name} wants each install approved: once it has registered, "
        f"'bootstrapd hosts arm {host}' shows what it erases and asks"
    )


def _what_next(host: Host, state: State | None) -> str:
    if state in {State.LIVE, State.FAILED}:
        return f"{host.name} is armed and will be installed now"
    return f"{host.name} is armed: its next network boot installs it"
