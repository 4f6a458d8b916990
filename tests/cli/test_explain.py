"""`bootstrapd explain` over the API."""

from __future__ import annotations

import json

from bootstrapd.model import Door, Stage

from .conftest import MAC, FakeCore, Run


def test_each_answer_is_printed_field_by_field_with_its_rule(run: Run, daemon: FakeCore) -> None:
    said = run("explain", MAC)
    assert said.out.splitlines() == [
        "dhcp · firmware · UEFI x64: node-1 boots [I12]",
        "    siaddr  10.0.0.1",
        "    file    " + "x" * 200,
        "    | #!ipxe",
        "    | boot·[2J",
        "",
    ]
    assert daemon.asked == [("explain", MAC, None, None, None)]


def test_the_choice_goes_to_the_daemon_typed(run: Run, daemon: FakeCore) -> None:
    said = run(
        "explain", "525400AABB01", "--arch", "UEFI x64", "--stage", "firmware", "--door", "dhcp", "--json"
    )
    assert daemon.asked == [("explain", MAC, 7, Stage.FIRMWARE, Door.DHCP)]
    [answer] = json.loads(said.out)
    assert (answer["rule"], answer["fields"][0]) == ("I12", ["siaddr", "10.0.0.1"])


def test_nothing_to_explain_is_said(run: Run, daemon: FakeCore) -> None:
    said = run("explain", MAC, "--door", "tftp")
    assert (said.code, said.out) == (0, "")
    assert "leave out" in said.err
    assert len(daemon.asked) == 1


def test_without_a_daemon_the_files_answer(run: Run) -> None:
    run("hosts", "add", MAC, "--name", "node-1", "--profile", "minimal")
    said = run("explain", MAC, "--arch", "uefi-x64", "--json")
    assert (said.code, said.err) == (0, "")
    answers = json.loads(said.out)
    assert {answer["door"] for answer in answers} == {"dhcp", "pxe", "tftp", "http"}
    assert all(answer["rule"] and answer["reason"] for answer in answers)
