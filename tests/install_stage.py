"""A stage for the supervisor: a pretended machine in a folder, and stand-ins for nix, nixos-anywhere and ssh.

The real scripts of netboot/install run against the folder (BOOTSTRAPD_ROOT), with a PATH that holds harmless
tools and stubs and nothing else: they cannot reach this machine's disks, mounts, swap or power. Every stand-in
writes its name and arguments to `calls`. What a scene does otherwise is a shell snippet in `scenes/<name>.sh`.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Final

from install_values import job

from bootstrapd import shipped
from bootstrapd.edge.installer import Gate, Installer
from bootstrapd.model import ChosenDisk
from bootstrapd.policy.install import Built, Job, Limits, Progress, Tools

BOOT_ID: Final = "5d0a1bd8-6a0f-4c52-9d2c-7d7a53a1a001"
DISK_BYTES: Final = 4 * 2**20
PART_BYTES: Final = 2**20
DISK: Final = ChosenDisk(role="main", path="/dev/disk/by-id/virtio-ABC", size_bytes=DISK_BYTES, serial="ABC")
HARMLESS: Final = (
    *("sh", "cat", "sed", "tr", "readlink", "dd", "wc", "head", "tail", "awk"),
    *("grep", "find", "ls", "printf", "tac", "env", "rm", "mkdir", "cp", "sleep", "sort"),
)
STUBS: Final = (
    *("umount", "swapoff", "wipefs", "mdadm", "dmsetup", "udevadm", "zpool"),
    *("blkid", "blockdev", "sync", "reboot", "systemctl", "nohup", "setsid"),
)
ON_CALL: Final = {
    "blockdev": 'for p in 1 2; do rm -rf "$BOOTSTRAPD_ROOT/sys/class/block/vda/vda$p" '
    '"$BOOTSTRAPD_ROOT/sys/class/block/vda$p"; done',
    "blkid": '[ ! -e "$BOOTSTRAPD_ROOT/blkid" ] || cat "$BOOTSTRAPD_ROOT/blkid"',
    "umount": 'for at; do :; done; at=$(printf %s "$at" | sed "s/ /.040/g")\n'
    "mounts=$BOOTSTRAPD_ROOT/proc/mounts\n"
    'left=$(grep -v "^[^ ]* $at[ /]" $mounts); printf "%s\\n" "$left" >$mounts',
    "zpool": "exit 1",
}
NIXOS_ANYWHERE: Final = """
say() {{ echo "### $1 ###"; }}
[ -e /proc/self/fd/0 ] && [ "$(readlink /proc/self/fd/0)" = /dev/null ] || echo "stdin is no /dev/null"
phase=$2
for arg; do [ "$before" != --extra-files ] || extra=$arg; before=$arg; done
say "Uploading install SSH keys"
[ ! -e {scenes}/$phase.sh ] || . {scenes}/$phase.sh
case $phase in
disko)
    say "Formatting hard drive with disko"
    printf '/dev/vda2 /mnt ext4 rw 0 0\\n/dev/vda1 /mnt/boot vfat rw 0 0\\n' >>{root}/proc/mounts
    for p in 1 2; do
        mkdir -p {root}/sys/class/block/vda/vda$p {root}/sys/class/block/vda$p/holders {root}/mnt/boot
        echo 2048 | tee {root}/sys/class/block/vda/vda$p/partition >{root}/sys/class/block/vda$p/size
    done
    ;;
install)
    say "Uploading the system closure"
    echo "copying 2 paths..."
    echo "copying path '/nix/store/a' to 'ssh://root@x'..."
    [ -z "$extra" ] || cp -a "$extra/." {root}/mnt
    say "Installing NixOS"
    case " $* " in *" --copy-host-keys "*)
        mkdir -p {root}/mnt/etc/ssh
        cp -a {root}/etc/ssh/ssh_host_* {root}/mnt/etc/ssh
    esac
    mkdir -p {root}/mnt/nix/var/nix/profiles {root}/mnt{closure} {root}/mnt/boot/EFI/BOOT
    ln -s system-1-link {root}/mnt/nix/var/nix/profiles/system
    ln -s {closure} {root}/mnt/nix/var/nix/profiles/system-1-link
    echo loader >{root}/mnt/boot/EFI/BOOT/BOOTX64.EFI
    echo '/dev/vda1: LABEL_FATBOOT="ESP" LABEL="ESP" UUID="1-2" PARTLABEL="disk-main-ESP"' >{root}/blkid
    [ ! -e {scenes}/installed.sh ] || . {scenes}/installed.sh
    echo "installation finished!"
    ;;
esac
say Done!
"""


class Stage:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.jobs = folder / "jobs"
        self.scenes = folder / "scenes"
        self.tools = folder / "tools"
        self.calls_file = folder / "calls"
        store = folder / "store"
        self.built = Built(closure=f"{store}/{'a' * 32}-system", disko=f"{store}/{'b' * 32}-disko")
        self.told: list[Progress] = []
        self.gates: list[tuple[str, Built | None]] = []
        for each in (self.jobs, self.scenes, self.tools, store):
            each.mkdir()
        self._make_machine()
        self._make_store()
        self._make_remote_path()
        self._make_tools()

    def scene(self, name: str, text: str) -> None:
        (self.scenes / f"{name}.sh").write_text(text)

    def installer(self, **limits: Any) -> Installer:
        tools = Tools(scripts=str(shipped.netboot() / "install"), path=f"{self.tools}:{os.environ['PATH']}")
        return Installer(tools, Limits(**({"grace_s": 1.0} | limits)), self.jobs)

    def job(self, **changes: Any) -> Job:
        return job(**({"disks": (DISK,), "flake": str(self.folder)} | changes))

    async def gate(self, phase: str, built: Built | None) -> None:
        self.gates.append((phase, built))

    def tell(self, progress: Progress) -> None:
        self.told.append(progress)

    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []

    def called(self, name: str) -> list[str]:
        return [call for call in self.calls() if call.split()[0] == name]

    def add_block(self, name: str, size: int, parent: str = "") -> Path:
        """A block device of the machine; a partition where it has a parent."""
        sys_folder = self.root / "sys/class/block" / name
        (sys_folder / "holders").mkdir(parents=True)
        (sys_folder / "size").write_text(f"{size // 512}\n")
        if parent:
            inside = self.root / "sys/class/block" / parent / name
            inside.mkdir()
            for folder in (inside, sys_folder):
                (folder / "partition").write_text("1\n")
        device = self.root / "dev" / name
        device.write_bytes(b"\xaa" * size)
        return device

    def hold(self, holder: str, *names: str) -> None:
        for name in names:
            (self.root / "sys/class/block" / name / "holders" / holder).mkdir()
            (self.root / "sys/class/block" / holder / "slaves" / name).mkdir(parents=True)

    def mount(self, *lines: str) -> None:
        (self.root / "proc/mounts").write_text("".join(f"{line} rw 0 0\n" for line in lines))

    def give_host_key(self, public: str) -> None:
        """The live system's sshd has this key."""
        (self.root / "etc/ssh").mkdir()
        (self.root / "etc/ssh/ssh_host_ed25519_key").write_text("private\n")
        (self.root / "etc/ssh/ssh_host_ed25519_key.pub").write_text(f"{public} root@live\n")

    def boot_disk(self, closure: str) -> None:
        """The machine runs this system from its disk now."""
        (self.root / "etc/os-release").write_text("ID=nixos\nVERSION_ID=25.11\n")
        (self.root / "run").mkdir()
        (self.root / "run/current-system").symlink_to(closure)
        (self.root / "proc/sys/kernel/random").mkdir(parents=True)
        (self.root / "proc/sys/kernel/random/boot_id").write_text(f"{BOOT_ID}\n")

    def remote(self) -> str:
        """The command with which a shell line runs on the pretended machine."""
        return f"env -i PATH={self.folder}/remote BOOTSTRAPD_ROOT={self.root} sh -c"

    def _make_machine(self) -> None:
        for folder in ("etc", "proc", "sys/class/block", "dev/disk/by-id", "mnt"):
            (self.root / folder).mkdir(parents=True)
        (self.root / "etc/os-release").write_text('ID=nixos\nVARIANT_ID="installer"\n')
        self.mount("tmpfs / tmpfs", "proc /proc proc")
        self.add_block("vda", DISK_BYTES)
        (self.root / "sys/class/block/vda/serial").write_text("ABC\n")
        (self.root / DISK.path[1:]).symlink_to("../../vda")

    def _make_store(self) -> None:
        units = Path(self.built.closure) / "etc/systemd/system"
        units.mkdir(parents=True)
        (units / "bootstrapd-report.service").touch()
        Path(self.built.disko).write_text(f"disk={DISK.path}\n")

    def _make_remote_path(self) -> None:
        remote = self.folder / "remote"
        remote.mkdir()
        for name in HARMLESS:
            found = shutil.which(name)
            assert found, name
            (remote / name).symlink_to(found)
        for name in STUBS:
            self._program(remote / name, f'echo "{name} $*" >>{self.calls_file}\n{ON_CALL.get(name, "")}\n')

    def _make_tools(self) -> None:
        calls, scenes = self.calls_file, self.scenes
        log = f'echo "${{0##*/}} $*" >>{calls}\nenv >>{self.folder}/environments\n'
        self._program(
            self.tools / "nix",
            f"{log}[ ! -e {scenes}/nix.sh ] || . {scenes}/nix.sh\n"
            f"case $* in *diskoScript*) echo {self.built.disko} ;; *) echo {self.built.closure} ;; esac\n",
        )
        self._program(
            self.tools / "ssh",
            f"{log}[ ! -e {scenes}/ssh.sh ] || . {scenes}/ssh.sh\n"
            f'for command; do :; done\nexec {self.remote()} "$command"\n',
        )
        body = NIXOS_ANYWHERE.format(scenes=scenes, root=self.root, closure=self.built.closure)
        self._program(self.tools / "nixos-anywhere", log + body)

    def _program(self, file: Path, text: str) -> None:
        file.write_text(f"#!/bin/sh\n{text}")
        file.chmod(0o755)


async def run_forever(folder: str) -> None:
    """An appliance to be killed: the job of a stage that was made before, by a process of its own."""
    stage = Stage.__new__(Stage)
    stage.folder = Path(folder)
    stage.jobs, stage.tools = stage.folder / "jobs", stage.folder / "tools"
    gate: Gate = _no_gate
    await stage.installer().run(stage.job(), gate, lambda _: None)


async def _no_gate(phase: str, built: Built | None) -> None:
    """Lets everything pass."""


def hang(said: Path | str = "/dev/null", *, deaf: bool = False) -> str:
    """A scene that never ends, with a child; their ids go to `said`. Deaf: only KILL ends them."""
    lines = (
        "trap '' TERM" if deaf else ":",  # what is ignored stays so in a child
        "tail -f /dev/null &",
        f"echo $$ $! >{said}",
        "echo hanging",
        "tail -f /dev/null",
    )
    return "\n".join(lines) + "\n"
