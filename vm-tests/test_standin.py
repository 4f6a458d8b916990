"""The stand-ins without a machine: nixos-anywhere's against recorded runs, nix's by what it makes.

A pretended `ssh` answers as the machine of the recorded run did; the printed steps and the exit code must be
the same.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from standin.layout import Devices, UnknownLayoutError, disko_script
from standin.store import Store, on_machines
from standin.system import FAULTS

HERE: Final = Path(__file__).parent
RECORDED: Final = HERE.parent / "tests" / "golden" / "install"
STANDIN: Final = HERE / "standin"
DISKO: Final = "00000000000000000000000000000000-disko"
SYSTEM: Final = "11111111111111111111111111111111-nixos-system-node1"
# What is said of the machine's side, by what the command asks: exit code and lines.
SSH: Final = """\
#!{python}
import os, sys
command = sys.argv[-1]
said = sys.stdin.read() if not sys.stdin.isatty() and "tar -x" not in command else ""
if "-G" in sys.argv:
    sys.exit(0)
if "isOs=" in said:
    installer = os.environ.get("INSTALLER", "y")
    print("isOs=Linux", "isArch=x86_64", "isInstaller=" + installer, "isContainer=none", sep="\\n")
    print("isRoot=y")
    has = "Tar Cpio Sudo Doas Wget Curl Setsid".split()
    print("hasIpv6Only=n", *(f"has{{name}}=y" for name in has), sep="\\n")
elif "nixos-install" in said:
    sys.exit(int(os.environ.get("INSTALL", "0")))
elif command.endswith("-disko"):
    sys.exit(int(os.environ.get("DISKO", "0")))
elif command == "0":
    sys.exit(255)
"""


class Case(NamedTuple):
    recorded: str
    phases: str
    extra: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()


CASES: Final = (
    Case("01-success", "kexec,disko,install,reboot", ("--extra-files", ".")),
    Case("04-missing-store-path", "disko", ("--store-paths", "/nix/store/xxx", SYSTEM)),
    Case("05-missing-keyfile", "disko", ("-i", "vm/keys/none")),
    Case("06-unknown-phase", "foo"),
    Case("12-disko-missing-disk", "disko", env=(("DISKO", "4"),)),
    Case("13-phase-disko", "disko"),
    Case("14-install-bad-bootloader", "install"),
    Case("15-phase-install", "install"),
    Case("16-install-bad-bootloader-new", "install", env=(("INSTALL", "1"),)),
    Case("17-no-nixos-install", "install", env=(("INSTALL", "127"),)),
    Case("18-mnt-not-mounted", "install"),
    Case("19-not-installer", "kexec,disko,install,reboot", env=(("INSTALLER", "n"),)),
    Case("23-phase-reboot", "reboot"),
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A store with two paths, and a PATH on which ssh only pretends."""
    for name in (DISKO, SYSTEM):
        (tmp_path / "nix" / "store").mkdir(parents=True, exist_ok=True)
        (tmp_path / "nix" / "store" / name).write_text("")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {
        "ssh": SSH.format(python=sys.executable),
        "ssh-copy-id": "#!/bin/sh\nexit 0\n",
        "nix": f'#!/bin/sh\nexec {sys.executable} {STANDIN / "nix"} "$@"\n',
    }.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return tmp_path


def run(place: Path, *words: str, env: tuple[tuple[str, str], ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(STANDIN / "nixos-anywhere"), *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=place,
        env={
            **os.environ,
            "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
            "HOME": str(place / "home"),
            "TMPDIR": str(place),
            "NIX_STORE_DIR": str(place / "nix" / "store"),
            **dict(env),
        },
        check=False,
    )


def paths(place: Path) -> tuple[str, ...]:
    return ("--store-paths", str(place / "nix" / "store" / DISKO), str(place / "nix" / "store" / SYSTEM))


def recorded(name: str) -> tuple[list[str], list[str], int]:
    """The steps that it printed, what it aborted with, and its exit code."""
    text = (RECORDED / f"{name}.txt").read_text()
    code = re.search(r"^EXIT (\d+)$", text, re.MULTILINE)
    assert code
    return _steps(text), _aborted(text), int(code[1])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.recorded)
def test_steps_and_exit_code_are_the_real_ones(place: Path, case: Case) -> None:
    if not (RECORDED / f"{case.recorded}.txt").exists():
        pytest.skip(f"no recorded run {case.recorded}")
    steps, aborted, code = recorded(case.recorded)
    done = run(place, "--phases", case.phases, *paths(place), *case.extra, "root@10.77.0.10", env=case.env)
    assert (_steps(done.stdout), done.returncode) == (steps, code), done.stderr
    assert _aborted(done.stderr) == aborted


def test_a_copy_is_told_as_nix_tells_it(place: Path) -> None:
    done = run(place, "--phases", "disko", *paths(place), "root@10.77.0.10")
    said = [line for line in done.stderr.splitlines() if line.startswith("copying")]
    assert said == [
        "copying 1 paths...",
        f"copying path '/nix/store/{DISKO}' to 'ssh://root@10.77.0.10'...",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "aborted: ssh-host must be set"),
        (["root@a"], "aborted: --flake or --store-paths must be set"),
        (["--force-kexec", "root@a"], "aborted: ssh-host must be set"),  # it eats the next word
        (["--build-on", "moon", "root@a"], "aborted: Supported values for --build-on"),
        (
            ["--disko-mode", "mount", "--store-paths", "/a", "/b", "root@a"],
            "aborted: --disko-mode cannot be used",
        ),
    ],
)
def test_what_it_aborts_with(place: Path, words: list[str], said: str) -> None:
    done = run(place, *words)
    assert done.returncode == 1
    assert said in done.stderr


def test_an_unknown_option_becomes_the_host(place: Path) -> None:
    """So that the host behind it is one word too many, and the usage ends it."""
    done = run(place, "--no-such-option", "root@10.77.0.10")
    assert done.returncode == 1
    assert "nixos-anywhere [options]" in done.stdout
    alone = run(place, "--no-such-option")
    assert "--flake or --store-paths must be set" in alone.stderr


@pytest.mark.parametrize("name", ["nix", "nixos-anywhere"])
@pytest.mark.parametrize("flag", ["--version", "--help"])
def test_it_says_that_it_is_a_stand_in(name: str, flag: str) -> None:
    done = subprocess.run(
        [sys.executable, str(STANDIN / name), flag], capture_output=True, text=True, timeout=60, check=True
    )
    assert "stand-in" in (done.stdout + done.stderr).splitlines()[0]


def test_the_first_line_of_a_run_says_so_too(place: Path) -> None:
    assert "a stand-in" in run(place, "root@a").stderr.splitlines()[0]


LAYOUT: Final = json.loads("""
{"disk": {"main": {"type": "disk", "device": "/dev/disk/by-id/virtio-X", "content": {"type": "gpt",
 "partitions": {
  "ESP": {"size": "512M", "type": "EF00", "content": {"type": "filesystem", "format": "vfat",
    "extraArgs": ["-n", "ESP"], "mountpoint": "/boot"}},
  "bios": {"size": "1M", "type": "EF02"},
  "root": {"size": "100%", "content": {"type": "filesystem", "format": "ext4", "extraArgs": ["-L", "nixos"],
    "mountpoint": "/"}}}}}}}
""")


def test_a_layout_becomes_a_script_for_its_disks_only() -> None:
    devices = Devices(LAYOUT)
    assert devices.root_label == "nixos"
    assert devices.bios_boot == [("/dev/disk/by-id/virtio-X", 1)]
    script = disko_script(devices)
    assert set(re.findall(r"/dev/disk/by-id/[\w-]+", script)) == {"/dev/disk/by-id/virtio-X"}
    lines = script.splitlines()
    assert lines.index("mkdir -p /mnt/") < lines.index("mkdir -p /mnt/boot")
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)


@pytest.mark.parametrize(
    ("path", "value"),
    [(("disk", "main", "content", "type"), "table"), (("zpool",), {"tank": {}})],
)
def test_what_it_does_not_know_of_disko_it_refuses(path: tuple[str, ...], value: object) -> None:
    devices = json.loads(json.dumps(LAYOUT))
    inner = devices
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    with pytest.raises(UnknownLayoutError):
        Devices(devices)


def test_a_store_path_is_named_by_what_is_in_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "nix" / "store")
    first = store.add("a", b"1", (), lambda new: new.mkdir())
    again = store.add("a", b"1", (), lambda _: pytest.fail("it is there"))
    other = store.add("a", b"2", (first,), lambda new: new.mkdir())
    assert first == again != other
    assert re.fullmatch(r"[0-9abcdfghijklmnpqrsvwxyz]{32}-a", first.name)
    assert store.closure(other) == [first, other]
    assert on_machines(first) == f"/nix/store/{first.name}"


def test_every_fault_is_described() -> None:
    assert all(FAULTS.values())


def _aborted(text: str) -> list[str]:
    """What it aborted with, whatever store paths are named."""
    return [re.sub(r"/\S+", "PATH", said) for said in re.findall(r"aborted: (.*)", text)]


def _steps(text: str) -> list[str]:
    return re.findall(r"### (.+) ###", text)
