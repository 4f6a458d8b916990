"""The module's unit, run by a real systemd: what it may not do, and the work that it does all the same."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import tftpy
from dhcp_packets import MAC, discover
from dhcp_rack import EVERYBODY, open_machine

from bootstrapd.wire import dhcp

from .dashboards import asked
from .rendered import appliance, built_config, unit_text
from .systemd_rack import LINK, NEEDS_SYSTEMD, OURS, PATIENCE_S, PLACE, SAID, UID, SystemdRack, rack
from .test_images import MANIFEST

pytestmark = NEEDS_SYSTEMD

READY = "/run/bootstrapd/api.sock"
HOST = ":".join(f"{octet:02x}" for octet in MAC)
CAP_NET_BIND_SERVICE, CAP_NET_RAW = 10, 13


Ran = subprocess.CompletedProcess[str]


class Appliance:
    """The rack with the unit running."""

    def __init__(self, made: SystemdRack) -> None:
        self.rack = made

    def cli(self, *argv: str, groups: str = "--init-groups", user: str = "bootstrapd") -> Ran:
        """bootstrapd's command inside, as its own user or as another one."""
        program = (f"{PLACE}/bin/bootstrapd", *argv, "--config", f"{PLACE}/config.toml")
        group = user if user == "bootstrapd" else "nogroup"
        who = ("setpriv", f"--reuid={user}", f"--regid={group}", groups)
        return self.rack.inside(*who, *program, check=False)

    def status(self) -> Any:
        ran = self.cli("status", "--json")
        assert ran.returncode == 0, ran.stderr + self.rack.said
        return json.loads(ran.stdout)

    def until(self, holds: Callable[[Any], bool]) -> Any:
        """The status, once that holds; a question takes its time."""
        deadline = time.monotonic() + PATIENCE_S
        while not holds(told := self.status()):
            assert time.monotonic() < deadline, f"{told}\n{self.rack.said}"
        return told

    @property
    def main(self) -> Path:
        """The daemon in /proc."""
        pid = self.rack.inside("systemctl", "show", "-P", "MainPID", "bootstrapd").stdout.strip()
        return self.rack.root / "proc" / pid


def declare(folder: Path, name: str) -> None:
    """An image, and the folder of links that a system's configuration comes to."""
    (folder / "declared").mkdir(parents=True)
    (folder / "image").mkdir()
    (folder / "declared" / name).symlink_to(f"{PLACE}/more/image")
    for file in ("bzImage", "initrd"):
        (folder / "image" / file).write_text(file)
    (folder / "image/manifest.json").write_text(json.dumps(MANIFEST))


@contextmanager
def started(files: Path, *, without: str = "") -> Iterator[Appliance]:
    """The appliance, its systemd just started; `without` is a line that the unit has lost."""
    options = {"interfaces": [LINK], "deploymentKeyFile": f"{PLACE}/bin/key", "openFirewall": True}
    config = built_config(options)
    made_of = appliance(options, package=PLACE)
    units = made_of["units"]
    path = f"{PLACE}/bin:/usr/bin:/bin"
    text = unit_text(units["bootstrapd"], {"PATH": path}).replace(
        units["bootstrapd"]["serviceConfig"]["ExecStart"].split()[-1], f"{PLACE}/config.toml"
    )
    assert f"--config {PLACE}/config.toml\n" in text
    text = text.replace("[Service]\n", f"[Service]\nStandardError=append:{SAID}\n")
    assert f"\n{without}\n" in text or not without
    text = text.replace(f"\n{without}\n", "\n") if without else text
    images = unit_text(units["bootstrapd-images"], {"PATH": path})
    images = re.sub(r'"\S+-link-images.sh"', f"{PLACE}/repository/nixos-appliance/link-images.sh", images)
    images = re.sub(r'"\S+-bootstrapd-images-checked"', f"{PLACE}/more/declared", images)
    assert images.count(PLACE) == 3
    declare(files / "more", "installer")
    with rack(files) as made:
        (files / "bin").mkdir()
        subprocess.run(("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", files / "bin/key"), check=True)
        made.firewall(made_of["firewall"]["interfaces"])
        wanted = {"bootstrapd.service": text, "bootstrapd-images.service": images}
        made.boot(wanted, config.read_text(), made_of["tmpfiles"])
        yield Appliance(made)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    with started(tmp_path_factory.mktemp("systemd")) as appliance:
        appliance.rack.until(READY)
        yield appliance


def test_it_is_ready_and_nothing_is_wrong(running: Appliance) -> None:
    told = running.until(lambda told: told["nats"]["is_connected"])
    doors = {(view["door"], view["port"]) for view in told["listeners"]}
    assert doors == {("dhcp", 67), ("pxe", 4011), ("tftp", 69), ("http", 80)}
    # What the test's PATH lacks is said, and only that.
    assert [problem for problem in told["problems"] if "nix" not in problem] == []
    assert "deaf_to_others" not in running.rack.said  # it hears other DHCP servers: CAP_NET_RAW


def test_it_holds_two_capabilities_and_can_get_no_more(running: Appliance) -> None:
    lines = (running.main / "status").read_text().splitlines()
    found = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    two = 1 << CAP_NET_BIND_SERVICE | 1 << CAP_NET_RAW
    assert {int(found[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb")} == {two}
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    assert found["Uid"].split()[0] == str(UID)


@pytest.fixture(scope="module")
def booted(running: Appliance, tmp_path_factory: pytest.TempPathFactory) -> tuple[dhcp.Packet, bytes, str]:
    """A machine's offer, boot program and script: one boot through the firewall."""
    added = running.cli("hosts", "add", HOST, "--name", "node-1", "--profile", "minimal")
    assert added.returncode == 0, added.stderr
    file = tmp_path_factory.mktemp("boot") / "program"

    def boot() -> tuple[dhcp.Packet, bytes, str]:
        with closing(open_machine("nic0", 68, "")) as nic:
            nic.setblocking(True)
            nic.settimeout(30)
            nic.sendto(discover(xid=7), EVERYBODY)
            offer = dhcp.parse(nic.recv(2048))
        tftpy.TftpClient(OURS, 69).download(offer.boot_file, str(file))
        with closing(http.client.HTTPConnection(OURS, 80, timeout=30)) as connection:
            connection.request("GET", f"/boot/{HOST}.ipxe")
            with connection.getresponse() as response:
                return offer, file.read_bytes(), response.read().decode()

    return running.rack.machine.call(boot)


def test_a_machine_boots_by_dhcp_tftp_and_http(booted: tuple[dhcp.Packet, bytes, str]) -> None:
    offer, program, script = booted
    assert (offer.xid, offer.server_id) == (7, OURS)
    assert program[:2] == b"MZ"
    assert program == Path("/usr/lib/ipxe/snponly.efi").read_bytes()
    assert script.startswith("#!ipxe")


def test_a_closed_port_is_closed(running: Appliance) -> None:
    """The firewall that a boot goes through is there: it does not even say no."""

    def knock() -> None:
        socket.create_connection((OURS, 8081), timeout=0.5).close()

    with pytest.raises(TimeoutError):
        running.rack.machine.call(knock)


@pytest.mark.usefixtures("booted")
def test_what_the_dashboards_ask_for_is_counted(running: Appliance) -> None:
    """After one boot the panels of DHCP, TFTP and HTTP have something to show."""

    def scrape() -> str:
        with closing(http.client.HTTPConnection(OURS, 80, timeout=30)) as connection:
            connection.request("GET", "/metrics")
            with connection.getresponse() as response:
                return response.read().decode()

    text = running.rack.machine.call(scrape)
    counted = dict(re.findall(r'^bootstrapd_total\{what="([^"]+)"\} (\S+)$', text, re.MULTILINE))
    boot = {"dhcp.discover", "dhcp.offer", "tftp.rrq", "tftp.done", "tftp.bytes", "http.get", "http.200"}
    boot |= {"http.bytes", "decision.chain", "event.bootasked"}
    assert boot <= counted.keys()
    assert all(any(re.fullmatch(pattern, name) for pattern in asked()) for name in boot)
    assert all(float(counted[name]) > 0 for name in boot)


def test_events_reach_its_own_nats_server(running: Appliance) -> None:
    running.until(lambda told: told["nats"]["is_connected"] and told["nats"]["lag"] == 0)


def test_declared_images_are_served(running: Appliance) -> None:
    assert running.status()["images"] == 1
    [line] = json.loads(running.cli("images", "list", "--json").stdout)
    assert line["name"] == "installer"


def test_an_operator_may_write_hosts_and_a_stranger_may_not(running: Appliance) -> None:
    """The daemon notices, and reads what another user wrote."""
    words = ("hosts", "add", "52:54:00:aa:bb:09", "--name", "node-9", "--profile", "minimal")
    assert running.cli(*words, user="nobody", groups="--clear-groups").returncode != 0
    before = running.status()["hosts"]
    added = running.cli(*words, user="nobody", groups="--groups=bootstrapd")
    assert added.returncode == 0, added.stderr
    running.until(lambda told: told["hosts"] == before + 1)


def test_an_operator_is_whoever_is_in_the_group(running: Appliance) -> None:
    assert running.cli("machines", "list", user="nobody", groups="--groups=bootstrapd").returncode == 0
    refused = running.cli("machines", "list", user="nobody", groups="--clear-groups")
    assert refused.returncode != 0
    assert "permission" in refused.stderr.lower()


def test_the_deployment_key_came_by_credential(running: Appliance) -> None:
    state = running.rack.root / "var/lib/bootstrapd"
    assert not (state / "keys/deploy_ed25519").exists()
    assert (state / "journal.db").stat().st_uid == UID
    for folder in (state, running.rack.root / "run/bootstrapd"):
        assert folder.stat().st_mode & 0o777 == 0o750


def test_killed_it_comes_back_and_leaves_nothing_running(running: Appliance) -> None:
    first = running.status()
    running.rack.inside("systemctl", "kill", "--signal=KILL", "--kill-who=main", "bootstrapd")
    deadline = time.monotonic() + PATIENCE_S
    while (ran := running.cli("status", "--json")).returncode or json.loads(ran.stdout)["pid"] == first["pid"]:
        assert time.monotonic() < deadline, ran.stderr + running.rack.said
    told = running.until(lambda told: told["nats"]["is_connected"])
    assert [told[key] for key in ("hosts", "machines", "images")] == [
        first[key] for key in ("hosts", "machines", "images")
    ]
    names = [path.read_text().strip() for path in running.rack.root.glob("proc/[0-9]*/comm")]
    assert names.count("nats-server") == 1


def test_it_stops_in_order(running: Appliance) -> None:
    """Last: the others need it."""
    running.rack.inside("systemctl", "stop", "bootstrapd")
    shown = running.rack.inside("systemctl", "show", "-p", "Result,ExecMainStatus,ActiveState", "bootstrapd")
    assert set(shown.stdout.split()) == {"Result=success", "ExecMainStatus=0", "ActiveState=inactive"}
    assert "Traceback" not in running.rack.said


# What happens without a line of the unit: why it is there, and that the tests above would notice.
LINES: Final = {
    "AmbientCapabilities=CAP_NET_RAW": "dhcp.deaf_to_others",
    "RestrictAddressFamilies=AF_PACKET": "dhcp.deaf_to_others",
    "RestrictAddressFamilies=AF_NETLINK": "Address family not supported",
    "AmbientCapabilities=CAP_NET_BIND_SERVICE": "CAP_NET_BIND_SERVICE",
    "SystemCallFilter=capset": "setpriv: activate capabilities",
    "StateDirectory=bootstrapd": "/var/lib/bootstrapd",
    "RuntimeDirectory=bootstrapd": "cannot open the operator's socket",
}


@pytest.mark.parametrize("line", LINES)
def test_without_this_line_it_says_what_is_missing(line: str, tmp_path: Path) -> None:
    with started(tmp_path, without=line) as appliance:
        appliance.rack.until_said(LINES[line])
