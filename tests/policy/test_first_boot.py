"""What answers after the reboot: the installed system, its live system still, or something else."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any, Final

import pytest
from builders import host
from install_values import BUILT, job

from bootstrapd.model import Drifted, Report, Reported, State
from bootstrapd.policy import admission, first_boot
from bootstrapd.policy.first_boot import Asked
from bootstrapd.policy.install import Failure
from bootstrapd.policy.install_progress import Reading
from bootstrapd.policy.install_verdict import KEY_REFUSED, OTHER_KEY
from bootstrapd.policy.lifecycle import DEADLINES_S
from bootstrapd.policy.machine import Machine

GOLDEN: Final = Path(__file__).parents[1] / "golden" / "first_boot"
JOB = job(report="ssh")
BOOT_ID = "5d0a1bd8-6a0f-4c52-9d2c-7d7a53a1a001"
RUNNING = f"@running\t{BUILT.closure}\t{BOOT_ID}"


def judge(*lines: str) -> Report | Failure:
    reading = Reading("first boot")
    for line in lines:
        reading.read(line)
    return first_boot.judge(JOB, reading)


def golden(name: str) -> Report | Failure:
    return judge(*(GOLDEN / name).read_text().splitlines())


def test_the_installed_system_is_a_report() -> None:
    """As netboot/install/running.sh said it over ssh, the system's banner in front."""
    assert golden("installed.txt") == Report(
        token="",
        closure=BUILT.closure,
        boot_id=BOOT_ID,
        host_keys=("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIH0000", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAACAQ1111"),
    )


def test_its_live_system_is_none() -> None:
    found = golden("live.txt")
    assert isinstance(found, Failure)
    assert (found.stage, found.cause) == ("first boot", first_boot.LIVE)


@pytest.mark.parametrize(
    "lines",
    [
        [],
        ["@running"],
        ["@running\t\t"],
        ["@running\t/run/current-system\t" + BOOT_ID],
        ["@running\t/etc/passwd\t"],
        ["@running\t/nix/store/" + "0" * 32 + "-" + "x" * 300],
        ["@running\t" + BUILT.closure + ";reboot"],
        ["@variant\tdebian"],
    ],
)
def test_what_is_no_nixos_is_said(lines: list[str]) -> None:
    found = judge(*lines)
    assert isinstance(found, Failure)
    assert found.cause == first_boot.NO_SYSTEM


def test_what_is_odd_in_a_report_is_left_out() -> None:
    found = judge(
        "@hostkey", "@hostkey\tx", "@hostkey\tssh-rsa " + "A" * 980, f"@running\t{BUILT.closure}\tx y"
    )
    assert found == Report(token="", closure=BUILT.closure)
    many = judge(*["@hostkey\tssh-rsa AAAAAAAAAAAAAAAAAAAA"] * 40, RUNNING)
    assert isinstance(many, Report)
    assert len(many.host_keys) == 16


@pytest.mark.parametrize(
    ("closure", "kind"), [(BUILT.closure, Reported), ("/nix/store/" + "0" * 32 + "-other", Drifted)]
)
def test_a_look_and_a_report_mean_the_same(closure: str, kind: type) -> None:
    machine = Machine(id="m", state=State.REBOOTING, since=0.0, first_seen=0.0, last_seen=0.0)
    machine.closure = BUILT.closure
    said = admission.outcome(Report(token="", closure=closure, boot_id=BOOT_ID), machine, "10.0.0.9")
    assert isinstance(said, kind)
    assert said.address == "10.0.0.9"


def test_pauses_grow_and_never_end() -> None:
    found = list(islice(first_boot.pauses(), 60))
    assert found == sorted(found)
    assert found[-1] == 30.0
    assert sum(found) > DEADLINES_S[State.REBOOTING]


@pytest.mark.parametrize(
    ("declared", "neighbours", "wanted"),
    [
        ("", [], ("10.0.0.5",)),
        ("10.0.0.5/24", ["10.0.0.5"], ("10.0.0.5",)),
        ("10.1.0.11/24", ["10.0.0.9", "10.0.0.5"], ("10.1.0.11", "10.0.0.5", "10.0.0.9")),
        ("", [f"10.0.0.{n}" for n in range(10, 90)], ("10.0.0.5", "10.0.0.10", "10.0.0.11", "10.0.0.12")),
    ],
)
def test_where_it_is_looked_for(declared: str, neighbours: list[str], wanted: tuple[str, ...]) -> None:
    declaration: Any = host(address=declared)
    assert first_boot.addresses(declaration, "10.0.0.5", neighbours) == wanted


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (KEY_REFUSED, "needs the key in /k.pub in root's authorized_keys"),
        (OTHER_KEY, "has to keep the SSH host keys that the install put into /etc/ssh"),
        (first_boot.LIVE, "it did not reboot"),
        ("The machine cannot be reached over SSH", "another address than those: [network] address"),
    ],
)
def test_who_is_not_found_in_time_is_told_why(cause: str, words: str) -> None:
    seen = Failure(stage="first boot", cause=cause, lines=("last",))
    asked = Asked(addresses=("10.0.0.5", "10.1.0.11"), failure=seen, public_key="/k.pub")
    found = first_boot.overdue("cim-1", 900.0, asked)
    assert "within 15 minutes (asked at 10.0.0.5, 10.1.0.11): " + cause[:1].lower() + cause[1:] in found.cause
    assert words in found.hint
    assert found.hint.endswith("'bootstrapd hosts retry cim-1' lets its next power-on install it again")
    assert (found.stage, found.lines) == ("first boot", ("last",))


def test_who_does_not_report_in_time() -> None:
    found = first_boot.overdue("cim-1", 900.0, None)
    assert found.cause == "its system did not report within 15 minutes"
    assert "look at its console" in found.hint
