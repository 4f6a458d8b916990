"""What makes the test image something to install from: sshd, and the programs that partition and format.

The programs are the distribution's own, with the libraries they need; busybox does the rest. `nixos-install`
and `udevadm` are small stand-ins of ours (the files beside this one).
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from image import debs

from bootstrapd.wire import cpio

HERE: Final = Path(__file__).parent
PACKAGES: Final = (
    *("openssh-server", "openssh-client"),
    *("fdisk", "dash", "util-linux", "mount", "e2fsprogs", "dosfstools", "mdadm", "lvm2"),
)
PROGRAMS: Final = (  # those that are not busybox's: it has none, or one that knows too little
    *("dash", "sshd", "ssh-keygen"),
    *("sfdisk", "lsblk", "findmnt", "wipefs", "blkid", "mount", "umount", "mke2fs", "mkfs.fat", "mdadm", "lvm"),
)
_NAMES: Final = {  # other names of them
    "dash": ("sh",),  # busybox's own prefers its applets to the programs on PATH
    "mke2fs": ("mkfs.ext4",),
    "mkfs.fat": ("mkfs.vfat",),
    "lvm": ("pvs", "vgs", "lvs", "vgchange", "pvremove", "vgremove"),
}
_LIBRARIES: Final = "lib/x86_64-linux-gnu"
_OURS: Final = ("nixos-install", "udevadm")
_SCRIPTS: Final = {  # what busybox has not got
    "nohup": "#!/bin/sh\ntrap '' HUP\nexec \"$@\"\n",
}
_ETC: Final = {
    "os-release": """\
ID=nixos
VARIANT_ID=installer
NAME="bootstrapd's test image"
PRETTY_NAME="bootstrapd's test image (no NixOS: it stands in for the installer)"
""",
    "passwd": "root:x:0:0:root:/root:/bin/sh\nsshd:x:74:74:sshd:/run/sshd:/bin/false\n",
    "group": "root:x:0:\nsshd:x:74:\ndisk:x:6:\n",
    "shadow": "root:*:1::::::\nsshd:!:1::::::\n",
    # The system's own users only: no service is asked for names.
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "ssh/sshd_config": """\
AuthorizedKeysFile /root/.ssh/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
StrictModes no
""",
    "lvm/lvm.conf": """\
devices { obtain_device_list_from_udev = 0 }
activation { udev_sync = 0 udev_rules = 0 }
""",
}


def entries(cache: Path) -> Iterator[cpio.CpioFile]:
    """What is added to the image. MissingError where the distribution does not give it."""
    tree = debs.tree(cache, "installer", PACKAGES, PROGRAMS)
    libraries: set[Path] = set()
    for name in PROGRAMS:
        program = tree.program(name)
        yield cpio.CpioFile(f"bin/{name}", program.read_bytes(), _PROGRAM)
        libraries |= tree.libraries(program)[0]
        for other in _NAMES.get(name, ()):
            yield cpio.symlink(f"bin/{other}", name)
    libraries.discard(tree.loader())
    for library in sorted(libraries):
        yield cpio.CpioFile(f"{_LIBRARIES}/{library.name}", library.read_bytes(), _PROGRAM)
    yield cpio.CpioFile(f"lib64/{tree.loader().name}", tree.loader().read_bytes(), _PROGRAM)
    for name in _OURS:
        yield cpio.CpioFile(f"bin/{name}", (HERE / name).read_bytes(), _PROGRAM)
    for name, text in _SCRIPTS.items():
        yield cpio.CpioFile(f"bin/{name}", text.encode(), _PROGRAM)
    for name, text in _ETC.items():
        yield cpio.CpioFile(f"etc/{name}", text.encode())
    yield cpio.symlink("etc/mtab", "/proc/self/mounts")
    yield cpio.symlink("sbin", "bin")  # where sshd and mdadm look for programs
    for name in ("root", "run", "mnt", "nix/store", "var/empty", "usr"):
        yield cpio.folder(name, 0o700 if name == "root" else 0o755)
    yield cpio.symlink("usr/bin", "../bin")
    yield cpio.symlink("usr/sbin", "../bin")


_PROGRAM: Final = stat.S_IFREG | 0o755
