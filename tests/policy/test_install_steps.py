"""The command lines of an install, word by word; what may not get into them; the ssh that is pinned."""

from __future__ import annotations

import shlex
from typing import Any

import pytest
from install_values import BUILT, DISK, job

from bootstrapd.errors import ConfigError
from bootstrapd.policy import install_steps as steps
from bootstrapd.policy.install import PHASES, Limits, Tools, check, holds

JOB = job()


def test_the_phases_of_nixos_anywhere() -> None:
    assert steps.disko(JOB, BUILT).arguments == (
        *("--phases", "disko", "--store-paths", BUILT.disko, BUILT.closure, "--build-on", "local"),
        *("--no-substitute-on-destination", "-i", JOB.key_file, "root@10.77.0.10"),
    )
    assert steps.install(JOB, BUILT, "/job/extra").arguments == (
        *("--phases", "install", "--store-paths", BUILT.disko, BUILT.closure, "--build-on", "local"),
        *("--no-substitute-on-destination", "-i", JOB.key_file),
        *("--extra-files", "/job/extra", "root@10.77.0.10"),
    )


def test_a_system_that_does_not_report_keeps_the_key_that_it_is_known_by() -> None:
    silent = job(report="ssh")
    assert steps.install(silent, BUILT, "").arguments == (
        *("--phases", "install", "--store-paths", BUILT.disko, BUILT.closure, "--build-on", "local"),
        *("--no-substitute-on-destination", "-i", JOB.key_file, "--copy-host-keys", "root@10.77.0.10"),
    )
    assert "--copy-host-keys" not in steps.disko(silent, BUILT).arguments
    look = steps.running(silent)
    assert (look.script, look.must_say) == ("running", ("@running",))
    assert look.arguments == ("root@10.77.0.10", f"sh -s -- {DISK.path}")


def test_builds_read_the_folder_as_it_is() -> None:
    system, disko = steps.build(JOB)
    flake = "path:/var/lib/bootstrapd/hosts#nixosConfigurations.node1.config.system.build"
    assert f"{flake}.toplevel" in system.arguments
    assert f"{flake}.diskoScript" in disko.arguments
    odd = steps.build(job(flake="/srv/a b#c"))[0].arguments
    assert "path:/srv/a%20b%23c#nixosConfigurations.node1.config.system.build.toplevel" in odd
    assert "github:x/y#nixosConfigurations.node1.config.system.build.toplevel" in (
        steps.build(job(flake="github:x/y"))[0].arguments
    )


def test_the_remote_shell_gets_its_words_quoted() -> None:
    assert steps.preclean(JOB).arguments == ("root@10.77.0.10", f"sh -s -- {DISK.path}")
    assert steps.preclean(JOB).script == "preclean"


def test_no_secret_is_in_a_command_line_or_the_environment() -> None:
    every = [steps.probe(JOB), *steps.build(JOB), steps.preclean(JOB), steps.disko(JOB, BUILT)]
    every += [
        steps.mounted(JOB),
        steps.install(JOB, BUILT, "/x"),
        steps.verify(JOB),
        steps.reboot(JOB),
        steps.running(JOB),
    ]
    assert not [step for step in every if JOB.report_token in " ".join(step.arguments)]
    inherited = {"SSHPASS": "x", "NIX_SSHOPTS": "-oX", "AWS_SECRET": "x", "NIX_PATH": "p", "https_proxy": "h"}
    found = steps.environment("/jobs/run", Tools(scripts="", path="/bin"), inherited, is_pinned=True)
    assert found == {
        "NIX_PATH": "p",
        "https_proxy": "h",
        "PATH": "/jobs/run/bin:/bin",
        "HOME": "/jobs/run/home",
        "TMPDIR": "/jobs/run/tmp",
        "XDG_CACHE_HOME": "/jobs/cache",
        "LC_ALL": "C.UTF-8",
        steps.MARK: "/jobs/run",
    }


def test_the_ssh_wrapper_puts_its_options_in_front() -> None:
    words = shlex.split(steps.ssh_wrapper(JOB, Limits(), "/usr/bin/ssh", "/jobs/100%").splitlines()[1])
    assert words[:2] == ["exec", "/usr/bin/ssh"]
    assert words[-3:] == ["-i", JOB.key_file, "$@"]
    options = words[5:-3:2]
    assert "UserKnownHostsFile=/jobs/100%%/known_hosts" in options
    assert {"StrictHostKeyChecking=yes", "BatchMode=yes", "IdentitiesOnly=yes", "ControlPath=none"} < set(
        options
    )
    assert {"ConnectTimeout=20", "ServerAliveInterval=10", "ServerAliveCountMax=6"} < set(options)


def test_known_hosts_has_the_registered_key_and_nothing_else() -> None:
    assert steps.known_hosts(job(host_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me@x")) == (
        "machine ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA\n"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"run": "../x"},
        {"run": ""},
        {"host": "node1;reboot"},
        {"host": "-o"},
        {"host": "Node.x"},
        {"address": "10.0.0.1 -o x"},
        {"address": "-oProxyCommand=x"},
        {"address": "fe80::1%eth0;x"},
        {"address": "0.0.0.0"},
        {"host_key": ""},
        {"host_key": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA\n* ssh-ed25519 AAAAC3NzaC1lZDI1NTE5BBBB"},
        {"firmware": "$(x)"},
        {"report": "x"},
        {"esp_label": "E S P"},
        {"server": "http://x\ny"},
        {"report_token": "a b"},
        {"flake": "--option"},
        {"flake": ""},
        {"key_file": "-F/x"},
        {"port": 0},
        {"disks": ()},
        {"disks": (DISK.__class__(role="main", path="/dev/vda", size_bytes=1),)},
        {"disks": (DISK.__class__(role="main", path="/dev/disk/by-id/x;reboot", size_bytes=1),)},
        {"disks": (DISK.__class__(role="main", path="/dev/disk/by-id/../../sda", size_bytes=1),)},
    ],
)
def test_what_is_unfit_for_a_command_line_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="cannot install"):
        check(job(**changes))


def test_all_mistakes_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        check(job(host="A B", port=-1, address="x"))
    assert len(caught.value.mistakes) == 3


def test_every_phase_has_a_deadline_and_says_what_it_leaves() -> None:
    assert set(PHASES) < set(Limits().deadline_s)
    assert holds("build") == holds("probe") == "The disks are as they were"
    assert len({holds(phase) for phase in PHASES}) == 5
