"""`bootstrapd status`: with a daemon, with one in trouble, and without."""

from __future__ import annotations

import json

from .conftest import FakeCore, Run


def test_status_says_what_runs_and_what_it_serves(run: Run, daemon: FakeCore) -> None:
    said = run("status")
    assert (said.code, said.err) == (0, "")
    since, *lines = said.out.splitlines()
    assert since.startswith("running   since 2023-11-1")
    assert lines == [
        "version   0",
        "process   1",
        "link      eth0 10.0.0.1: dhcp 67, pxe 4011, tftp 69, http 80",
        "hosts     1",
        "profiles  2",
        "images    1: installer",
        f"machines  {len(daemon.known)}: 1 seen, 1 live",
        "problem   none",
    ]


def test_problems_are_said_with_what_follows_from_them(run: Run, daemon: FakeCore) -> None:
    daemon.problems = ("hosts/a/host.toml: profile: unknown", "eth1: port 69 is taken")
    said = run("status")
    assert said.code == 0
    assert [line for line in said.out.splitlines() if line.startswith("problem")] == [
        "problem   hosts/a/host.toml: profile: unknown",
        "problem   eth1: port 69 is taken",
    ]
    assert "machines are answered with what was right before" in said.err


def test_status_for_programs_counts_the_machines_by_state(run: Run, daemon: FakeCore) -> None:
    daemon.problems = ("one",)
    said = run("status", "--json")
    found = json.loads(said.out)
    assert (found["problems"], found["states"], said.err) == (["one"], {"seen": 1, "live": 1}, "")
    assert len(found["listeners"]) == 4


def test_without_a_daemon_it_is_one_sentence_and_3(run: Run) -> None:
    for args in (("status",), ("status", "--json")):
        said = run(*args)
        assert (said.code, said.out) == (3, "")
        assert said.err.startswith("bootstrapd: bootstrapd is not running")
        assert len(said.err.splitlines()) == 1
