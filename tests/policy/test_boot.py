"""The decision: what each machine should do next, from who it is, what state it is in and what it asks with."""

from __future__ import annotations

from typing import Any

import pytest
from builders import ask, host, image, setup
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bootstrapd.model import ARCHES, Chain, Door, Feature, LocalDisk, Script, Silence, Stage
from bootstrapd.policy.boot import Standing, decide
from bootstrapd.policy.match import Conflict


def standing(**fields: Any) -> Standing:
    return Standing(**{"host": host(), **fields})


@pytest.mark.parametrize(
    ("arch", "program"), [(0, "undionly.kpxe"), (7, "snponly.efi"), (9, "snponly.efi"), (16, "snponly.efi")]
)
def test_I12_P13_firmware_gets_the_program_of_its_architecture(arch: int, program: str) -> None:
    decision = decide(ask(arch=arch), standing(), setup(host()))
    assert isinstance(decision, Chain)
    assert decision.program == program


def test_I12_a_host_may_name_its_own_program() -> None:
    own = host(program="ipxe.efi")
    decision = decide(ask(), standing(host=own), setup(own))
    assert isinstance(decision, Chain)
    assert decision.program == "ipxe.efi"


def test_an_architecture_without_a_program_is_silence_that_says_what_to_install() -> None:
    decision = decide(ask(arch=11), standing(), setup(host()))
    assert isinstance(decision, Silence)
    assert decision.code == "NO_PROGRAM"
    assert "UEFI arm64" in decision.reason
    assert "[nbp]" in decision.reason


def test_I3_a_good_ipxe_gets_the_script() -> None:
    decision = decide(ask(stage=Stage.IPXE), standing(), setup(host()))
    assert decision == Script(
        template="image", image="installer", rule="image", reason="cim-1 boots installer (profile minimal)"
    )


@pytest.mark.parametrize("features", [Feature.NONE, Feature.HTTP, Feature.BZIMAGE, Feature.EFI | Feature.TFTP])
def test_I3_a_poor_ipxe_is_chained_once_and_then_left_alone(features: Feature) -> None:
    poor = ask(stage=Stage.IPXE, arch=0, features=features)
    assert isinstance(decide(poor, standing(), setup(host())), Chain)
    again = decide(poor, standing(was_chained=True), setup(host()))
    assert isinstance(again, Silence)
    assert again.code == "POOR_IPXE"


@pytest.mark.parametrize(
    ("fetches", "program"), [(0, "snponly.efi"), (2, "snponly.efi"), (3, "ipxe.efi"), (5, "ipxe.efi")]
)
def test_I11_three_fruitless_fetches_bring_the_next_variant(fetches: int, program: str) -> None:
    decision = decide(ask(), standing(nbp_fetches=fetches), setup(host()))
    assert isinstance(decision, Chain)
    assert decision.program == program


def test_I11_the_guard_stops_offering() -> None:
    decision = decide(ask(), standing(held="six fetches"), setup(host()))
    assert isinstance(decision, Silence)
    assert (decision.code, decision.reason) == ("LOOP_GUARD", "six fetches")


def test_I11_the_guard_lets_the_script_through_that_it_missed() -> None:
    """The sixth program was the one that runs."""
    assert isinstance(decide(ask(stage=Stage.IPXE), standing(held="six fetches"), setup(host())), Script)


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("method", ["disk", "cancel"])
def test_P19_a_ready_host_boots_its_own_disk(stage: Stage, method: str) -> None:
    decision = decide(ask(stage=stage), standing(is_local=True), setup(host(), profile={"local_boot": method}))
    assert isinstance(decision, LocalDisk)
    assert (decision.method, decision.program, decision.esp_label) == (method, "snponly.efi", "ESP")


def test_P19_a_ready_host_may_be_left_to_its_boot_order() -> None:
    decision = decide(ask(), standing(is_local=True), setup(host(), profile={"local_boot": "silence"}))
    assert isinstance(decision, Silence)
    assert decision.code == "LOCAL_DISK"


def test_an_unknown_machine_is_left_alone_and_told_how_to_enrol() -> None:
    decision = decide(ask(), standing(host=None), setup())
    assert isinstance(decision, Silence)
    assert decision.code == "UNKNOWN"
    assert "bootstrapd hosts add 52:54:00:77:00:10" in decision.reason


def test_an_unknown_machine_may_be_discovered() -> None:
    discover = setup(unknown="discover", discovery_image="installer")
    assert isinstance(decide(ask(), standing(host=None), discover), Chain)
    script = decide(ask(stage=Stage.IPXE), standing(host=None), discover)
    assert isinstance(script, Script)
    assert script.image == "installer"


def test_a_conflict_is_silence_with_the_reason() -> None:
    decision = decide(ask(), standing(host=Conflict("MAC says a, UUID says b")), setup(host()))
    assert isinstance(decision, Silence)
    assert decision.code == "CONFLICT"
    assert "MAC says a" in decision.reason


def test_a_missing_image_is_said_on_the_machine_and_waited_for() -> None:
    decision = decide(ask(stage=Stage.IPXE), standing(), setup(host(), images={}))
    assert isinstance(decision, Script)
    assert decision.template == "wait"
    assert "bootstrapd images add installer" in decision.reason


def test_an_image_for_another_cpu_is_never_sent() -> None:
    arm = setup(host(), images={"installer": image(arch="aarch64")})
    decision = decide(ask(stage=Stage.IPXE), standing(), arm)
    assert isinstance(decision, Script)
    assert decision.template == "wait"
    assert "aarch64" in decision.reason


ASKS = st.builds(
    ask,
    door=st.sampled_from(Door),
    stage=st.sampled_from(Stage),
    arch=st.sampled_from(sorted(ARCHES)),
    features=st.integers(0, 511).map(Feature),
)
STANDINGS = st.builds(
    Standing,
    host=st.sampled_from([None, host(), Conflict("two")]),
    is_local=st.booleans(),
    arch=st.sampled_from([None, *ARCHES.values()]),
    nbp_fetches=st.integers(0, 10),
    held=st.sampled_from(["", "held"]),
    was_chained=st.booleans(),
)


@given(ASKS, STANDINGS)
def test_every_ask_has_a_decision_with_a_reason_and_the_door_plays_no_part(
    question: Any, known: Standing
) -> None:
    """One decision, many doors: the same ask at another door is decided the same."""
    fleet = setup(host())
    same = [replace(question, door=door) for door in Door]
    decisions = {decide(asked, known, fleet) for asked in same}
    assert len(decisions) == 1
    decision = decisions.pop()
    assert decision.reason
    assert decision.rule
    if not isinstance(known.host, type(host())):
        assert isinstance(decision, Silence)
    elif known.is_local:
        assert isinstance(decision, LocalDisk), "a ready machine never gets an installer"
