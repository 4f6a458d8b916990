"""What the appliance does on its own behind the doors: installs, the arms that wait, and the bus.

`Fleet` builds these parts, starts and ends them beside the doors, and passes transitions and time on to them.
None of them can stop a boot: what is missing here is a problem that a person is told.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog

from bootstrapd import shipped
from bootstrapd.config import Config
from bootstrapd.daemon.appliance import Appliance
from bootstrapd.daemon.arming import Arming
from bootstrapd.daemon.installs import Ground, Installs
from bootstrapd.edge import arms, deploy_key, staging
from bootstrapd.edge.installer import Installer
from bootstrapd.errors import EdgeError, RefusedError
from bootstrapd.model import ChosenDisk, Host, Profile, Transition
from bootstrapd.policy.install import Limits, Tools

log = structlog.get_logger("bootstrapd")

# What nix and ssh may see of our environment.
PASSED_ON: Final = (
    "PATH",
    "HOME",
    "LANG",
    "NIX_PATH",
    "NIX_REMOTE",
    "NIX_CONFIG",
    "SSL_CERT_FILE",
    "NIX_SSL_CERT_FILE",
)


class Fleet:
    """Installs and what feeds them. `keys` may log in to live systems: configured ones and our own."""

    def __init__(
        self,
        config: Config,
        appliance: Appliance,
        durable: Callable[[], Awaitable[None]],
        server: Callable[[str], str],
    ) -> None:
        self._paths = config.paths
        self._appliance = appliance
        self._durable = durable
        self._start_problem = ""
        self.keys = config.ssh.authorized_keys
        key_file = self._paths.keys_folder
        try:
            key_file, public = deploy_key.ensure(self._paths.keys_folder, config.install.key_file)
            self.keys = (*self.keys, public)
        except EdgeError as error:
            self._start_problem = f"nothing can be installed: {error}"
        ground = Ground(
            place=self._place,
            server=server,
            key_file=key_file,
            at_once=config.install.at_once,
            ssh_port=config.install.ssh_port,
        )
        installer = Installer(_tools(), Limits(), self._paths.state_folder / "jobs")
        self.installs = Installs(appliance, installer, ground, durable)
        self.arming = Arming(appliance, self.installs, durable)

    def problems(self) -> list[str]:
        """What keeps machines from being installed, while some host wants to be."""
        wanted = any(profile.layout for profile in self._appliance.setup.book.profiles.values())
        found = [*self.installs.problems, *([self._start_problem] if self._start_problem else [])]
        return found if wanted else []

    async def start(self) -> None:
        """Take up what was left: installs, arms. Machines are answered meanwhile, and whatever fails here."""
        try:
            await self.installs.start()
            await self._take_arms()
        except Exception as error:
            log.exception("nothing can be installed; machines are answered as ever")
            self._start_problem = f"nothing can be installed: {error!r}; the log has more"

    async def close(self) -> None:
        await self.installs.close()

    def wake(self, transition: Transition) -> None:
        self.installs.wake(transition)

    async def tick(self, now: float) -> None:
        self.installs.tick(now)
        await self._take_arms()

    def reconfigured(self) -> None:
        """The hosts folder changed: who is gone is disarmed, and who was rejected may be right now."""
        self.installs.reconsider()

    async def _take_arms(self) -> None:
        """Arms that `hosts add` left while no appliance ran: journalled, then removed."""
        known = {arm.id for arm in self._appliance.registry.arms.values()}
        for waiting in arms.waiting(self._paths.arms_folder):
            if waiting.host not in self._appliance.setup.book.hosts:
                continue
            if waiting.arm not in known:
                try:
                    await self.arming.arm(waiting.host, waiting.by, arm_id=waiting.arm)
                except RefusedError as error:
                    log.info("not armed", host=waiting.host, reason=str(error))
            arms.remove(self._paths.arms_folder, waiting.host)

    def _place(self, host: Host, profile: Profile, disks: tuple[ChosenDisk, ...]) -> Path | str:
        hosts, state = self._paths.hosts_folder, self._paths.state_folder
        folder = staging.place(hosts, host.name, disks, state / "staging")
        return profile.flake or folder


def _tools() -> Tools:
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return Tools(
        path=os.environ.get("PATH", os.defpath),
        scripts=str(shipped.netboot() / "install"),
        environment=environment,
    )
