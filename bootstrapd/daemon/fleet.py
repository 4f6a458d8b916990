"""What the appliance does on its own behind the doors: installs, the arms that wait, and the bus.

`Fleet` builds these parts, starts and ends them beside the doors, and passes transitions and time on to them.
None of them can stop a boot: what is missing here is a problem that a person is told.
"""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog

from bootstrapd import shipped
from bootstrapd.config import Config
from bootstrapd.config.settings import NatsSettings
from bootstrapd.daemon.appliance import Appliance
from bootstrapd.daemon.arming import Arming
from bootstrapd.daemon.commands import Commands
from bootstrapd.daemon.installs import Installs
from bootstrapd.daemon.runs import Ground
from bootstrapd.edge import arms, deploy_key, staging
from bootstrapd.edge.bus import Bus, Terms
from bootstrapd.edge.installer import Installer
from bootstrapd.edge.journal import Journal
from bootstrapd.edge.nats_server import Login, NatsServer
from bootstrapd.edge.neighbours import addresses_of
from bootstrapd.edge.outbox import Outbox
from bootstrapd.errors import EdgeError, RefusedError
from bootstrapd.model import ChosenDisk, Host, Profile, Transition
from bootstrapd.model.view import NatsView
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
        self._taken: set[str] = set()  # arms of files, by their ids
        self._wrong: dict[Path, str] = {}  # what was last said of a file among them that is wrong
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
            neighbours=addresses_of,
        )
        limits = Limits(stall_s={"install": float(config.install.stall_s)})
        installer = Installer(_tools(), limits, self._paths.state_folder / "jobs")
        self.installs = Installs(appliance, installer, ground, durable)
        self.arming = Arming(appliance, self.installs, durable)
        self._bus: Bus | None = None
        self._server: NatsServer | None = None

    def join(self, nats: NatsSettings, commands: Commands, journal: Journal, counters: Counter[str]) -> None:
        """Say everything over NATS, and hear commands there; `start` connects."""
        if not nats.enabled:
            return
        where = _login(nats)
        site = nats.site or socket.gethostname().split(".")[0]
        if not nats.url:
            self._server = NatsServer(self._paths.state_folder / "nats", site, where if nats.leaf_of else None)
        self._bus = Bus(
            Outbox(journal),
            self._server or where,
            Terms(prefix=nats.prefix, site=site, commands=nats.commands, infrastructure=nats.infrastructure),
            counters,
            commands.handle,
            commands.is_for_us,
        )

    def nats(self) -> NatsView | None:
        """How NATS is; None = it is not wanted."""
        return self._bus.view() if self._bus else None

    def problems(self) -> list[str]:
        """What keeps machines from being installed, while some host wants to be."""
        wanted = any(profile.layout for profile in self._appliance.setup.book.profiles.values())
        found = [*self.installs.problems, *([self._start_problem] if self._start_problem else [])]
        return found if wanted else []

    async def start(self) -> None:
        """Take up what was left: installs, arms. Machines are answered meanwhile, and whatever fails here."""
        try:
            for part in (self._server, self._bus, self.installs):
                if part is not None:
                    await part.start()
            await self._take_arms()
        except Exception as error:
            log.exception("nothing can be installed; machines are answered as ever")
            self._start_problem = f"nothing can be installed: {error!r}; the log has more"

    async def close(self) -> None:
        """Installs first: what they tell at their end still goes out."""
        for part in (self.installs, self._bus, self._server):
            if part is not None:
                await part.close()

    def wake(self, transition: Transition) -> None:
        self.installs.wake(transition)

    async def tick(self, now: float) -> None:
        self.installs.tick(now)
        await self._take_arms()

    def reconfigured(self) -> None:
        """The hosts folder changed: who is gone is disarmed, and who was rejected may be right now."""
        self.installs.reconsider()

    async def _take_arms(self) -> None:
        """Arms that `hosts add` left while no appliance ran: journalled, then removed.

        Each once: an arm ends, and a file that cannot be removed must not consent again then.
        """
        registry, wrong = self._appliance.registry, dict[Path, str]()
        known = {arm.id for arm in registry.arms.values()} | {*registry.ended_arms} | self._taken
        for waiting in arms.waiting(
            self._paths.arms_folder, lambda file, error: wrong.update({file: str(error)})
        ):
            if waiting.host not in self._appliance.setup.book.hosts:
                continue
            if waiting.arm not in known:
                self._taken.add(waiting.arm)
                try:
                    await self.arming.arm(waiting.host, waiting.by, arm_id=waiting.arm)
                except RefusedError as error:
                    log.info("not armed", host=waiting.host, reason=str(error))
            try:
                arms.remove(self._paths.arms_folder, waiting.host)
            except OSError as error:
                wrong[self._paths.arms_folder / f"{waiting.host}.json"] = (
                    f"it cannot be removed: do it yourself ({error.strerror})"
                )
        for file, mistake in wrong.items():
            if self._wrong.get(file) != mistake:
                log.warning(
                    "an arm's file is wrong, and arms nobody from now on", file=str(file), mistake=mistake
                )
        self._wrong = wrong

    def _place(self, host: Host, profile: Profile, disks: tuple[ChosenDisk, ...]) -> Path | str:
        hosts, state = self._paths.hosts_folder, self._paths.state_folder
        folder = staging.place(hosts, host.name, disks, state / "staging")
        return profile.flake or folder


def _login(nats: NatsSettings) -> Login:
    def file(name: str) -> Path | None:
        return Path(name) if name else None

    return Login(
        urls=(nats.url,) if nats.url else nats.leaf_of,
        credentials=file(nats.credentials),
        nkey_seed=file(nats.nkey_seed_file),
        token=file(nats.token_file),
        tls_ca=file(nats.tls_ca),
        tls_cert=file(nats.tls_cert),
        tls_key=file(nats.tls_key),
    )


def _tools() -> Tools:
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return Tools(
        path=os.environ.get("PATH", os.defpath),
        scripts=str(shipped.netboot() / "install"),
        environment=environment,
    )
