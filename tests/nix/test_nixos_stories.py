"""The stories of vm-tests/nixos: found by their files, typed, in step with our commands, settings and layouts.

They run where Nix has a binary cache (vm-tests/nixos/README.md). What is proved here needs no nixpkgs; the
drivers and the stub of their names, ask for NIXPKGS and DISKO, and are skipped without.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import click
import pytest
from nix_tools import ROOT, evaluate, given

from bootstrapd.cli import root
from bootstrapd.config import parse_hosts
from bootstrapd.config.settings import parse_config
from bootstrapd.model import Host

STORIES: Final = ROOT / "vm-tests" / "nixos"
MODULE: Final = ROOT / "nixos-appliance" / "module.nix"
LAYOUTS: Final = sorted(file.stem for file in (ROOT / "hosts" / "layouts").glob("*.nix"))
COMMAND: Final = re.compile(r"\bbootstrapd (?=[a-z])([^|;&]*)")


@cache
def stories() -> Mapping[str, Any]:
    """Name -> name, testScript and node names, of every story."""
    expression = """{ module }: builtins.mapAttrs (_: story: { inherit (story) name nodes testScript; })
        (import ./tests/nix/stories.nix { inherit module; })"""
    found: Mapping[str, Any] = evaluate(expression, module=MODULE)
    return found


@cache
def nodes() -> Mapping[str, Any]:
    if not MODULE.exists():
        pytest.skip("nixos-appliance/module.nix is not there yet")
    found: Mapping[str, Any] = evaluate("import ./tests/nix/stories.nix", module=MODULE)
    return found


@cache
def fleet() -> Mapping[str, Host]:
    folder = STORIES / "hosts"
    texts = {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*.toml")}
    return parse_hosts(texts, str(folder)).hosts


def test_each_file_is_a_story_of_its_name() -> None:
    files = {file.stem for file in (STORIES / "stories").glob("*.nix")}
    assert {"boot_and_register", "appliance_restart", "install", "ready_is_not_reinstalled"} <= files
    assert {file.stem for file in (STORIES / "stories").glob("*.py")} == files
    assert all(any(name == file or name.startswith(f"{file}_") for name in stories()) for file in files)
    for name, story in stories().items():
        assert story["name"] == name
        assert {"appliance", "site"} < set(story["nodes"])
        assert "serve()" in story["testScript"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_is_installed(layout: str) -> None:
    name = layout.replace("-", "_")
    assert f"install_{name}_uefi" in stories()
    can_bios = "EF02" in (ROOT / "hosts" / "layouts" / f"{layout}.nix").read_text()
    assert (f"install_{name}_bios" in stories()) == can_bios


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_machine_of_a_layout_has_the_disks_that_its_host_asks_for(layout: str) -> None:
    host = fleet()[layout]
    text = (ROOT / "hosts" / "layouts" / f"{layout}.nix").read_text()
    asked = set(re.findall(r"\bdisks\.([a-z0-9_-]+)", re.sub(r"#.*", "", text)))
    chosen = json.loads((STORIES / "hosts" / layout / "disks.json").read_text())
    serials = {role: disk.serial for role, disk in host.disk.items()}
    assert asked == set(serials), "the roles of the layout, and of the host that proves it"
    # What the appliance will write there too: the outer evaluation comes to the same closure with it.
    assert chosen == {role: f"/dev/disk/by-id/virtio-{serial}" for role, serial in serials.items()}
    assert max(map(len, serials.values())) <= 20, "a virtio disk's serial has 20 characters"


def test_a_blank_machine_is_what_its_host_says() -> None:
    blank = nodes()["install_single_disk_uefi"]["machines"]["blank"]
    mac = fleet()["single-disk"].macs[0]
    assert any(f"mac={mac},bootindex=0" in option for option in blank["qemu"]["networkingOptions"])
    assert [drive["deviceExtraOpts"]["serial"] for drive in blank["qemu"]["drives"]] == ["single-disk-0"]
    assert len(blank["emptyDiskImages"]) == 1
    assert not blank["directBoot"]["enable"]  # its firmware boots it
    assert blank["useEFIBoot"]
    assert not nodes()["install_single_disk_bios"]["machines"]["blank"]["useEFIBoot"]


def test_what_an_install_needs_is_in_the_appliances_store() -> None:
    appliance = nodes()["appliance_restart"]["appliance"]
    assert len(appliance["store"]) == 2
    assert all("single-disk" in path for path in appliance["store"])
    assert appliance["substituters"] == []
    assert f'CLOSURE = "{appliance["store"][0]}"' in stories()["appliance_restart"]["testScript"]


def test_the_settings_are_the_appliances_own() -> None:
    for story in nodes().values():
        lines = [*toml(story["appliance"]["settings"])]
        config = parse_config("\n".join(lines), "config.toml")
        assert config.interfaces == ("eth1",)
        assert story["appliance"]["images"] == ["installer"]


def toml(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from toml(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key} = {json.dumps(value)}"


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


def parse(line: str) -> None:
    """click.ClickException unless it is one of our commands with all that it needs, and no more."""
    command: click.Command | None = root
    words = shlex.split(line)
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), words.pop(0)) if words else None
    if command is None:
        raise click.UsageError(f"{line}: no such command")
    command.make_context(line, words)


def test_the_commands_are_ours() -> None:
    assert {"hosts show WORD --json", "hosts why WORD --json", "hosts arm WORD --yes"} <= all_commands()
    for line in all_commands():
        parse(line)


@pytest.mark.parametrize("line", ["hosts shov WORD", "hosts show", "hosts show WORD --jsn", "machines show"])
def test_a_command_that_is_not_ours_is_found(line: str) -> None:
    with pytest.raises(click.ClickException):
        parse(line)


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


def test_the_drivers_evaluate() -> None:
    """With the real framework: every option of every node is a real one, and no assertion fails."""
    expression = "import ./tests/nix/drivers.nix"
    found = evaluate(expression, nixpkgs=given("NIXPKGS"), disko=given("DISKO"), timeout_s=1500)
    assert set(found) == set(stories())
    for name, story in found.items():
        assert "serve()" in story["script"]
        for node, facts in story["nodes"].items():
            assert not facts["failed"], (name, node)
            assert facts["units"] > 50
    install = found["install_single_disk_uefi"]["nodes"]
    assert [drive["serial"] for drive in install["blank"]["drives"]] == ["single-disk-0"]
    assert not any("user" in option for option in install["blank"]["qemu"]), "only the rack's network"
