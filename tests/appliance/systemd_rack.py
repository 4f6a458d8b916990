"""A real systemd that runs the module's unit, in namespaces of its own (root): this machine is not touched.

It has its own process ids, mounts (/run, /var/lib), cgroups and network; a cable leads to a machine. What it
runs is this checkout, mounted at /run/appliance: `PrivateTmp` and `ProtectHome` would hide it where it is.
Processes end with the namespace.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from namespaces import NEEDS_ROOT, Namespace
from nix_tools import ROOT

OURS: Final = "10.92.0.1"
MACHINES: Final = "10.92.0.2"
UID: Final = 990  # of the user and the group bootstrapd, inside
LINK: Final = "boot0"
PLACE: Final = "/run/appliance"  # inside: bin/, config.toml, repository/, python/
SAID: Final = f"{PLACE}/said"  # inside: its standard error
PATIENCE_S: Final = 60.0
_PATH: Final = "/usr/sbin:/usr/bin"
SYSTEMD: Final = "/lib/systemd/systemd"
NEEDS_SYSTEMD: Final = [
    pytest.mark.root,
    NEEDS_ROOT,
    pytest.mark.skipif(not os.access(SYSTEMD, os.X_OK), reason="needs systemd: .ci/install test"),
    pytest.mark.skipif(
        shutil.which("nft", path="/usr/sbin:/usr/bin") is None, reason="needs nft: .ci/install test"
    ),
    pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare: apt install util-linux"),
]

# A read-only /sys says that nobody tells of devices here: units that wait for a link go on at once.
# Which units there are is said by SYSTEMD_UNIT_PATH: this machine's own are not among them.
_BOOT: Final = """
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /var/lib
mkdir -p {place}/repository {place}/python
mount --bind {repository} {place}/repository
mount --bind {python} {place}/python
cp -rP {files}/bin {files}/units {files}/more {files}/config.toml {files}/tmpfiles.conf {place}/
mount --bind {files}/passwd /etc/passwd
mount --bind {files}/group /etc/group
systemd-tmpfiles --create {place}/tmpfiles.conf
mount -t sysfs -o ro sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --make-rshared /
export container=test SYSTEMD_UNIT_PATH={place}/units
exec {systemd} --system --log-target=console --show-status=no
"""
_FIREWALL: Final = """table inet nixos {{
chain input {{
type filter hook input priority filter; policy drop;
iifname "lo" accept
ct state {{ established, related }} accept
{rules}}}
}}
"""
_TARGET: Final = "[Unit]\nDefaultDependencies=no\n"
_IDLE: Final = "[Unit]\nDefaultDependencies=no\nWants={units}\n"
_PROGRAM: Final = """#!/bin/sh
export PYTHONPATH={place}/repository:{place}/repository/{packages} PYTHONDONTWRITEBYTECODE=1
export LD_LIBRARY_PATH={place}/python/lib # libpython, where Python is a small program around it
exec {python} {arguments} "$@"
"""


class SystemdRack:
    """The appliance, and the machine at the other end of its link."""

    def __init__(self, files: Path) -> None:
        self._files = files
        self.appliance = Namespace()
        self.machine = Namespace()
        self.appliance.link(LINK, f"{OURS}/24", self.machine, "nic0", f"{MACHINES}/24")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def root(self) -> Path:
        """Its file system, as seen from here."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return Path(f"/proc/{children[0]}/root")

    @property
    def log(self) -> str:
        return (self._files / "log").read_text(errors="replace")

    @property
    def said(self) -> str:
        """What the unit wrote to its standard error."""
        file = self.root / SAID.lstrip("/")
        return file.read_text(errors="replace") if file.exists() else ""

    def boot(self, units: dict[str, str], config: str, tmpfiles: Any = None) -> None:
        """Starts systemd with these units, which it all wants, and NixOS' `systemd.tmpfiles.settings`.

        What is in the folder `more` of the rack's files is at PLACE/more.
        """
        (self._files / "more").mkdir(exist_ok=True)
        rules = [
            f"{kind} {path} {rule['mode']} {rule['user']} {rule['group']}"
            for paths in (tmpfiles or {}).values()
            for path, kinds in paths.items()
            for kind, rule in kinds.items()
        ]
        self._write("tmpfiles.conf", "\n".join(rules) + "\n")
        for name, arguments in (("bootstrapd", "-m bootstrapd.cli"), ("python", "")):
            packages = Path(sysconfig.get_path("purelib")).relative_to(ROOT)
            program = _PROGRAM.format(place=PLACE, python=_python(), packages=packages, arguments=arguments)
            self._write(f"bin/{name}", program, mode=0o755)
        server = Path(sysconfig.get_path("scripts"), "nats-server")
        (self._files / "bin/nats-server").symlink_to(f"{PLACE}/repository/{server.relative_to(ROOT)}")
        for name in ("sysinit", "basic", "shutdown", "umount", "final", "network-online", "multi-user"):
            self._write(f"units/{name}.target", _TARGET)
        self._write("units/default.target", _IDLE.format(units=" ".join(units)))
        for name, text in units.items():
            self._write(f"units/{name}", text)
        self._write("config.toml", config)
        user = f"bootstrapd:x:{UID}:{UID}::/var/lib/bootstrapd:/bin/false\n"
        self._write("passwd", Path("/etc/passwd").read_text() + user)
        self._write("group", Path("/etc/group").read_text() + f"bootstrapd:x:{UID}:\n")
        python = Path(sys.base_prefix).resolve()
        script = _BOOT.format(place=PLACE, repository=ROOT, python=python, files=self._files, systemd=SYSTEMD)
        namespaces = ("-m", "-p", "-C", "-i", "-u", "--fork", "--kill-child", "--mount-proc")
        command = ("unshare", *namespaces, "sh", "-c", script)
        with (self._files / "log").open("wb") as log:
            self._process = self.appliance.call(
                lambda: subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            )

    def firewall(self, interfaces: dict[str, dict[str, list[int]]]) -> None:
        """As NixOS filters: known connections, the open ports on their links, and silence for all else."""
        rules = "".join(
            f'iifname "{link}" {protocol} dport {{ {", ".join(map(str, ports[key]))} }} accept\n'
            for link, ports in interfaces.items()
            for protocol, key in (("udp", "allowedUDPPorts"), ("tcp", "allowedTCPPorts"))
        )
        table = _FIREWALL.format(rules=rules)
        self.appliance.call(lambda: subprocess.run(("nft", "-f", "-"), input=table, text=True, check=True))

    def until(self, path: str) -> Path:
        """Waits for the file inside; where it is from here."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                if (found := self.root / path.lstrip("/")).exists():
                    return found
            except (OSError, IndexError):
                pass  # not there yet
            assert self._process is not None
            try:
                code = self._process.wait(0.1)
            except subprocess.TimeoutExpired:
                continue
            pytest.fail(f"systemd ended with {code}:\n{self.log}")
        pytest.fail(f"{path} did not come:\n{self.log}{self.said}")

    def until_said(self, words: str) -> None:
        """Waits until the unit has said so."""
        deadline = time.monotonic() + PATIENCE_S
        self.until(SAID)
        assert self._process is not None
        while words not in self.said:
            assert time.monotonic() < deadline, f"{words!r} was not said:\n{self.log}{self.said}"
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.1)

    def inside(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The command in the appliance's namespaces, outside of the unit."""
        assert self._process is not None
        pid = self.root.parent.name
        enter = ("nsenter", "-t", pid, "-m", "-p", "-n", "-C", "--")
        return subprocess.run((*enter, *argv), check=check, capture_output=True, text=True, timeout=PATIENCE_S)

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()  # with its first process a namespace ends
            self._process.wait(PATIENCE_S)
        self.appliance.close()
        self.machine.close()

    def _write(self, name: str, text: str, mode: int = 0o644) -> None:
        file = self._files / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)


@contextmanager
def rack(files: Path) -> Iterator[SystemdRack]:
    made = SystemdRack(files)
    try:
        yield made
    finally:
        made.close()


def _python() -> str:
    """This Python as the unit finds it: mounted where no sandbox hides it, with its library beside it."""
    return f"{PLACE}/python/{Path(sys.executable).resolve().relative_to(Path(sys.base_prefix).resolve())}"
