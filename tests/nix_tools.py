"""Nix for tests: evaluate, parse and build with what `nix-bin` brings; no daemon, no /nix, no network.

A store of their own in a temporary folder serves all tests of a process. Without Nix the tests that ask for it
are skipped with the reason; those that need the real nixpkgs, disko or nix-darwin (folders, named by NIXPKGS,
DISKO, DARWIN) say which is not given.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
NIX: Final = ROOT / "tests" / "nix"
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_CONF: Final = """\
build-users-group =
sandbox = false
substituters =
experimental-features = nix-command
extra-platforms = x86_64-linux aarch64-linux
"""  # a shell of this machine builds for the others as well


class NixError(AssertionError):
    """Nix refused: `message` is its own first sentence, the text is all that it said."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(output)
        self.message = message


def evaluate(expression: str, *, timeout_s: float = 120, **args: Any) -> Any:
    """What the expression comes to, as JSON has it. NixError says what Nix said.

    Paths in it are relative to the repository. Where `args` are given, it is a function of them: a Path
    comes as a path, all else as the Nix value of the same shape. Nothing is written to the store.
    """
    return json.loads(_run([*_instantiate(expression, args), "--eval", "--strict", "--json"], timeout_s))


def build(expression: str, *, timeout_s: float = 120, **args: Any) -> Path:
    """Where what the derivation makes stands, once it was built."""
    drv = _run([*_instantiate(expression, args)], timeout_s).strip()
    return Path(_run(["nix-store", "--realise", drv], timeout_s).strip())


def parse(files: Sequence[Path], timeout_s: float = 60) -> None:
    """NixError unless all of the files are Nix, without undefined names."""
    _run(["nix-instantiate", "--parse", *map(str, files)], timeout_s)


def given(variable: str) -> Path:
    """The folder that the variable names (`NIXPKGS`, `DISKO`, `DARWIN`), or a skip that says how to give it."""
    folder = os.environ.get(variable, "")
    if not folder:
        pytest.skip(f"{variable} is not set: the folder of a real {variable.lower()}, to check against it")
    return Path(folder)


def nix_files() -> list[Path]:
    """Every Nix file of the repository, and those that are about to be added to it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--deduplicate", "*.nix"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [ROOT / name for name in names if (ROOT / name).exists()]


def literal(value: object) -> str:
    """The value as a Nix expression."""
    match value:
        case Path():
            return f"(/. + {_text(str(value.resolve()))})"
        case None | bool() | int() | float():
            return f"({json.dumps(value)})"  # a number below zero is no item of a list
        case str():
            return _text(value)
        case dict():
            return "{ " + "".join(f"{_text(key)} = {literal(item)}; " for key, item in value.items()) + "}"
        case list() | tuple():
            return f"[ {' '.join(literal(item) for item in value)} ]"
        case _:
            raise TypeError(f"no Nix value for a {type(value).__name__}")


def _text(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("${", "\\${")
    return '"' + escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t") + '"'


def _instantiate(expression: str, args: dict[str, Any]) -> list[str]:
    """The expression in a file where it is long: an argument holds 128 KiB."""
    applied = f"({expression}) {literal(args)}" if args else expression
    if len(applied) < 100_000:
        return ["nix-instantiate", "--expr", applied]
    file = Path(tempfile.mkstemp(suffix=".nix", dir=_home().name)[1])
    file.write_text(applied.replace("./", f"{ROOT}/") if "./" in expression else applied, "utf-8")
    return ["nix-instantiate", str(file)]


@cache
def _home() -> tempfile.TemporaryDirectory[str]:
    home = tempfile.TemporaryDirectory(prefix="nix-")
    (Path(home.name) / "nix.conf").write_text(_CONF, "utf-8")
    return home


def environment() -> dict[str, str]:
    """What Nix, and what starts it, has to find around it to use the tests' store."""
    if shutil.which("nix-instantiate") is None:
        pytest.skip("there is no Nix here (.ci/install test brings nix-bin)")
    home = _home().name
    return os.environ | {
        "NIX_STORE_DIR": f"{home}/store",
        "NIX_STATE_DIR": f"{home}/state",
        "NIX_LOG_DIR": f"{home}/log",
        "NIX_CONF_DIR": home,
        "NIX_REMOTE": "",
        "NIX_PATH": "",
        "HOME": home,
        "XDG_CACHE_HOME": f"{home}/cache",
    }


def _run(command: list[str], timeout_s: float) -> str:
    ran = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, check=False, timeout=timeout_s
    )
    if ran.returncode:
        said = _COLOUR.sub("", ran.stderr).strip()
        first = re.search(r"^error: ((?:.*\n?)+?)(?=^\s*\n? +at /|^\(use |^ +… |\Z)", said, re.MULTILINE)
        raise NixError(first.group(1).strip() if first else said, said)
    return ran.stdout
