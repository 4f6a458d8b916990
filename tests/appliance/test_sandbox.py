"""What the unit's sandbox lets through and what it keeps out: a probe is started in the daemon's place.

It does what installs need: a Nix build through a daemon, ssh with the key that came by credential, the shim
that ties the NATS server to the daemon. And it tries what nobody there has any business with.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from namespaces import Namespace

from .rendered import appliance, unit_text
from .systemd_rack import LINK, MACHINES, NEEDS_SYSTEMD, PLACE, SAID, rack

SSHD: Final = shutil.which("sshd", path="/usr/bin:/usr/sbin")
NIX_DAEMON: Final = shutil.which("nix-daemon")
pytestmark = [
    *NEEDS_SYSTEMD,
    pytest.mark.skipif(SSHD is None, reason="needs sshd: .ci/install test"),
    pytest.mark.skipif(NIX_DAEMON is None, reason="needs nix-daemon: .ci/install test"),
]

STATE: Final = "/var/lib/bootstrapd"
CREDENTIALS: Final = "/run/credentials/probe.service"
STORE: Final = "/run/nix"  # a Nix of its own, where the unit cannot write, as /nix is

WORK: Final = {
    "nix build": f"nix --extra-experimental-features 'nix-command flakes' build path:{STATE}/flake#it "
    f"--no-write-lock-file --out-link {STATE}/built && grep -qx built {STATE}/built",
    "ssh with the credential": f"ssh -F /dev/null -i {CREDENTIALS}/deploy_key -p 2222 -o BatchMode=yes "
    f"-o StrictHostKeyChecking=no -o UserKnownHostsFile={STATE}/known root@{MACHINES} x | grep -qx welcome",
    "make a key": f"ssh-keygen -q -t ed25519 -N '' -f {STATE}/key",
    "the NATS server's shim": "setpriv --pdeathsig TERM true",
    "write its state": f"echo x > {STATE}/file",
    "a packet socket": "python -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'",
}
MISUSE: Final = {
    "write /etc": "echo x > /etc/bootstrapd-probe",
    "write /usr": "echo x > /usr/bootstrapd-probe",
    "write the Nix store": f"mkdir {STORE}/store/x",
    "read /root": "ls /root/ | grep -q .",
    "read /home": "ls /home/ | grep -q . || ls /home/ > /dev/null",
    "see init": "ls /proc/1",
    "set a kernel parameter": "echo x > /proc/sys/kernel/core_pattern",
    "read the kernel's log": "dmesg",
    "a namespace": "unshare -r true",
    "a network namespace": "unshare -n true",
    "mount": f"mount -t tmpfs tmpfs {STATE}",
    "a device": f"mknod {STATE}/null c 1 3",
    "set-user-id": f"chmod u+s {STATE}/file",
    "writable code": "python -c 'import mmap; mmap.mmap(-1, 4096, prot=7)'",
    "an odd address family": "python -c 'import socket; socket.socket(40, socket.SOCK_STREAM)'",  # AF_VSOCK
    "set the clock": "date -s 12:00",
    "another user": "setpriv --reuid=0 true",
    "real time": "chrt -f 1 true",
}
FLAKE: Final = """{{ outputs = _: {{ it = derivation {{
  name = "it"; system = "{system}"; builder = "/bin/sh"; args = [ "-c" "echo built > $out" ];
}}; }}; }}"""
DAEMON: Final = """[Unit]
DefaultDependencies=no
[Service]
Environment=NIX_STORE_DIR={store}/store NIX_STATE_DIR={store}/state
Environment=NIX_LOG_DIR={store}/log NIX_CONF_DIR={place}/bin
ExecStartPre=/bin/mkdir -p {store}/store {store}/state/daemon-socket
ExecStart={program}
"""
SSHD_CONFIG: Final = """ListenAddress {address}:2222
HostKey {keys}/host
AuthorizedKeysFile {keys}/key.pub
StrictModes no
UsePAM no
PidFile none
PermitRootLogin yes
ForceCommand echo welcome
"""


def script() -> str:
    """Each act in a shell of its own; its name and code go to a file."""
    lines = [
        "#!/bin/sh",
        f"export HOME={STATE} NIX_STORE_DIR={STORE}/store NIX_STATE_DIR={STORE}/state NIX_CONF_DIR={PLACE}/bin",
        f"mkdir {STATE}/flake && cp {PLACE}/bin/flake.nix {STATE}/flake/",
    ]
    for name, act in (WORK | MISUSE).items():
        lines.append(f'({act}) >&2; echo "{name}: $?" >> {STATE}/result')
    lines.append(f"touch {STATE}/over")
    return "\n".join(lines) + "\n"


@contextmanager
def sshd(keys: Path, place: Namespace) -> Iterator[None]:
    """On the machine; whoever logs in is welcome and no more."""
    (keys / "sshd_config").write_text(SSHD_CONFIG.format(address=MACHINES, keys=keys))
    Path("/run/sshd").mkdir(exist_ok=True)  # privilege separation wants it
    command = (str(SSHD), "-D", "-e", "-f", str(keys / "sshd_config"))
    process = place.call(lambda: subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
    try:
        assert process.stderr
        for line in process.stderr:
            if "Server listening" in line:
                break
        yield
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bool, str]]:
    """What each act came to, and all that was said meanwhile."""
    files = tmp_path_factory.mktemp("sandbox")
    bin_ = files / "bin"
    bin_.mkdir()
    for name in ("key", "host"):
        subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", bin_ / name), check=True)
    (bin_ / "flake.nix").write_text(FLAKE.format(system=f"{platform.machine()}-linux"))
    (bin_ / "nix.conf").write_text("build-users-group =\nsandbox = false\nsubstituters =\n")
    (bin_ / "probe").write_text(script())
    (bin_ / "probe").chmod(0o755)
    unit = appliance({"interfaces": [LINK], "deploymentKeyFile": f"{PLACE}/bin/key"})["units"]["bootstrapd"]
    unit["serviceConfig"] |= {"Type": "oneshot", "ExecStart": f"{PLACE}/bin/probe", "Restart": "no"}
    unit["serviceConfig"]["StandardError"] = f"append:{SAID}"
    unit["wants"] += ["nix-daemon.service"]
    unit["after"] += ["nix-daemon.service"]
    daemon = DAEMON.format(store=STORE, place=PLACE, program=NIX_DAEMON)
    with rack(files) as made, sshd(bin_, made.machine):
        units = {"probe.service": unit_text(unit, {"PATH": f"{PLACE}/bin:/usr/bin:/bin"})}
        made.boot(units | {"nix-daemon.service": daemon}, config="")
        made.until(f"{STATE}/over")
        text = (made.root / f"{STATE}/result".lstrip("/")).read_text()
        return {
            name: (code == "0", made.said) for name, code in re.findall(r"^(.*): (\d+)$", text, re.MULTILINE)
        }


@pytest.mark.parametrize("name", WORK)
def test_an_install_can_do_its_work(results: dict[str, tuple[bool, str]], name: str) -> None:
    worked, said = results[name]
    assert worked, said


@pytest.mark.parametrize("name", MISUSE)
def test_nothing_else_is_let_through(results: dict[str, tuple[bool, str]], name: str) -> None:
    worked, said = results[name]
    assert not worked, said
