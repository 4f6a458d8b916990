"""The scripts of the stories of vm-tests/nixos: typed, and in step with our commands and their answers.

The stub of the driver's names is compared with the real driver where NIXPKGS is given.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, get_args

import click
import msgspec
import pytest
from command_lines import parse
from nix_tools import given
from nixos_stories import STORIES, stories

from bootstrapd.model.life import State
from bootstrapd.model.view import HostView, MachineView

COMMAND: Final = re.compile(r"\bbootstrapd (?=[a-z])([^|;&]*)")


def typed(name: str, script: str | None = None) -> str:
    """The script as the driver's own type check sees it: the names of the driver in front."""
    machines = "".join(f"{node}: Machine\n" for node in stories()[name]["nodes"])
    return f"from driver import Machine, subtest\n\n{machines}\n{script or stories()[name]['testScript']}"


def mypy(folder: Path, *files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-color-output", "--config-file=", "--cache-dir"]
    return subprocess.run(
        [*command, str(folder / "cache"), *map(str, files)],
        env=os.environ | {"MYPYPATH": str(STORIES)},
        capture_output=True,
        text=True,
        timeout=300,
        cwd=folder,
    )


def written(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    files = [folder / f"{name}.py" for name in texts]
    for file, text in zip(files, texts.values(), strict=True):
        file.write_text(text)
    return files


def test_the_scripts_are_typed(tmp_path: Path) -> None:
    ran = mypy(tmp_path, *written(tmp_path, {name: typed(name) for name in stories()}))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"no issues found in {len(stories())} source files" in ran.stdout


@pytest.mark.parametrize("mistake", ["blank.suceed('true')", "comes_to(HOST, 'ready')", "stranger.start()"])
def test_a_script_with_a_mistake_is_not(tmp_path: Path, mistake: str) -> None:
    script = f"{stories()['appliance_restart']['testScript']}\n{mistake}\n"
    ran = mypy(tmp_path, *written(tmp_path, {"story": typed("appliance_restart", script)}))
    assert ran.returncode == 1, ran.stdout
    assert "Found 1 error" in ran.stdout


def test_the_scripts_pass_the_drivers_linter(tmp_path: Path) -> None:
    """It is pyflakes; an import that is not used ends the build of a test."""
    files = written(tmp_path, {name: typed(name) for name in stories()})
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--select",
        "F",
        "--ignore",
        "F821",
        *map(str, files),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout


def strings(script: str) -> Iterator[str]:
    """Every text of the script; what is computed in it is a word."""
    tree = ast.parse(script)
    inside = {
        id(part)
        for each in ast.walk(tree)
        if isinstance(each, ast.JoinedStr)
        for part in ast.walk(each)
        if part is not each
    }
    for each in ast.walk(tree):
        match each:
            case ast.JoinedStr():
                parts = (part.value if isinstance(part, ast.Constant) else "WORD" for part in each.values)
                yield "".join(map(str, parts))
            case ast.Constant(value=str(text)) if id(each) not in inside:
                yield text


def commands(script: str) -> set[str]:
    """What the script gives to `bootstrapd`: as it stands in a command line, and by way of `asked`."""
    found = {line.strip() for text in strings(script) for line in COMMAND.findall(text)}
    for call in ast.walk(ast.parse(script)):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "asked":
            found |= {f"{text} --json" for text in strings(ast.unparse(call.args[0]))}
    return {line for line in found if "WORD" not in line.split()[:1]} - {"hosts add"}  # which is in a sentence


@cache
def all_commands() -> frozenset[str]:
    return frozenset().union(*(commands(story["testScript"]) for story in stories().values()))


def test_the_commands_are_ours() -> None:
    assert {"hosts show WORD --json", "hosts why WORD --json", "hosts arm WORD --yes"} <= all_commands()
    for line in all_commands():
        parse(line)


@pytest.mark.parametrize("line", ["hosts shov WORD", "hosts show", "hosts show WORD --jsn", "machines show"])
def test_a_command_that_is_not_ours_is_found(line: str) -> None:
    with pytest.raises(click.ClickException):
        parse(line)


def fields(kind: type) -> set[str]:
    """The names of a view's fields, and of all that is below it."""
    below = (inner for field in msgspec.structs.fields(kind) for inner in structs(field.type))
    return {field.name for field in msgspec.structs.fields(kind)}.union(*map(fields, below))


def structs(kind: Any) -> Iterator[type]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield kind
    for inner in get_args(kind):
        yield from structs(inner)


def test_what_is_read_of_an_answer_is_in_it() -> None:
    """As a Python subscript, or in a condition for jq."""
    known = fields(HostView) | fields(MachineView)
    assert {"state", "boots", "stages", "serial", "arm", "closure"} <= known
    for name, story in stories().items():
        tree = ast.parse(story["testScript"])
        keys = {
            each.slice.value
            for each in ast.walk(tree)
            if isinstance(each, ast.Subscript) and isinstance(each.slice, ast.Constant)
        }
        conditions = (text for text in strings(story["testScript"]) if text.startswith("."))
        paths = {key for text in conditions for key in re.findall(r"\.([a-z_]+)", text)}
        assert {key for key in keys if isinstance(key, str)} | paths <= known, name


def test_the_states_that_are_awaited_are_states() -> None:
    awaited = {
        call.args[1].value
        for story in stories().values()
        for call in ast.walk(ast.parse(story["testScript"]))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "comes_to"
        if isinstance(call.args[1], ast.Constant)
    }
    assert {"live", "netbooting", "ready"} <= awaited <= set(State)


def test_no_script_sleeps() -> None:
    assert not [name for name, story in stories().items() if "sleep" in story["testScript"]]


def signatures(text: str) -> dict[str, list[str]]:
    """Method -> its parameters, of every class in the text whose name ends in Machine."""
    return {
        method.name: [argument.arg for argument in (*method.args.args[1:], *method.args.kwonlyargs)]
        for each in ast.walk(ast.parse(text))
        if isinstance(each, ast.ClassDef) and re.fullmatch(r"(Base|Qemu)?Machine", each.name)
        for method in each.body
        if isinstance(method, ast.FunctionDef)
    }


def test_the_stub_is_the_drivers() -> None:
    driver = given("NIXPKGS") / "nixos" / "lib" / "test-driver"
    real: dict[str, list[str]] = {}
    for file in driver.rglob("*.py"):
        real |= signatures(file.read_text())
    ours = signatures((STORIES / "driver.pyi").read_text())
    assert len(ours) > 5
    assert {name: real.get(name) for name in ours} == ours
