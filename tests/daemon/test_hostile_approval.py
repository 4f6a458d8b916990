"""`install = "approve"`: a person's yes is to the machine that was shown, and to no other at its address."""

from __future__ import annotations

from typing import Any

import pytest
from builders import CLIENT, MAC, ask, host
from installing import CLOSURE, DISK, Fleet

from bootstrapd.errors import RefusedError
from bootstrapd.model import Armed, Hardware, Nic, Registered, Report, Script, ScriptSent, Stage, State, encode
from bootstrapd.model.json import decoder
from bootstrapd.policy.install import Failure
from bootstrapd.policy.views import fingerprint

OURS, THEIRS = ("AAAAC3NzaC1lZDI1NTE5AAAAIKKmxkdVBP0vFRnVdF0vgrTnRgVwYiV9yh2yH0RxJ0d" + end for end in "BC")
UUID = "11111111-2222-3333-4444-555555555555"


async def fleet() -> Fleet:
    made = Fleet(host(), profile={"install": "approve"})
    await made.installs.start()
    return made


async def register(made: Fleet, key: str = "one", **fields: Any) -> None:
    """As `Fleet.register`, with a host key of its own, as a live system makes at each boot."""
    made.now += 200
    made.appliance.answer(ask())
    machine = made.appliance.registry.by_mac[MAC]
    await made.admissions._left(machine, "the machine booted anew and registered again")
    hardware = Hardware(nics=(Nic(name="eth0", mac=MAC),), disks=(DISK,), firmware="uefi", uuid=UUID, **fields)
    draft = Registered(
        id="", at=0.0, machine=machine.id, address=CLIENT, host_key=f"ssh-ed25519 {key}", hardware=hardware
    )
    made.appliance.tell(draft)
    await made.settle()


async def test_nobody_approves_a_machine_that_was_not_seen() -> None:
    made = await fleet()
    with pytest.raises(RefusedError, match="once it has registered"):
        await made.arming.arm("cim-1", "hosts arm")
    made.appliance.answer(ask())
    with pytest.raises(RefusedError, match="once it has registered"):
        await made.arming.arm("cim-1", "hosts arm")
    assert not made.appliance.registry.arms


async def test_another_machine_with_the_macs_of_the_approved_one_waits_for_an_approval_of_its_own() -> None:
    made = await fleet()
    await register(made)
    made.installer.missing = made.installs.problems = ["nix is not on PATH"]
    await made.arming.arm("cim-1", "hosts arm")
    await register(made, "another")
    made.installer.missing = made.installs.problems = []
    await made.pass_time(3600)
    assert made.installer.jobs == []
    assert "another SSH host key" in made.installs.why(made.machine())
    await made.arming.arm("cim-1", "hosts arm")
    await made.settle()
    assert made.state() is State.REBOOTING
    assert made.installer.jobs[0].host_key == "ssh-ed25519 another"


async def test_who_takes_the_place_of_a_machine_while_a_person_looks_at_its_key_is_not_approved() -> None:
    made = await fleet()
    await register(made, OURS)
    shown = fingerprint(made.machine().host_key)
    assert shown.startswith("SHA256:")
    await register(made, THEIRS)
    with pytest.raises(RefusedError, match="another SSH host key now"):
        await made.arming.arm("cim-1", "hosts arm", fingerprint=shown)
    assert not made.appliance.registry.arms
    await register(made, OURS)
    await made.arming.arm("cim-1", "hosts arm", fingerprint=shown)
    await made.settle()
    assert made.state() is State.REBOOTING


async def test_a_retry_after_another_boot_is_approved_anew() -> None:
    made = await fleet()
    await register(made)
    made.installer.fails["install"] = Failure(stage="install", cause="it has gone", is_lost=True)
    await made.arming.arm("cim-1", "hosts arm")
    await made.settle()
    made.installer.fails.clear()
    await register(made, "another")
    await made.pass_time(3600)
    assert len(made.installer.jobs) == 1
    await made.arming.arm("cim-1", "hosts arm")
    await made.settle()
    assert made.state() is State.REBOOTING


async def ready(made: Fleet) -> None:
    await register(made)
    await made.arming.arm("cim-1", "hosts arm")
    await made.settle()
    said = Report(token=made.installer.jobs[-1].report_token, closure=CLOSURE, boot_id="b1")
    assert (await made.admissions.report(encode(said), CLIENT))[0] == 200
    await made.settle()
    assert made.state() is State.READY


@pytest.mark.parametrize("is_adopted", [False, True], ids=["the same", "adopted meanwhile"])
async def test_a_machine_that_runs_from_its_disk_is_approved_by_its_pin(is_adopted: bool) -> None:
    made = await fleet()
    await ready(made)
    await made.arming.arm("cim-1", "hosts arm")
    _, decision = made.appliance.decide(ask(stage=Stage.IPXE), made.now + 300)
    assert isinstance(decision, Script)
    made.appliance.tell(ScriptSent(id="", at=0.0, machine=made.machine().id, template="image"))
    if is_adopted:
        made.machine().pin = None
        await register(made, "another", serial="SN2")
        assert "not known to be the machine" in made.installs.why(made.machine())
    else:
        await register(made, "another")
    assert len(made.installer.jobs) == (1 if is_adopted else 2)


async def test_the_consent_that_an_auto_profile_needed_is_no_approval_of_a_machine_that_was_not_seen() -> None:
    made = await fleet()
    made.appliance.tell(Armed(id="", at=0.0, machine="", host="cim-1", arm="a1", by="hosts arm"))
    await register(made)
    assert made.installer.jobs == []
    assert "wants each install approved" in made.installs.why(made.machine())


def test_a_journal_of_before_is_read() -> None:
    old = b'{"event":"Armed","id":"i","machine":"","at":1.0,"host":"cim-1","arm":"a1","by":"hosts arm"}'
    assert decoder(Armed).decode(old).seen == ""
