"""`bootstrapd-agent report` in an installed system, and which card the agent registers over: run for real,
under busybox and dash, against a real HTTP server on loopback."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_agent import DEADLINE_S, NEEDED, SHELLS, Agent, Appliance, Machine, free_port, programs

from bootstrapd.model import Report, read_registration, read_report

UNIT = Path(__file__).parents[1] / "netboot" / "agent" / "bootstrapd-report.service"
CLOSURE = "/nix/store/0c9r7bnsnl7xkqvz2zzm0vpwywfkp8yx-nixos-system-cim-1-25.11"
BOOT_ID = "6f1ed002-ab5d-4f83-9d4b-9b1d7a9c5a43"
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"
RSA = "ssh-rsa " + "A" * 716  # 4096 bits
KNOWN = b'{"status":"accepted","host":"cim-1","machine":"525400aabb01"}'


@pytest.fixture
def appliance() -> Iterator[Appliance]:
    appliance = Appliance([(200, KNOWN)])
    yield appliance
    appliance.close()


@pytest.fixture(params=sorted(SHELLS))
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> Agent:
    """A system at its first boot, with what the install planted but for the address."""
    shell = SHELLS[request.param]
    where = shutil.which(shell[0])
    if where is None:
        pytest.skip(f"{shell[0]} is not installed")
    machine = Machine(tmp_path / "root")
    machine.write("proc/sys/kernel/random/boot_id", BOOT_ID + "\n")
    machine.write("etc/ssh/ssh_host_rsa_key.pub", f"{RSA} root@cim-1\n")
    (machine.root / "run").mkdir()
    (machine.root / "run/current-system").symlink_to(CLOSURE)
    path = programs(tmp_path / "bin", *NEEDED, "cat", "mkdir", "curl")
    return Agent([where, *shell[1:]], path, machine, ("report",))


def plant(agent: Agent, server: str, token: str = "t0ken") -> Path:
    agent.machine.write("var/lib/bootstrapd-report/server", server + "\n")
    return agent.machine.write("var/lib/bootstrapd-report/token", token + "\n")


def without_curl(agent: Agent, tmp_path: Path) -> Agent:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed")
    (tmp_path / "bin/curl").unlink()
    wget = tmp_path / "bin/wget"
    wget.write_text(f'#!/bin/sh\nexec {busybox} wget "$@"\n')
    wget.chmod(0o755)
    return agent


def test_it_tells_which_system_runs_and_the_token_is_gone(installed: Agent, appliance: Appliance) -> None:
    server = appliance.start()
    token = plant(installed, server)
    code, output = installed.run()
    assert code == 0, output
    assert appliance.paths == ["/v1/report"]
    assert read_report(appliance.bodies[0]) == Report(
        token="t0ken", closure=CLOSURE, boot_id=BOOT_ID, host_keys=(ED25519, RSA)
    )
    assert output.splitlines() == [
        f"bootstrapd: reporting to {server}: this is {CLOSURE}",
        f"bootstrapd: {server} knows that cim-1 runs",
    ]
    assert not token.exists()


def test_without_curl_too(installed: Agent, appliance: Appliance, tmp_path: Path) -> None:
    token = plant(without_curl(installed, tmp_path), appliance.start())
    code, output = installed.run()
    assert (code, token.exists()) == (0, False), output
    assert read_report(appliance.bodies[0]).closure == CLOSURE


def test_it_asks_again_until_the_appliance_is_there(installed: Agent, appliance: Appliance) -> None:
    appliance.answers = [(503, b""), (200, KNOWN)]
    port = free_port()
    token = plant(installed, f"http://127.0.0.1:{port}")
    running = installed.start(BOOTSTRAPD_SLOW_RETRY_S="0.05")
    with running:
        assert running.stdout is not None
        for line in running.stdout:
            if "not accepted after 2 tries" in line:
                break
        assert token.exists()
        appliance.start(port)
        output, _ = running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 0, output
    assert not token.exists()
    assert len(set(appliance.bodies)) == 1


def test_a_refusal_ends_it_with_the_reason_and_keeps_the_token(installed: Agent, appliance: Appliance) -> None:
    appliance.answers = [
        (403, b'{"status":"refused","code":"UNKNOWN_TOKEN","reason":"this token was never given"}')
    ]
    server = appliance.start()
    token = plant(installed, server)
    code, output = installed.run()
    assert code == 1
    assert output.endswith(f"bootstrapd: {server} refused this system: this token was never given\n")
    assert token.exists()
    assert len(appliance.bodies) == 1


@pytest.mark.parametrize(
    ("token", "server", "words"),
    [
        ("", "http://127.0.0.1:9", "nothing to report: there is no token in"),
        ("t0ken", "", "no appliance to report to:"),
        ("t0ken", "10.0.0.1", "10.0.0.1 is no URL"),
    ],
)
def test_what_is_missing_is_said(installed: Agent, token: str, server: str, words: str) -> None:
    plant(installed, server, token)
    code, output = installed.run()
    assert code == 2
    assert words in output


def test_no_current_system_is_said(installed: Agent) -> None:
    plant(installed, "http://127.0.0.1:9")
    (installed.machine.root / "run/current-system").unlink()
    code, output = installed.run()
    assert code == 2
    assert "/run/current-system leads nowhere" in output


def test_what_is_no_public_key_is_left_out(installed: Agent, appliance: Appliance) -> None:
    plant(installed, appliance.start())
    installed.machine.write("etc/ssh/ssh_host_rsa_key.pub", 'x","closure":"/evil\n')
    installed.machine.write("etc/ssh/ssh_host_ecdsa_key.pub", "")
    assert installed.run()[0] == 0
    assert read_report(appliance.bodies[0]).host_keys == (ED25519,)


def test_another_word_is_refused(installed: Agent) -> None:
    installed.words = ("repot",)
    code, output = installed.run()
    assert code == 2
    assert "`register` (the default) or `report`, not repot" in output


def test_the_unit_is_one_that_systemd_takes() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    checked = subprocess.run(
        ["systemd-analyze", "verify", str(UNIT)], capture_output=True, text=True, timeout=60
    )
    said = [line for line in checked.stderr.splitlines() if UNIT.name in line]
    assert [line for line in said if "is not executable" not in line] == []  # the agent is not on this machine


# Registering over the card that the machine booted from


@pytest.fixture
def live(installed: Agent, tmp_path: Path) -> Agent:
    """A live system with two cards, and a curl that writes down how it was called."""
    installed.words = ()
    curl = tmp_path / "bin/curl"
    curl.unlink()
    curl.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/calls\nexec {shutil.which("curl")} "$@"\n')
    curl.chmod(0o755)
    installed.machine.card("lo", "52:54:00:aa:bb:01", link=True)
    installed.machine.card("ens2", "52:54:00:aa:bb:02", link=True)
    installed.machine.write("bootstrapd/mac", "52:54:00:aa:bb:01\n")
    if shutil.which("ip") is None:
        pytest.skip("ip is not installed: apt install iproute2")
    programs(tmp_path / "bin", "ip")
    return installed


def calls(tmp_path: Path) -> list[bool]:
    return ["--interface lo" in line for line in (tmp_path / "calls").read_text().splitlines()]


def test_it_registers_over_the_card_it_booted_from(live: Agent, appliance: Appliance, tmp_path: Path) -> None:
    live.machine.overlay(appliance.start())
    code, output = live.run()
    assert code == 0, output
    assert calls(tmp_path) == [True]
    assert read_registration(appliance.bodies[0]).boot_mac == "52:54:00:aa:bb:01"


def test_a_card_without_an_address_is_not_bound_to(live: Agent, appliance: Appliance, tmp_path: Path) -> None:
    live.machine.write("bootstrapd/mac", "52:54:00:aa:bb:02\n")
    live.machine.overlay(appliance.start())
    assert live.run()[0] == 0
    assert calls(tmp_path) == [False]


def test_where_that_card_leads_nowhere_it_takes_any(live: Agent, appliance: Appliance, tmp_path: Path) -> None:
    (live.machine.root / "sys/class/net/lo").rename(live.machine.root / "sys/class/net/nowhere0")
    if "busybox" in live.shell[0]:
        pytest.skip("busybox has an ip of its own, which knows better")
    ip = tmp_path / "bin/ip"
    ip.unlink()
    ip.write_text("#!/bin/sh\necho '1: nowhere0 inet 10.9.9.9/8'\n")
    ip.chmod(0o755)
    live.machine.overlay(appliance.start())
    code, output = live.run()
    assert code == 0, output
    assert len((tmp_path / "calls").read_text().splitlines()) == 2
