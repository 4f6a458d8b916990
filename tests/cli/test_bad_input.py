"""Everything a person can get wrong: one clear sentence with file and key, the right exit code, no traceback.

A row is what lies in the state folder, what is typed, the exit code and the words that must be said.
"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from msgspec import Struct

from .conftest import FakeCore, Run


class Slip(Struct, frozen=True):
    """One mistake. `{state}` in `args` and `words` is the state folder."""

    name: str
    args: str
    code: int
    words: tuple[str, ...]
    files: dict[str, str] = {}


HOST = 'profile = "minimal"\n[match]\nmac = ["52:54:00:aa:bb:01"]\n'
ADD = "hosts add 52:54:00:aa:bb:01 --name node-1 --profile minimal"

SLIPS = [
    Slip(
        "bad MAC",
        ADD.replace(":01", ""),
        2,
        ("'52:54:00:aa:bb' is not a MAC address", "expected six hex bytes"),
    ),
    Slip("two bad MACs", "hosts add zz 01:00:00:00:00:00 --name a --profile minimal", 2, ("'zz'", "multicast")),
    Slip("bad MAC to explain", "explain zz", 2, ("'zz' is not a MAC address",)),
    Slip(
        "bad arch to explain",
        "explain 525400aabb01 --arch vax",
        2,
        ("'vax' is not an architecture", "uefi-x64"),
    ),
    Slip(
        "MAC of another host",
        ADD,
        2,
        ("{state}/hosts/other/host.toml: match.mac", "{state}/hosts/node-1/host.toml"),
        {"hosts/other/host.toml": HOST},
    ),
    Slip("unknown profile", ADD.replace("minimal", "minimul"), 2, ('did you mean "minimal"?', "profile:")),
    Slip(
        "bad name",
        ADD.replace("node-1", "Node_1"),
        2,
        ('"Node_1" cannot be the name of a host', "a-z, 0-9 and -"),
    ),
    Slip("bad uuid", ADD + " --uuid 1234", 2, ("match.uuid", "SMBIOS UUID")),
    Slip("placeholder serial", ADD + " --serial none", 2, ("match.serial", "not a placeholder")),
    Slip("bad label", ADD + " --label rack", 2, ("--label 'rack'", "KEY=VALUE")),
    Slip(
        "host is there already",
        ADD,
        1,
        ("'node-1' is declared already", "{state}/hosts/node-1/host.toml"),
        {"hosts/node-1/host.toml": HOST},
    ),
    Slip(
        "no such host to remove",
        "hosts remove nobody",
        1,
        ("there is no host 'nobody'", "bootstrapd hosts list"),
    ),
    Slip("no such host to show", "hosts show nobody", 1, ("there is no host 'nobody'",)),
    Slip("no such profile to show", "profiles show nope", 1, ("there is no profile 'nope'", ", minimal\n")),
    Slip("why without a daemon", "hosts why node-1", 3, ("not running", "bootstrapd serve")),
    Slip(
        "broken TOML in a host",
        "hosts list",
        2,
        ("{state}/hosts/a/host.toml: is not TOML", "line 1"),
        {"hosts/a/host.toml": "profile =\n1"},
    ),
    Slip(
        "every mistake at once",
        "check-config",
        2,
        ("{state}/hosts/a/host.toml: is not TOML", '{state}/hosts/b/host.toml: profile: unknown profile "x"'),
        {"hosts/a/host.toml": "[", "hosts/b/host.toml": 'profile = "x"'},
    ),
    Slip(
        "mistakes beside a file that is no text",
        "check-config",
        2,
        ("{state}/hosts/a/host.toml: is not UTF-8 text", "{state}/hosts/b/host.toml: profile: unknown"),
        {"hosts/a/host.toml": "\udcff", "hosts/b/host.toml": 'profile = "x"'},
    ),
    Slip(
        "wrong type in a host",
        "hosts list",
        2,
        ("{state}/hosts/a/host.toml: match.mac: expected a list", "found"),
        {"hosts/a/host.toml": 'profile = "minimal"\nmatch.mac = "52:54:00:aa:bb:01"'},
    ),
    Slip(
        "unknown key in a profile",
        "profiles list",
        2,
        ('{state}/hosts/profiles/p.toml: imag: unknown key "imag"; did you mean "image"?',),
        {"hosts/profiles/p.toml": 'imag = "x"'},
    ),
    Slip(
        "a host that is no text",
        "hosts list",
        2,
        ("{state}/hosts/a/host.toml: is not UTF-8 text",),
        {"hosts/a/host.toml": "\udcff"},
    ),
    Slip(
        "no such settings file", "hosts list --config /nowhere/c.toml", 2, ("/nowhere/c.toml: cannot be read",)
    ),
    Slip("settings are a folder", "hosts list --config {state}", 2, ("is a directory",), {"x": ""}),
    Slip(
        "broken settings",
        "hosts list --config {state}/c.toml",
        2,
        ("{state}/c.toml: is not TOML",),
        {"c.toml": "paths = "},
    ),
    Slip(
        "settings with two mistakes",
        "check-config {state}/c.toml",
        2,
        ('{state}/c.toml: prot: unknown key "prot"', "{state}/c.toml: http.ports[0]: expected a port number"),
        {"c.toml": "prot = 1\n[http]\nports = [0]"},
    ),
    Slip(
        "full DHCP",
        "serve --config {state}/c.toml",
        2,
        ("mode: full DHCP is not built yet",),
        {"c.toml": 'mode = "full"'},
    ),
    Slip("bad interface name", "serve --interface a/b", 2, ("command line: interfaces[0]", 'found "a/b"')),
    Slip("state is a file", "hosts list --state {state}/x", 2, ("is a file",), {"x": ""}),
    Slip("--enrol without a profile", "machines adopt x --host y --enrol", 2, ("--enrol and --profile",)),
]


@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: slip.name)
def test_a_slip_is_explained(run: Run, state: Path, slip: Slip) -> None:
    for path, text in slip.files.items():
        file = state / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, errors="surrogateescape")
    before = sorted(state.rglob("*"))
    said = run(*(word.replace("{state}", str(state)) for word in slip.args.split()))
    assert said.code == slip.code, said
    for words in slip.words:
        assert words.replace("{state}", str(state)) in said.err
    assert said.out == ""
    assert all(line.startswith("bootstrapd: ") for line in said.err.splitlines())
    assert "Traceback" not in said.err
    assert sorted(state.rglob("*")) == before, "a refused command writes nothing"


def test_a_read_only_folder_refuses_and_prints_what_to_put_there(run: Run, state: Path) -> None:
    (state / "hosts").mkdir(parents=True)
    (state / "hosts/node-1").symlink_to("/nowhere/at/all")  # what cannot be written, root or not
    said = run(*ADD.split())
    assert said.code == 1
    assert "cannot be written" in said.err
    assert 'profile = "minimal"' in said.err
    assert "Traceback" not in said.err


def test_a_dead_daemons_socket_counts_as_none(run: Run, state: Path) -> None:
    (state / "run").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(state / "run/api.sock"))
    assert run("hosts", "list").code == 0
    said = run("machines", "list")
    assert (said.code, "not running" in said.err) == (3, True)


def test_a_daemon_that_answers_nonsense_is_an_environment_error(
    run: Run, daemon: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "machines", lambda: [{"id": 1}])
    said = run("machines", "list")
    assert said.code == 3
    assert "are they the same version?" in said.err


def test_a_daemon_with_a_bug_is_not_our_traceback(
    run: Run, daemon: FakeCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daemon, "machines", dict[str, str]().__getitem__)
    said = run("machines", "list")
    assert said.code == 70
    assert said.err.startswith("bootstrapd: the daemon failed (500): a bug of ours (TypeError); see the log")


@pytest.mark.parametrize("name", ["\udcff", "x" * 9000], ids=["no text", "too long"])
@pytest.mark.parametrize(
    "command",
    [
        "hosts why {}",
        "hosts show {}",
        "machines show {}",
        "machines forget {}",
        "machines adopt x --host {}",
        "hosts add --name n --profile minimal --serial {}",
        "hosts remove {}",
    ],
)
def test_a_name_that_none_can_have_is_refused(run: Run, daemon: FakeCore, command: str, name: str) -> None:
    if len(name) > 1 and "--" in command:
        return  # a long value there is a matter of taste
    said = run(*(word.replace("{}", name) for word in command.split()))
    assert said.code in (1, 2), said
    assert "version" not in said.err
    assert daemon.asked == []
