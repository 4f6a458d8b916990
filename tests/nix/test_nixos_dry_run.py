"""Every script of vm-tests/nixos, run from end to end against a made-up appliance and made-up machines.

What the appliance is told goes through a real shell and a real jq. Its answers are real views of a machine that
moves on by one state each time it is asked in vain. It proves that a script can end well and can end badly, not
that a machine boots.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from nixos_stories import stories

from bootstrapd.model import ChosenDisk, Hardware
from bootstrapd.model.hardware import Disk
from bootstrapd.model.life import State
from bootstrapd.model.view import ArmView, BootView, FailedView, HostView, MachineView, StageView

WAY: Final = (State.NETBOOTING, State.LIVE, State.INSTALLING, State.READY)
THROUGH_A_FAILURE: Final = (*WAY[:-1], State.FAILED, State.INSTALLING, State.READY)
FIRST: Final = ("asked", "chain", "script", "image", "registered")
AGAIN: Final = ("asked", "chain", "local-disk")
LONGEST_S: Final = 2 * 3600
TOOLS: Final = {
    "bootstrapd": 'if [ "$2" = arm ]; then : > "$ANSWERS/armed"; else cat "$ANSWERS/$1 $2 $3"; fi',
    "nix": 'cat "$ANSWERS/closure"',
}


class Rack:
    """The appliance and its machines; `way` is the states of a host, one further for each question in vain."""

    def __init__(self, folder: Path, script: str, way: tuple[State, ...]) -> None:
        folder.mkdir()
        self.folder = folder
        self.script = script
        self.way = list(way)
        self.powered = 0
        self.closure = (re.findall(r'^CLOSURE = "(.*)"$', script, re.MULTILINE) or [""])[0]
        self.host = (re.findall(r'^HOST = "(.*)"$', script, re.MULTILINE) or [""])[0]
        for name, text in TOOLS.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
        (folder / "closure").write_text(f"{self.closure}\n")

    def answer(self) -> None:
        """Write down what the appliance would say now."""
        state = self.way[0]
        is_unarmed = state is State.LIVE and self.host and not (self.folder / "armed").exists()
        boots = [
            BootView(
                id=f"boot-{number}",
                started=1.0,
                stages=tuple(StageView(name=name, at=1.0) for name in (AGAIN if number else FIRST)),
            )
            for number in range(self.powered)
        ]
        disk = ChosenDisk(role="main", path="/dev/disk/by-id/virtio-a", size_bytes=1)
        life: dict[str, Any] = {
            "arm": None if is_unarmed or state is State.READY else ArmView(id="arm", at=1.0, by="hosts arm"),
            "run": "" if is_unarmed else "run",
            "phase": "install" if state is State.INSTALLING else "",
            "closure": self.closure,
            "failure": FailedView(stage="install", cause="made up") if state is State.FAILED else None,
            "disks": (disk,),
            "boots": tuple(boots),
        }
        for name, kind in ((self.host or "live-bios", "bios"), ("live-uefi", "uefi")):
            host = HostView(name=name, profile="p", machine=f"id-{name}", state=state, **life)
            hardware = Hardware(firmware=kind, disks=(Disk(name="vda", size_bytes=1, serial=f"{name}-main"),))
            machine = MachineView(id=f"id-{name}", state=state, hardware=hardware)
            self._say(f"hosts show {name}", host)
            self._say(f"machines show id-{name}", machine)
            self._say(f"hosts why {name}", {"host": name, "why": "it is made up"})
        for mac in re.findall(r"52:54:00:0f:00:0\d", self.script):
            why = "no host claims it: bootstrapd hosts add"
            unknown = MachineView(id=mac, state=State.SEEN, why=why, stages=(StageView(name="asked", at=1.0),))
            self._say(f"machines show {mac}", unknown)

    def _say(self, question: str, answer: object) -> None:
        (self.folder / question).write_bytes(msgspec.json.encode(answer))

    def shell(self, command: str) -> subprocess.CompletedProcess[str]:
        self.answer()
        environment = os.environ | {"PATH": f"{self.folder}:{os.environ['PATH']}", "ANSWERS": str(self.folder)}
        argv = ["bash", "-c", f"set -euo pipefail; {command}"]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=20)


class Node:
    def __init__(self, rack: Rack, name: str) -> None:
        self.rack = rack
        self.name = name
        self.is_on = False

    def start(self, allow_reboot: bool = False) -> None:
        if not self.is_on and self.name not in {"appliance", "site"}:
            assert allow_reboot, "QEMU would end where the machine reboots"
            self.rack.powered += 1
        self.is_on = True

    def crash(self) -> None:
        assert self.is_on
        self.is_on = False

    def wait_for_unit(self, unit: str) -> None:
        assert self.is_on
        assert unit.endswith((".service", ".target"))

    def wait_for_console_text(self, regex: str) -> None:
        assert re.search(regex, f"bootstrapd: registered with http://192.168.1.1 as {self._host()}"), regex

    def _host(self) -> str:
        return self.rack.host or f"live-{self.name}"

    def wait_until_succeeds(self, command: str, timeout: int) -> str:
        assert 0 < timeout <= LONGEST_S
        assert self.is_on
        for _ in range(len(self.rack.way) + 1):
            ran = self.rack.shell(command)
            if ran.returncode == 0:
                return ran.stdout
            assert not ran.stderr, ran.stderr  # jq has no answer yet, and no complaint
            self.rack.way = self.rack.way[1:] or self.rack.way
        raise TimeoutError(command)

    def succeed(self, command: str) -> str:
        assert self.is_on
        if self.name == "appliance":
            ran = self.rack.shell(command)
            assert ran.returncode == 0, ran.stderr
            return ran.stdout
        answers = {
            "readlink -f /run/current-system": f"{self.rack.closure}\n",
            "hostname": f"{self.rack.host}\n",
            "cat /root/kept": "kept\n",
        }
        return answers.get(command, "")

    def fail(self, _command: str) -> str:
        assert self.is_on
        return ""


@contextmanager
def subtest(_name: str) -> Iterator[None]:
    yield


def play(folder: Path, name: str, *way: State) -> None:
    if shutil.which("jq") is None:
        pytest.skip("there is no jq here (.ci/install test brings it)")
    script = stories()[name]["testScript"]
    rack = Rack(folder, script, way)
    nodes = {node: Node(rack, node) for node in stories()[name]["nodes"]}
    exec(compile(script, name, "exec"), {"subtest": subtest, **nodes})


def test_each_story_can_end_well(tmp_path: Path) -> None:
    for name in stories():
        play(tmp_path / name, name, *WAY)


def test_each_ends_with_the_appliances_reason_when_the_machine_is_rejected(tmp_path: Path) -> None:
    for name in stories():
        if not name.startswith("unknown"):
            with pytest.raises(AssertionError, match="is rejected: it is made up"):
                play(tmp_path / name, name, State.REJECTED)


def test_a_restart_goes_on_through_a_failure(tmp_path: Path) -> None:
    play(tmp_path / "rack", "appliance_restart", *THROUGH_A_FAILURE)


def test_an_install_does_not(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="is failed: it is made up"):
        play(tmp_path / "rack", "install_single_disk_uefi", *THROUGH_A_FAILURE)


def test_an_appliance_that_comes_to_another_system_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TOOLS, "nix", "echo /nix/store/another")
    with pytest.raises(AssertionError, match="the appliance evaluates to /nix/store/another"):
        play(tmp_path / "rack", "install_single_disk_uefi", *WAY)
