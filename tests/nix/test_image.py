"""netboot/image.nix: really built, by a shell, from a kernel and an initrd that only look like ones, and taken
up by the appliance's own code. What one of the two refuses, the other refuses."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
from nix_tools import NixError, build, evaluate

from bootstrapd.edge import image_source
from bootstrapd.edge.image_source import Manifest
from bootstrapd.edge.images import ImageStore
from bootstrapd.errors import ConfigError

SYSTEM: Final = (
    "{ module, system }: (import ./tests/nix/system.nix { inherit system; "
    "specialArgs.modulesPath = toString ./tests/nix/nixos/modules; "
    "modules = [ (./netboot + module) { nixpkgs.hostPlatform = system; } ]; }).config.system.build"
)
IMAGE: Final = """{ cmdline, arch ? "x86_64", kind ? "nixos" }:
let pkgs = import ./tests/nix/pkgs.nix { }; in
import ./netboot/image.nix { inherit (pkgs) lib; inherit pkgs; } {
  name = "installer";
  kernel = pkgs.writeText "kernel" "k";
  kernelName = "bzImage";
  initrd = pkgs.writeText "initrd" "i";
  inherit cmdline arch kind;
}"""
INIT: Final = "init=/nix/store/abc-nixos/init"


@cache
def built(module: str, cpu: str) -> Path:
    return build(f"args: (({SYSTEM}) args).bootstrapdImage", module=f"/{module}.nix", system=f"{cpu}-linux")


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests have their store elsewhere; links into it are as good as links into /nix/store."""
    monkeypatch.setattr(image_source, "STORE", built("installer", "x86_64").parent)


@pytest.mark.parametrize("module", ["installer", "discovery"])
@pytest.mark.parametrize(("cpu", "kernel"), [("x86_64", "bzImage"), ("aarch64", "Image")])
def test_the_folder_is_one_that_the_appliance_takes(tmp_path: Path, module: str, cpu: str, kernel: str) -> None:
    folder = built(module, cpu)
    store = ImageStore(tmp_path / "images")
    image = store.add(module, folder)
    assert (image.kind, image.arch, image.kernel, image.initrds) == ("nixos", cpu, kernel, ("initrd",))
    assert store.verify(module) == []
    first, *rest = image.cmdline.split()
    assert first.startswith("init=/")
    assert first.endswith(f"-nixos-system-{module}/init")
    assert "console=tty0" in rest


def test_the_manifest_has_the_keys_of_python_and_no_other() -> None:
    folder = built("installer", "x86_64")
    written: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    assert set(written) == {field.encode_name for field in msgspec.structs.fields(Manifest)}
    assert written["format"] == 1
    for name in ("bzImage", "initrd"):
        data = (folder / name).read_bytes()
        assert written["sizes"][name] == len(data)
        assert written["sha256"][name] == hashlib.sha256(data).hexdigest()
    assert set(written["sha256"]) == set(written["sizes"]) == {"bzImage", "initrd"}
    assert sorted(path.name for path in folder.iterdir()) == ["bzImage", "initrd", "manifest.json"]


def test_init_is_the_system_that_the_initrd_holds() -> None:
    folder = built("installer", "x86_64")
    init = json.loads((folder / "manifest.json").read_bytes())["cmdline"].split()[0]
    assert (folder / "initrd").read_text().split()[1] == init.removeprefix("init=").removesuffix("/init")


def refused(**args: Any) -> str:
    with pytest.raises(NixError) as error:
        evaluate(f"args: (({IMAGE}) args).name", **args)
    return error.value.message


def refused_by_python(tmp_path: Path, **args: Any) -> str:
    manifest = {"format": 1, "kind": "nixos", "arch": "x86_64", "kernel": "bzImage", "initrds": ["initrd"]}
    manifest |= {"sha256": {}, "sizes": {}, **args}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "bzImage").write_bytes(b"\0" * 0x202 + b"HdrS" + b"\0" * 100)
    (tmp_path / "initrd").write_bytes(b"i")
    with pytest.raises(ConfigError) as error:
        ImageStore(tmp_path / "images").add("installer", tmp_path)
    return str(error.value)


def test_a_sound_image_is_refused_by_neither(tmp_path: Path) -> None:
    assert evaluate(f"args: (({IMAGE}) args).name", cmdline=[INIT, "quiet"]) == "bootstrapd-installer-x86_64"
    with pytest.raises(pytest.fail.Exception):
        refused_by_python(tmp_path, cmdline=f"{INIT} quiet")


@pytest.mark.parametrize(
    "words", [[], ["console=ttyS0"], ["init=nix/store/x/init"], ["xinit=/nix/store/x/init"]]
)
def test_an_image_without_init_is_refused_by_both(tmp_path: Path, words: list[str]) -> None:
    assert "image installer: its command line has no init=/nix/store/…/init" in refused(cmdline=words)
    assert "needs init=/nix/store" in refused_by_python(tmp_path, cmdline=" ".join(words))


def test_another_kind_of_image_needs_none() -> None:
    assert evaluate(f"args: (({IMAGE}) args).name", cmdline=[], kind="linux") == "bootstrapd-installer-x86_64"


@pytest.mark.parametrize("word", ['"quoted', "it's", "a\\b", "${net0/mac}", "||", "&&", ";", "two\nlines"])
def test_what_ipxe_would_read_otherwise_is_refused_by_both(tmp_path: Path, word: str) -> None:
    assert "which means something in an iPXE script" in refused(cmdline=[INIT, word])
    assert "means something in an iPXE script" in refused_by_python(tmp_path, cmdline=f"{INIT} {word} end")


@pytest.mark.parametrize(
    ("args", "words"),
    [({"arch": "riscv64"}, "arch riscv64 is none of"), ({"kind": "bsd"}, "kind bsd is neither")],
)
def test_other_slips_are_refused_by_both(tmp_path: Path, args: dict[str, str], words: str) -> None:
    assert words in refused(cmdline=[INIT], **args)
    assert next(iter(args)) in refused_by_python(tmp_path, cmdline=INIT, **args)


def test_an_initrd_that_firmware_cannot_load_ends_the_build(tmp_path: Path) -> None:
    large = tmp_path / "initrd"
    with large.open("wb") as file:
        file.truncate(2**31)
    expression = IMAGE.replace('pkgs.writeText "initrd" "i"', "initrd").replace(
        "{ cmdline,", "{ cmdline, initrd,"
    )
    with pytest.raises(NixError) as error:
        build(f"args: ({expression}) args", cmdline=[INIT], initrd=str(large))
    assert "the initrd has 2 GiB or more" in str(error.value)


def test_initrd_words_are_the_scripts_own() -> None:
    said = evaluate(f"args: (({IMAGE}) args).env.manifest", cmdline=[INIT, "initrd=initrd", "quiet"])
    assert f'"cmdline":"{INIT} quiet"' in said
