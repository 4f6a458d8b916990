"""`bootstrapd images build` as a process of its own, with a nix that works, and with those that do not."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from bootstrapd import shipped
from bootstrapd.errors import ConfigError

from .conftest import ROOT, Said

DEADLINE_S: Final = 30.0
INIT: Final = "init=/nix/store/abc-nixos/init"
# A nix for tests: what it was asked is in $FAKE/asked, one word a line. FAULT says how it goes wrong.
NIX: Final = r"""#!/bin/sh
if [ "$*" = --version ]; then echo "nix (Nix) ${NIX_VERSION:-2.28.3}"; exit; fi
printf '%s\n' "$@" >"$FAKE/asked"
while [ $# -gt 0 ]; do
    if [ "$1" = --out-link ]; then link=$2; fi
    shift
done
say() { printf '%s\n' "$@" >&2; }
say "these 2 derivations will be built:" "  /nix/store/00000000000000000000000000000000-squashfs.drv"
say "this path will be fetched (1.00 MiB download, 4.00 MiB unpacked):"
say "copying path '/nix/store/00000000000000000000000000000000-linux-6.12' from 'https://cache.nixos.org'..."
say "building '/nix/store/00000000000000000000000000000000-squashfs.drv'..."
case $FAULT in
builder)
    say "error: builder for '/nix/store/00000000000000000000000000000000-squashfs.drv' failed with exit code 2;"
    say "       last 1 log lines:" "       > mksquashfs: out of luck"
    exit 1
    ;;
full)
    say "error: writing to file: No space left on device"
    exit 1
    ;;
attribute)
    say "error: flake 'path:/x' does not provide attribute 'packages.x86_64-linux.installer'"
    exit 1
    ;;
mute) exit 3 ;;
nothing) exit 0 ;;
hang)
    sleep 600 &
    echo $! $$ >"$FAKE/pids"
    wait
    ;;
esac
mkdir "$FAKE/result"
{ head -c 514 /dev/zero; printf HdrS; head -c 4096 /dev/zero; } >"$FAKE/result/bzImage"
echo initrd >"$FAKE/result/initrd"
cat >"$FAKE/result/manifest.json" <<EOF
{"format": 1, "kind": "nixos", "arch": "x86_64", "kernel": "bzImage", "initrds": ["initrd"],
 "cmdline": "${CMDLINE}", "sha256": {}, "sizes": {}}
EOF
ln -s "$FAKE/result" "$link"
"""


class Bench:
    """A state folder, a PATH with that nix first, and a folder for temporary files that is empty again."""

    def __init__(self, folder: Path) -> None:
        self.state, self.fake, self.temporary = folder / "state", folder / "fake", folder / "tmp"
        self.environment = os.environ | {
            "BOOTSTRAPD_STATE": str(self.state),
            "PATH": f"{folder / 'bin'}:/usr/bin:/bin",
            "TMPDIR": str(self.temporary),
            "FAKE": str(self.fake),
            "FAULT": "",
            "CMDLINE": INIT,
        }
        self.environment.pop("BOOTSTRAPD_CONFIG", None)
        self.environment.pop("BOOTSTRAPD_FLAKE", None)
        for each in (self.fake, self.temporary, folder / "bin"):
            each.mkdir()
        self.nix = folder / "bin/nix"
        self.nix.write_text(NIX)
        self.nix.chmod(0o755)

    def start(self, words: Sequence[str], stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "bootstrapd.cli", "images", *words],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )

    def build(self, *words: str, **environment: str) -> Said:
        self.environment |= environment
        process = self.start(["build", *words])
        out, err = process.communicate(timeout=DEADLINE_S)
        return Said(process.returncode, out, err)

    @property
    def asked(self) -> list[str]:
        file = self.fake / "asked"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def images(self) -> list[str]:
        folder = self.state / "images"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


FLAKE: Final = ("--flake", "path:/etc/images", "--arch", "x86_64")


def test_it_builds_and_adds(bench: Bench) -> None:
    said = bench.build("installer", *FLAKE)
    assert said.code == 0, said.err
    assert said.out.splitlines() == [
        "installer: nixos for x86_64, 4.6 kB",
        "profiles cim-node, cim-node-passthrough, minimal boot it",
    ]
    assert bench.images == ["installer"]
    assert json.loads((bench.state / "images/installer/manifest.json").read_text())["cmdline"] == INIT
    assert list(bench.temporary.iterdir()) == []


def test_nix_is_asked_for_the_image_of_the_flake(bench: Bench) -> None:
    bench.build(*FLAKE, "--attr", "discovery")
    *flags, command, wanted, option, link = [word for word in bench.asked if word not in SWITCHES]
    assert flags == ["--extra-experimental-features", "nix-command flakes"]
    assert (command, wanted, option) == (
        "build",
        "path:/etc/images#packages.x86_64-linux.discovery",
        "--out-link",
    )
    assert link.startswith(str(bench.temporary))
    assert bench.images == ["discovery-x86_64"]  # the name, where none was given


SWITCHES: Final = ("--print-build-logs", "--no-write-lock-file")


def test_the_lines_of_nix_are_for_a_pipe_and_stdout_is_for_json(bench: Bench) -> None:
    said = bench.build("installer", *FLAKE, "--json")
    image = json.loads(said.out)
    assert (image["name"], image["arch"], image["profiles"]) == (
        "installer",
        "x86_64",
        ["cim-node", "cim-node-passthrough", "minimal"],
    )
    assert "building 'squashfs.drv'..." in said.err.splitlines()
    assert "\x1b" not in said.err


def test_a_terminal_shows_how_far_it_is(bench: Bench) -> None:
    ours, theirs = pty.openpty()
    bench.environment |= {"TERM": "xterm", "COLUMNS": "120"}
    process = bench.start(["build", "installer", *FLAKE], stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 4096):
            shown += data
    except OSError:
        pass  # the other end is closed
    finally:
        os.close(ours)
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert b"2/3" in shown
    assert b"squashfs.drv" in shown
    assert b"/nix/store/0000" not in shown


def test_a_name_that_is_taken_is_said_before_anything_is_built(bench: Bench) -> None:
    assert bench.build("installer", *FLAKE).code == 0
    (bench.fake / "asked").unlink()
    said = bench.build("installer", *FLAKE)
    assert (said.code, bench.asked) == (1, [])
    assert "there is an image 'installer' already; --replace" in said.err


def test_replace_puts_the_new_one_in_its_place(bench: Bench) -> None:
    bench.build("installer", *FLAKE)
    for file in (bench.fake / "result").iterdir():
        file.unlink()
    (bench.fake / "result").rmdir()
    assert bench.build("installer", *FLAKE, "--replace", CMDLINE=f"{INIT} quiet").code == 0
    assert (
        json.loads((bench.state / "images/installer/manifest.json").read_text())["cmdline"] == f"{INIT} quiet"
    )


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("Bad/Name", *FLAKE), "'Bad/Name' cannot name an image"),
        (("installer", "--flake", "a b"), "--flake 'a b': expected a flake such as ."),
        (("installer", "--flake", "github:a/b#c"), "without # and spaces"),
        (("installer", "--flake", "-x"), "expected a flake"),
        (("installer", "--attr", "iso"), "'iso' is not one of 'installer', 'discovery'"),
    ],
)
def test_slips_never_reach_nix(bench: Bench, words: tuple[str, ...], why: str) -> None:
    said = bench.build(*words)
    assert said.code == 2
    assert why in said.err
    assert bench.asked == []


@pytest.mark.parametrize(
    ("fault", "why", "then"),
    [
        ("builder", "the build of squashfs failed with exit code 2", "mksquashfs: out of luck"),
        ("full", "the disk that nix builds on is full; `nix-collect-garbage -d`", "No space left on device"),
        ("attribute", "the flake has no packages.x86_64-linux.installer; name the flake", "does not provide"),
        ("mute", "nix build ended with exit code 3", "building"),
        ("nothing", "ended well and left no result", ""),
    ],
)
def test_a_build_that_fails_says_why_and_its_last_lines(bench: Bench, fault: str, why: str, then: str) -> None:
    said = bench.build("installer", *FLAKE, FAULT=fault)
    told = [line for line in said.err.splitlines() if line.startswith("bootstrapd: ")]
    assert said.code == 3
    assert why in told[0]
    assert any(then in line for line in told)
    assert bench.images == []
    assert list(bench.temporary.iterdir()) == []


def test_without_nix_it_says_what_to_do(bench: Bench) -> None:
    bench.nix.unlink()
    python = Path(sys.executable).parent
    said = bench.build("installer", *FLAKE, PATH=f"{python}")
    assert said.code == 3
    assert "nix is not on PATH: images are built with nix 2.18 or newer" in said.err
    assert "`bootstrapd images add` it" in said.err


def test_an_old_nix_is_refused_by_its_version(bench: Bench) -> None:
    said = bench.build("installer", *FLAKE, NIX_VERSION="2.8.0")
    assert said.code == 3
    assert "nix 2.8 is too old: images are built with nix 2.18 or newer" in said.err
    assert bench.asked == []


def test_an_image_without_init_is_not_added_whoever_built_it(bench: Bench) -> None:
    said = bench.build("installer", *FLAKE, CMDLINE="console=ttyS0")
    assert said.code == 2
    assert "a NixOS image needs init=/nix/store" in said.err
    assert bench.images == []


def test_ctrl_c_leaves_nothing_behind(bench: Bench) -> None:
    with hanging(bench) as (process, nix):
        assert not ended(nix, within_s=0)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=DEADLINE_S)
        assert (process.returncode, err.splitlines()[-1]) == (130, "bootstrapd: stopped")
        assert ended(nix, within_s=0) == nix
    assert bench.images == []
    assert list(bench.temporary.iterdir()) == []


def test_what_kills_it_ends_the_build_too(bench: Bench) -> None:
    with hanging(bench) as (process, nix):
        process.kill()
        process.communicate(timeout=DEADLINE_S)
        assert ended(nix, within_s=DEADLINE_S) == nix


@contextmanager
def hanging(bench: Bench) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A build whose nix hangs, and pidfds of that nix and of its child."""
    fifo = bench.fake / "pids"
    os.mkfifo(fifo)
    ear = os.open(fifo, os.O_RDWR)  # so that neither end waits for the other
    bench.environment["FAULT"] = "hang"
    process = bench.start(["build", "installer", *FLAKE])
    assert select.select([ear], [], [], DEADLINE_S)[0], "nix was not started"
    nix = [os.pidfd_open(int(pid)) for pid in os.read(ear, 100).split()]
    try:
        assert len(nix) == 2
        yield process, nix
    finally:
        for handle in (ear, *nix):
            os.close(handle)


def ended(pidfds: list[int], within_s: float) -> list[int]:
    """Those whose process has ended; all of them have that much time together."""
    until = time.monotonic() + within_s
    return [fd for fd in pidfds if select.select([fd], [], [], max(0.0, until - time.monotonic()))[0]]


# Which flake it is


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout, or what a wheel unpacks to."""
    monkeypatch.setattr(shipped, "_PACKAGE", tmp_path / "a b" / "bootstrapd")
    return tmp_path / "a b"


def make_flake(top: Path) -> None:
    (top / "nixos-appliance").mkdir(parents=True)
    (top / "nixos-appliance/flake.nix").write_text("{ }")


def test_of_a_checkout_it_is_what_git_knows(top: Path) -> None:
    make_flake(top)
    (top / ".git").mkdir()
    assert shipped.flake() == f"git+file://{str(top).replace(' ', '%20')}?dir=nixos-appliance"


def test_of_a_folder_without_git_it_is_the_folder(top: Path) -> None:
    make_flake(top)
    assert shipped.flake() == f"path:{str(top).replace(' ', '%20')}?dir=nixos-appliance"


def test_of_a_wheel_it_is_what_came_with_it(top: Path) -> None:
    assets = top / "bootstrapd/assets"
    make_flake(assets)
    assert shipped.flake() == f"path:{str(assets).replace(' ', '%20')}?dir=nixos-appliance"


def test_without_one_it_says_so(top: Path) -> None:
    top.mkdir()
    with pytest.raises(ConfigError, match="name one with --flake"):
        shipped.flake()
