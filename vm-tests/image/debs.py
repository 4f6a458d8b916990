"""Programs of the distribution without installing them: packages fetched, unpacked, run from the cache.

What a program needs of shared libraries is asked of the distribution's own loader; packages of libraries are
fetched until it is satisfied, so that nothing depends on what happens to be installed on this machine.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from rack.need import MissingError

FETCH_S: Final = 600
DEEPEST: Final = 8  # how far libraries may stand on libraries' packages

_LOADER: Final = "ld-linux-x86-64.so.2"
_FOLDERS: Final = ("usr/bin", "bin", "usr/sbin", "sbin", "usr/lib/openssh")


class Tree:
    """Unpacked packages in one folder, like a root file system that only has these."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._libraries = [
            folder
            for name in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "usr/lib/nix")
            if (folder := root / name).is_dir()
        ]

    def program(self, name: str) -> Path:
        """The program's file. MissingError: no package here brings it."""
        for folder in _FOLDERS:
            if (self.root / folder / name).exists():
                return self.root / folder / name
        raise MissingError(f"none of the packages in {self.root} brings {name}")

    def command(self, name: str) -> list[str]:
        """The beginning of a command line that runs the program with this tree's own libraries."""
        return [*self._loader(), str(self.program(name))]

    def libraries(self, program: Path) -> tuple[set[Path], set[str]]:
        """The shared libraries that the program loads, and the names of those that are not here."""
        listed = subprocess.run(
            [*self._loader(), str(program)],
            capture_output=True,
            text=True,
            env={"LD_TRACE_LOADED_OBJECTS": "1"},
            check=False,
        ).stdout
        found = {Path(path) for path in re.findall(r"=> (\S+) \(", listed)}
        missing = set(re.findall(r"^\s*(\S+) => not found", listed, re.MULTILINE))
        ours = {path for path in found if path.is_relative_to(self.root)}
        return ours, missing | {path.name for path in found - ours if path.name != _LOADER}

    def loader(self) -> Path:
        """The dynamic loader itself."""
        return next(folder / _LOADER for folder in self._libraries if (folder / _LOADER).exists())

    def _loader(self) -> list[str]:
        return [str(self.loader()), "--inhibit-cache", "--library-path", ":".join(map(str, self._libraries))]


def tree(cache: Path, name: str, packages: Sequence[str], programs: Iterable[str]) -> Tree:
    """These packages and the libraries that `programs` of them need, unpacked in `cache`/`name`.

    MissingError: apt has not got a package, or a library is in none of them.
    """
    programs = tuple(programs)
    kept = cache / name
    stamp = hashlib.sha256(f"{packages} {programs}".encode()).hexdigest()
    if not (kept / "stamp").exists() or (kept / "stamp").read_text() != stamp:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as work:
            root = Path(work) / "tree"
            root.mkdir()
            _fill(root, Path(work), packages, programs)
            (root / "stamp").write_text(stamp)
            shutil.rmtree(kept, ignore_errors=True)
            root.rename(kept)
    return Tree(kept)


def fetch(packages: Iterable[str], folder: Path) -> None:
    """Their archives, in `folder`."""
    argv = ["apt-get", "download", "-o", "APT::Sandbox::User=root", *packages]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=FETCH_S, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it did not say why"])[-1]
        raise MissingError(f"needs packages of the distribution: `{' '.join(argv)}` failed: {last}")


def unpack(folder: Path, root: Path) -> None:
    """Every archive in `folder` into `root`; the archives go."""
    for archive in folder.glob("*.deb"):
        subprocess.run(["dpkg-deb", "-x", str(archive), str(root)], check=True, timeout=FETCH_S)
        archive.unlink()


def _fill(root: Path, work: Path, packages: Sequence[str], programs: Iterable[str]) -> None:
    have: set[str] = set()
    wanted = {"libc6", *packages}
    missing: set[str] = set()
    for _ in range(DEEPEST):
        fetch(sorted(wanted), work)
        unpack(work, root)
        have |= wanted
        here = Tree(root)
        missing = {name for each in programs for name in here.libraries(here.program(each))[1]}
        wanted = _libraries_of(wanted) - have if missing else set()
        if not wanted:
            break
    if missing:
        raise MissingError(
            f"no package on which {', '.join(packages)} stand brings {', '.join(sorted(missing))}"
        )


def _libraries_of(packages: Iterable[str]) -> set[str]:
    """The packages of libraries on which these directly depend."""
    shown = subprocess.run(
        ["apt-cache", "depends", "--important", *sorted(packages)], capture_output=True, text=True, check=False
    ).stdout
    names = re.findall(r"^\s*\|?(?:Pre)?Depends: (\S+)$", shown, re.MULTILINE)
    return {name for name in names if re.match(r"lib(?!\S*(perl|-data$|-common$))|zlib1g$", name)}
