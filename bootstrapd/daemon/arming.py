"""A person's word on installs: arm, disarm, abort, retry. Each returns once it is durable, or says why not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bootstrapd.daemon.appliance import Appliance, of
from bootstrapd.daemon.installs import MID_INSTALL, Installs
from bootstrapd.errors import RefusedError
from bootstrapd.model import Armed, Disarmed, Host, Retried, State
from bootstrapd.policy import darwin
from bootstrapd.policy.arm import BY_ENROLLING, shown
from bootstrapd.policy.machine import Machine
from bootstrapd.policy.views import fingerprint as key_name


class Arming:
    """RefusedError: no such host, or not now, with what to do instead."""

    def __init__(
        self, appliance: Appliance, installs: Installs, durable: Callable[[], Awaitable[None]]
    ) -> None:
        self._appliance = appliance
        self._registry = appliance.registry
        self._installs = installs
        self._durable = durable

    async def arm(self, name: str, by: str, arm_id: str = "", fingerprint: str = "") -> None:
        """Consent once to erase the host's disks. Repeated before it was spent, it is the same consent.

        `fingerprint`: of the host key that a person was shown; an approval is of that machine, or refused.
        """
        host = self._host(name)
        profile = self._appliance.setup.book.profiles[host.profile]
        if profile.is_darwin:
            raise RefusedError(darwin.reason(host), "DARWIN")
        if not profile.layout:
            raise RefusedError(
                f"profile {profile.name} names no layout: nothing would be installed on {name}. "
                f"Name one in profiles/{profile.name}.toml of the hosts folder (now read: {profile.source})",
                "NO_LAYOUT",
            )
        if by == BY_ENROLLING and profile.install == "approve":
            raise RefusedError(
                f"profile {profile.name} wants each install approved: once {name} has registered, "
                f"'bootstrapd hosts arm {name}' shows what it erases and asks",
                "WANTS_APPROVAL",
            )
        self._refuse_mid_install(name)
        machine = self._registry.by_host.get(name)
        seen = shown(machine) if machine else ""
        if profile.install == "approve" and not seen:
            raise RefusedError(
                f"profile {profile.name} wants each install approved, and there is no machine to approve yet: "
                f"let {name} boot its installer; once it has registered, 'bootstrapd hosts arm {name}' shows "
                "its key, and asks",
                "NOT_SEEN",
            )
        if profile.install == "approve" and machine and fingerprint not in {"", key_name(machine.host_key)}:
            raise RefusedError(
                f"{name} shows another SSH host key now ({key_name(machine.host_key)}) than the one you saw: "
                f"'bootstrapd hosts arm {name}' shows it, and asks again",
                "OTHER_KEY",
            )
        held = self._registry.arms.get(name)
        is_same = held is not None and (profile.install != "approve" or held.seen == seen)
        if held is not None and is_same and not held.is_spending and by in {held.by, BY_ENROLLING}:
            return
        arm = arm_id or self._appliance.chance.new_secret()
        self._appliance.tell(Armed(id="", at=0.0, machine="", host=name, arm=arm, by=by, seen=seen))
        await self._durable()

    async def disarm(self, name: str) -> None:
        """Take the consent back."""
        self._host(name)
        self._refuse_mid_install(name)
        if name not in self._registry.arms:
            raise RefusedError(f"{name} is not armed", "NOT_ARMED")
        self.end(name, "taken back by a person")
        await self._durable()

    def end(self, name: str, reason: str) -> None:
        """The host's consent is over, if it has one."""
        held = self._registry.arms.get(name)
        if held is not None:
            self._appliance.tell(Disarmed(id="", at=0.0, machine="", host=name, arm=held.id, reason=reason))

    async def abort(self, name: str, by: str) -> None:
        """Stop the install that runs; its processes are dead when this returns."""
        self._host(name)
        machine = self._registry.by_host.get(name)
        if machine is None or machine.state not in MID_INSTALL:
            raise RefusedError(f"{name} is not being installed: there is nothing to abort", "NO_INSTALL")
        await self._installs.abort(machine, by)
        await self._durable()

    async def retry(self, name: str, by: str) -> None:
        """Try the failed install again now, under the arm it has."""
        self._host(name)
        machine = self._registry.by_host.get(name)
        if machine is None or machine.failure is None or machine.state in MID_INSTALL | {State.READY}:
            raise RefusedError(f"no install of {name} has failed: there is nothing to retry", "NOT_FAILED")
        if name not in self._registry.arms:
            raise RefusedError(
                f"the consent to erase the disks of {name} is over; 'bootstrapd hosts arm {name}' gives a new "
                "one, and tries again",
                "NOT_ARMED",
            )
        self._appliance.tell(Retried(**of(machine), by=by))
        await self._durable()

    def _host(self, name: str) -> Host:
        host = self._appliance.setup.book.hosts.get(name)
        if host is None:
            known = ", ".join(sorted(self._appliance.setup.book.hosts)) or "none yet"
            raise RefusedError(f"there is no host {name!r} (hosts: {known})", "NO_HOST")
        return host

    def _refuse_mid_install(self, name: str) -> None:
        machine: Machine | None = self._registry.by_host.get(name)
        if machine is not None and machine.state in MID_INSTALL:
            raise RefusedError(
                f"{name} is being installed ({machine.phase or 'waiting for its turn'}): "
                f"'bootstrapd hosts abort {name}' stops that first",
                "MID_INSTALL",
            )
