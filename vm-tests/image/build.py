"""Builds the test image: the distribution's kernel, busybox, and an initrd that runs the real agent.

It is no installer and says so on the console. The result is a folder that `bootstrapd images add` takes.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import stat
from pathlib import Path
from typing import Final

from image import tools
from image.kernel import Kernel, kernel
from rack.need import MissingError

from bootstrapd.wire import cpio

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
AGENT: Final = ROOT / "netboot" / "agent" / "bootstrapd-agent"
# no_timer_check: overloaded emulated machines panic with "IO-APIC + timer doesn't work!" without it.
CMDLINE: Final = "console=ttyS0 no_timer_check quiet panic=10"


def build(out: Path = ROOT / "build" / "test-image", cache: Path = ROOT / "build" / "cache") -> Path:
    """The image's folder, built again only when something that goes into it has changed."""
    source = kernel(cache)
    contents = _contents(source, cache)
    stamp = _stamp(source, contents)
    if (out / "stamp").exists() and (out / "stamp").read_text() == stamp:
        return out
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    shutil.copyfile(source.image, out / "vmlinuz")
    (out / "initrd").write_bytes(gzip.compress(cpio.build(contents), 6, mtime=0))
    manifest = {
        "format": 1,
        "kind": "linux",
        "arch": "x86_64",
        "kernel": "vmlinuz",
        "initrds": ["initrd"],
        "cmdline": CMDLINE,
        "sha256": {name: _sha256((out / name).read_bytes()) for name in ("vmlinuz", "initrd")},
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    (out / "stamp").write_text(stamp)
    return out


def _contents(source: Kernel, cache: Path) -> list[cpio.CpioFile]:
    busybox = shutil.which("busybox")
    if busybox is None:
        raise MissingError("needs busybox: apt-get install busybox-static")
    program = stat.S_IFREG | 0o755
    files = [cpio.folder(name) for name in ("dev", "proc", "sys", "tmp", "etc")]
    files += tools.entries(cache)
    files += [
        cpio.CpioFile("init", (HERE / "init").read_bytes(), program),
        cpio.CpioFile("bin/use-lease", (HERE / "use-lease").read_bytes(), program),
        cpio.CpioFile("bin/bootstrapd-agent", AGENT.read_bytes(), program),
        cpio.CpioFile("bin/busybox", Path(busybox).read_bytes(), program),
        cpio.CpioFile("modules/order", "".join(f"{file.stem}\n" for file in source.modules).encode()),
    ]
    files += [cpio.symlink(f"bin/{name}", "busybox") for name in _APPLETS.split()]
    files += [cpio.CpioFile(f"modules/{file.name}", file.read_bytes()) for file in source.modules]
    return files


def _stamp(source: Kernel, contents: list[cpio.CpioFile]) -> str:
    digest = hashlib.sha256(f"{source.version} {CMDLINE}".encode())
    for file in contents:
        digest.update(f"{file.path} {file.mode:o} {_sha256(file.data)}\n".encode())
    return digest.hexdigest() + "\n"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# What init, its DHCP script, the agent, and whoever comes in over SSH call.
_APPLETS: Final = """
awk base64 basename blockdev cat chgrp chmod chown chroot cmp cp cpio cut date dd df dirname du echo env
expr false find findfs grep gzip head hexdump id insmod ip kill killall ln ls lsmod md5sum mkdir mknod
mkswap mktemp mv od partprobe pidof poweroff printf ps readlink realpath reboot rm rmdir sed seq setsid
sha256sum sleep sort stat swapoff swapon sync tail tar tee test timeout touch tr true udhcpc uname uniq wc
wget xargs
"""


if __name__ == "__main__":
    print(build())
