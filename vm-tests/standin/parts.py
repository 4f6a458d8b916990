"""The parts of the stand-in's systems, built once: kernel, initrd, programs, boot loaders, and a Nix evaluator.

`nix` (the stand-in beside this file) puts them together as store paths, a system for each host.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Final

from image import debs
from image.kernel import kernel
from rack.need import MissingError

from bootstrapd.wire import cpio

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
AGENT: Final = ROOT / "netboot" / "agent" / "bootstrapd-agent"
MODULES: Final = ("virtio_pci", "virtio_net", "virtio_blk", "nvme", "crc32c_generic", "ext4")
# The loader finds the EFI system partition by its label, on whatever disk it is: that is what the layouts
# promise, and it works too when iPXE started it, which does not tell a loader what disk it came from.
GRUB_START: Final = "search.fs_label ESP root\nset prefix=($root)/grub\nconfigfile /grub/grub.cfg\n"
_GRUB: Final = (
    *("part_gpt", "fat", "search", "search_label", "normal", "configfile"),
    *("linux", "boot", "serial", "terminal"),
)
_TARGETS: Final = {  # GRUB's name of a firmware: what is made for it, modules only it has
    "i386-pc": ("core.img", ("biosdisk",)),
    "x86_64-efi": ("BOOTX64.EFI", ()),
}


def build(out: Path = ROOT / "build" / "standin", cache: Path = ROOT / "build" / "cache") -> Path:
    """The folder with the parts, built again when something of them has changed, or MissingError."""
    source = kernel(cache)
    grub = debs.tree(cache, "grub", ("grub-common", "grub-pc-bin", "grub-efi-amd64-bin"), ("grub-mkimage",))
    nix = debs.tree(cache, "nix", ("nix-bin",), ("nix-instantiate",))
    initrd = gzip.compress(cpio.build(_initrd(source.only(*MODULES))), 6, mtime=0)
    wanted = hashlib.sha256(
        initrd + AGENT.read_bytes() + repr((source.version, GRUB_START)).encode()
    ).hexdigest()
    if (out / "stamp").exists() and (out / "stamp").read_text() == wanted:
        return out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    shutil.copyfile(source.image, out / "bzImage")
    (out / "initrd").write_bytes(initrd)
    shutil.copyfile(_busybox(), out / "busybox")
    shutil.copyfile(AGENT, out / "bootstrapd-agent")
    (out / "kernel-version").write_text(source.version)
    _grub(grub, out)
    _evaluator(nix, out / "nix-instantiate")
    (out / "stamp").write_text(wanted)
    return out


def _initrd(modules: list[Path]) -> list[cpio.CpioFile]:
    program = stat.S_IFREG | 0o755
    files = [cpio.folder(name) for name in ("dev", "proc", "sys", "sysroot")]
    files += [
        cpio.CpioFile("init", (HERE / "system" / "stage-1").read_bytes(), program),
        cpio.CpioFile("bin/busybox", _busybox().read_bytes(), program),
        cpio.CpioFile("modules/order", "".join(f"{file.stem}\n" for file in modules).encode()),
    ]
    return files + [cpio.CpioFile(f"modules/{file.name}", file.read_bytes()) for file in modules]


def _busybox() -> Path:
    found = shutil.which("busybox")
    if found is None:
        raise MissingError("needs busybox: apt-get install busybox-static")
    return Path(found)


def _grub(grub: debs.Tree, out: Path) -> None:
    (out / "grub-start.cfg").write_text(GRUB_START)
    for target, (name, extra) in _TARGETS.items():
        folder = grub.root / "usr" / "lib" / "grub" / target
        argv = [*grub.command("grub-mkimage"), "--directory", str(folder), "--format", target]
        argv += ["--prefix", "/grub", "--config", str(out / "grub-start.cfg"), "--output", str(out / name)]
        subprocess.run([*argv, *_GRUB, *extra], check=True, capture_output=True, timeout=60)
    shutil.copyfile(grub.root / "usr" / "lib" / "grub" / "i386-pc" / "boot.img", out / "boot.img")


def _evaluator(nix: debs.Tree, file: Path) -> None:
    argv = " ".join(f"'{word}'" for word in nix.command("nix-instantiate"))
    file.write_text(f'#!/bin/sh\nexec {argv} "$@"\n')
    file.chmod(0o755)


if __name__ == "__main__":
    print(build())
