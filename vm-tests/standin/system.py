"""What the stand-in builds for a host: the disko script of its layout, and a small system that boots."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from standin.layout import Devices, disko_script
from standin.store import Store, on_machines

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
VERSION = "25.05pre-standin"
KERNEL_PARAMETERS = "console=ttyS0 no_timer_check quiet panic=10"
UNIT = "etc/systemd/system/bootstrapd-report.service"
FAULTS = {  # what a host's label `standin` asks for: for stories of what goes wrong
    "does not build": "the build fails",
    "no loader": "the boot loader's step does nothing, and says that all went well",
    "loader fails": "the boot loader's step fails, which nixos-install passes over",
    "hangs": "the boot loader's step never ends",
    "no report unit": "the system could not report",
    "another system": "what boots is not what was installed",
}


class BuildError(Exception):
    """In nix's words."""


def build(folder: Path, host: str, attribute: str, store: Store) -> Path:
    """The store path of the host's `toplevel` or `diskoScript`."""
    file = folder / host / "host.toml"
    if not file.exists() or attribute not in _BUILDERS:
        wanted = f'nixosConfigurations."{host}".config.system.build.{attribute}'
        raise BuildError(f"flake 'path:{folder}' does not provide attribute '{wanted}'")
    facts = tomllib.loads(file.read_text())
    fault = facts.get("labels", {}).get("standin", "")
    if fault and fault not in FAULTS:
        raise BuildError(f"{file}: label standin = {fault!r} is none of: {', '.join(FAULTS)}")
    if fault == "does not build":
        raise BuildError(
            f"builder for '{store.folder}/{'0' * 32}-nixos-system-{host}.drv' failed with exit code 2;\n"
            "       last 1 log lines:\n       > cc: fatal error: no input files"
        )
    devices = Devices(_evaluate(folder, host, facts["profile"]))
    return _BUILDERS[attribute](host, devices, fault, store)


def parts() -> Path:
    """Where parts.py put them."""
    return Path(os.environ.get("NIX_STANDIN_PARTS", ROOT / "build" / "standin"))


def _evaluate(folder: Path, host: str, profile: str) -> dict[str, Any]:
    """The layout's disko.devices for the chosen disks."""
    facts = tomllib.loads(_shared(folder, f"profiles/{profile}.toml").read_text())
    name = facts.get("layout", "")
    if not name:
        raise BuildError(f"the profile {profile} names no layout")
    layout = _shared(folder, f"layouts/{name}.nix")
    chosen = folder / host / "disks.json"
    disks = chosen.read_text() if chosen.exists() else '{"main": "/dev/disk/by-id/not-chosen-yet"}'
    expression = f"""
        let
          layout = import {layout};
          disks = builtins.fromJSON (builtins.readFile {json.dumps(str(_kept(disks)))});
          profile.esp_label = {json.dumps(facts.get("esp_label", "ESP"))};
          given = {{ inherit disks profile; lib = {{ }}; }};
          arguments = builtins.intersectAttrs (builtins.functionArgs layout) given;
        in
        (if builtins.isFunction layout then layout arguments else layout).disko.devices"""
    argv = [
        str(parts() / "nix-instantiate"),
        "--store",
        "dummy://",
        "--eval",
        "--strict",
        "--json",
        "-E",
        expression,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(done.stderr.strip().removeprefix("error:").strip())
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def _kept(text: str) -> Path:
    """The disks in a file of their own, which nobody rewrites while it is read."""
    file = (
        Path(os.environ.get("TMPDIR", "/tmp"))
        / f"standin-disks-{hashlib.sha256(text.encode()).hexdigest()[:16]}.json"
    )
    file.write_text(text)
    return file


def _shared(folder: Path, name: str) -> Path:
    """A profile or layout: the operator's own, else the one that bootstrapd brings."""
    for place in (folder, ROOT / "hosts"):
        if (place / name).exists():
            return place / name
    raise BuildError(f"there is no {folder / name}")


def _disko(_host: str, devices: Devices, _fault: str, store: Store) -> Path:
    script = disko_script(devices).encode()
    return store.add("disko", script, (), _file(script))


def _toplevel(host: str, devices: Devices, fault: str, store: Store) -> Path:
    kernel = _part(store, "linux", "bzImage")
    initrd = _part(store, "initrd", "initrd")
    grub = _part(store, "grub", "BOOTX64.EFI", "core.img", "boot.img")
    busybox = store.add("busybox", _bytes("busybox"), (), _busybox)
    agent = store.add(
        "bootstrapd-agent",
        _bytes("bootstrapd-agent"),
        (),
        _folder({"bin/bootstrapd-agent": _bytes("bootstrapd-agent")}),
    )
    references = (kernel, initrd, grub, busybox, agent)
    files = _system_files(devices, fault)
    name = f"nixos-system-{host}-{VERSION}"
    identity = repr((files, references)).encode()
    words = {
        "busybox": on_machines(busybox),
        "agent": on_machines(agent),
        "kernel": kernel.name,
        "initrd": initrd.name,
        "grub": grub.name,
        "cmdline": f"root=LABEL={devices.root_label} {KERNEL_PARAMETERS}",
        "title": f"{host}, a stand-in for NixOS",
    }

    def fill(new: Path) -> None:
        # Its own path is in its files: the name that `add` gave the unfinished folder tells it.
        final = re.sub(r"^\.|\.\d+$", "", new.name)
        own = {**words, "system": f"/nix/store/{final}"}
        _folder({path: _filled(text, own).encode() for path, text in files.items()})(new)

    return store.add(name, identity, references, fill)


def _system_files(devices: Devices, fault: str) -> dict[str, str]:
    read = {
        name: (HERE / "system" / name).read_text() for name in ("init", "use-lease", "switch-to-configuration")
    }
    files = {
        "init": read["init"],
        "bin/use-lease": read["use-lease"].replace("#!/bin/busybox sh", "#!@busybox@/bin/sh"),
        "bin/switch-to-configuration": read["switch-to-configuration"],
        UNIT: (
            "[Unit]\nDescription=Report to bootstrapd\n\n[Service]\nType=oneshot\n"
            "ExecStart=@agent@/bin/bootstrapd-agent report\n"
        ),
        "etc/os-release": 'ID=nixos\nPRETTY_NAME="a stand-in for NixOS, of bootstrapd\'s vm-tests"\n',
        "nixos-version": VERSION,
        "system": "x86_64-linux",
        "kernel-params": "@cmdline@",
    }
    bios = "\n".join(f"install_bios {disk} {number}" for disk, number in devices.bios_boot)
    loader = files["bin/switch-to-configuration"].replace("@bios@", bios)
    steps = {
        "no loader": "#!/bin/sh\n",
        "loader fails": "#!/bin/sh\necho 'Failed to install bootloader' >&2\nexit 1\n",
        "hangs": "#!/bin/sh\nwhile :; do sleep 3600; done\n",
    }
    files["bin/switch-to-configuration"] = steps.get(fault, loader)
    if fault == "no report unit":
        del files[UNIT]
    if fault == "another system":
        files["init"] = files["init"].replace("ln -sfn @system@ /run", "ln -sfn @system@-of-another-time /run")
    return files


def _filled(text: str, words: dict[str, str]) -> str:
    for _ in range(2):  # a word may hold another
        text = re.sub(r"@(\w+)@", lambda match: words.get(match[1], match[0]), text)
    return text


def _bytes(name: str) -> bytes:
    return (parts() / name).read_bytes()


def _part(store: Store, name: str, *files: str) -> Path:
    contents = {file: _bytes(file) for file in files}
    return store.add(name, hashlib.sha256(b"".join(contents.values())).digest(), (), _folder(contents))


def _folder(files: dict[str, bytes]) -> Callable[[Path], None]:
    def fill(new: Path) -> None:
        for name, data in files.items():
            file = new / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            file.chmod(0o555 if data.startswith((b"#!", b"\x7fELF")) else 0o444)

    return fill


def _file(data: bytes) -> Callable[[Path], None]:
    def fill(new: Path) -> None:
        new.write_bytes(data)
        new.chmod(0o555)

    return fill


def _busybox(new: Path) -> None:
    (new / "bin").mkdir(parents=True)
    program = new / "bin" / "busybox"
    shutil.copyfile(parts() / "busybox", program)
    program.chmod(0o555)
    listed = subprocess.run([str(program), "--list"], capture_output=True, text=True, check=True).stdout.split()
    for name in listed:
        if name != "busybox":
            (new / "bin" / name).symlink_to("busybox")


_BUILDERS: dict[str, Callable[[str, Devices, str, Store], Path]] = {
    "toplevel": _toplevel,
    "diskoScript": _disko,
}
