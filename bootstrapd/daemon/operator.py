"""What the operator may ask and do over the API: the daemon's side of `edge.api.ApiCore`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from msgspec.structs import replace

from bootstrapd.daemon.appliance import Appliance, of
from bootstrapd.daemon.arming import Arming
from bootstrapd.daemon.explain import explain
from bootstrapd.daemon.installs import MID_INSTALL, Installs
from bootstrapd.daemon.writer import Writer
from bootstrapd.errors import ConfigError, RefusedError
from bootstrapd.model import (
    Adopted,
    AnyEvent,
    Arch,
    Door,
    Forgotten,
    Host,
    Mac,
    Stage,
    State,
    TokenIssued,
)
from bootstrapd.model.view import EventView, Explained, HostView, ImageView, MachineView, StatusView
from bootstrapd.policy import views
from bootstrapd.policy.machine import Machine

View = TypeVar("View", HostView, MachineView)
Past = Callable[[float, Callable[[AnyEvent], bool], int], Awaitable[list[AnyEvent]]]


class Operator:
    """Reads are from memory; what changes something returns once it is durable."""

    def __init__(
        self,
        appliance: Appliance,
        writer: Writer,
        server: Callable[[], str],
        durable: Callable[[], Awaitable[None]],
        add_mac: Callable[[str, Mac], Awaitable[object]],
        reload: Callable[[], Awaitable[list[str]]],
        check_hosts: Callable[[], Awaitable[list[str]]],
        status: Callable[[], StatusView],
        arming: Arming,
        installs: Installs,
        read_past: Past,
    ) -> None:
        self._appliance = appliance
        self._writer = writer
        self._server = server
        self._durable = durable
        self._add_mac = add_mac
        self._reload = reload
        self._check_hosts = check_hosts
        self.status = status
        self._arming = arming
        self._installs = installs
        self._read_past = read_past

    async def reload(self) -> list[str]:
        """Read hosts and images again, now; the mistakes found."""
        return await self._reload()

    def hosts(self) -> list[HostView]:
        """Every declared host, by name."""
        book = self._appliance.setup.book
        return [self._host(book.hosts[name]) for name in sorted(book.hosts)]

    def host(self, name: str) -> HostView | None:
        host = self._appliance.setup.book.hosts.get(name)
        return self._host(host) if host else None

    def machines(self) -> list[MachineView]:
        """Every machine that was seen, the latest last."""
        by_time = sorted(self._appliance.registry, key=lambda machine: machine.last_seen)
        return [self._view(machine) for machine in by_time]

    def machine(self, key: str) -> MachineView | None:
        machine = self._find(key)
        return self._view(machine) if machine else None

    def images(self) -> list[ImageView]:
        setup = self._appliance.setup
        return [views.of_image(setup.images[name], setup.book) for name in sorted(setup.images)]

    def explain(self, mac: Mac, arch: Arch | None, stage: Stage | None, door: Door | None) -> list[Explained]:
        return explain(self._appliance, self._writer, self._server(), mac, arch, stage, door)

    async def adopt(self, machine: str, host: str, *, ready: bool) -> MachineView:
        """This machine is that host. A MAC that the host's file does not have yet is written there first."""
        declared = self._appliance.setup.book.hosts.get(host)
        if declared is None:
            known = ", ".join(sorted(self._appliance.setup.book.hosts)) or "none yet"
            raise RefusedError(
                f"there is no host {host!r} (hosts: {known}); 'bootstrapd hosts add' makes one", "NO_HOST"
            )
        found = self._find(machine)
        _refuse_mid_install(found)
        mac = _named(machine, found)
        if found is not None and found.host != host and found.host in self._appliance.setup.book.hosts:
            found = (
                None  # another host's record that has the MAC: it goes to this one, or `_refuse` says why not
            )
        self._refuse_other_owner(found, mac, declared)
        await self._refuse_with_mistakes()
        if mac not in declared.macs:
            await self._add_mac(host, mac)
            await self._refuse_with_mistakes()
        seen = self._find(machine)
        _refuse_mid_install(seen)  # a claim may have come while its file was written
        found = seen if seen is not None and seen.host in {"", host} else None
        machine_id = found.id if found else self._appliance.new_machine(mac)
        if ready:
            self._arming.end(host, "a person said that it runs from its own disk already")
        self._appliance.tell(Adopted(id="", at=0.0, machine=machine_id, host=host, ready=ready, mac=mac))
        await self._durable()
        return self._view(self._appliance.registry.machines[machine_id])

    async def arm(self, host: str, *, by: str, fingerprint: str = "") -> HostView:
        """As `Arming.arm`, and so the three below; the host as it is then."""
        await self._arming.arm(host, by, fingerprint=fingerprint)
        return self._host(self._appliance.setup.book.hosts[host])

    async def disarm(self, host: str) -> HostView:
        await self._arming.disarm(host)
        return self._host(self._appliance.setup.book.hosts[host])

    async def abort(self, host: str, *, by: str) -> HostView:
        await self._arming.abort(host, by)
        return self._host(self._appliance.setup.book.hosts[host])

    async def retry(self, host: str, *, by: str) -> HostView:
        await self._arming.retry(host, by)
        return self._host(self._appliance.setup.book.hosts[host])

    async def past(self, since: float, host: str, limit: int) -> list[EventView]:
        """What the journal has from `since` on, of one host or all (""): the newest `limit`, oldest first."""

        def is_wanted(event: AnyEvent) -> bool:
            return not isinstance(event, TokenIssued) and host in {"", self._whose(event)}

        events = await self._read_past(since, is_wanted, limit)
        return [EventView(event=event, host=self._whose(event)) for event in events]

    def _whose(self, event: AnyEvent) -> str:
        return self.host_of(event.machine) or str(getattr(event, "host", ""))

    def host_of(self, machine: str) -> str:
        """The name of the host that the machine is, or ""."""
        found = self._appliance.registry.machines.get(machine)
        return found.host if found else ""

    async def forget(self, machine: str, *, force: bool = False) -> bool:
        """The record goes, the host's file stays. A ready machine's only by force: it would netboot again."""
        found = self._find(machine)
        if found is None:
            return False
        if found.state is State.READY and not force:
            raise RefusedError(
                f"{found.host or found.id} is ready; without its record its next power-on boots its profile's "
                "image instead of its disk. --force forgets it all the same",
                "READY",
            )
        _refuse_mid_install(found)
        self._appliance.tell(Forgotten(**of(found)))
        await self._durable()
        return True

    async def _refuse_with_mistakes(self) -> None:
        mistakes = await self._check_hosts()
        if mistakes:
            raise ConfigError(*mistakes)

    def _host(self, host: Host) -> HostView:
        registry, book = self._appliance.registry, self._appliance.setup.book
        seen = registry.by_host.get(host.name)
        view = views.of_host(host, seen, book.profiles[host.profile], registry.arms.get(host.name))
        return self._with_what_it_waits_for(view, seen) if seen else view

    def _view(self, machine: Machine) -> MachineView:
        view = views.of_machine(machine, self._appliance.setup, self._appliance.registry.arms.get(machine.host))
        return self._with_what_it_waits_for(view, machine)

    def _with_what_it_waits_for(self, view: View, machine: Machine) -> View:
        waits = self._installs.why(machine)
        return replace(view, why="; ".join(filter(None, (machine.why, waits)))) if waits else view

    def _find(self, key: str) -> Machine | None:
        machine = self._appliance.registry.machines.get(key)
        if machine is not None:
            return machine
        try:
            return self._appliance.registry.find(Mac.parse(key))
        except ConfigError:
            return None

    def _refuse_other_owner(self, machine: Machine | None, mac: Mac, host: Host) -> None:
        holder = self._appliance.registry.by_host.get(host.name)
        if holder is not None and holder is not machine:
            raise RefusedError(
                f"{host.name} is machine {holder.id} ({', '.join(holder.macs)}) already; "
                f"'bootstrapd machines forget {holder.id}' first, if that one is gone",
                "HOST_TAKEN",
            )
        owner = self._appliance.setup.index.by_mac.get(mac)
        if owner is not None and owner.name != host.name:
            raise RefusedError(
                f"{mac} belongs to host {owner.name}: take it out of {owner.source} first", "MAC_TAKEN"
            )


def _refuse_mid_install(machine: Machine | None) -> None:
    if machine is not None and machine.state in MID_INSTALL:
        raise RefusedError(
            f"{machine.host} is being installed: 'bootstrapd hosts abort {machine.host}' first", "MID_INSTALL"
        )


def _named(key: str, machine: Machine | None) -> Mac:
    """The MAC a person typed, else the machine's first."""
    try:
        return Mac.parse(key)
    except ConfigError as error:
        if machine is not None and machine.macs:
            return machine.macs[0]
        raise RefusedError(f"no machine with the id {key!r} was seen, and {error}", "NO_MACHINE") from None
