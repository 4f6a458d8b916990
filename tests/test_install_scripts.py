"""netboot/install/*.sh, run by each POSIX shell there is against a pretended machine (see install_stage)."""

from __future__ import annotations

import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
from install_stage import BOOT_ID, DISK, DISK_BYTES, PART_BYTES, Stage

from bootstrapd import shipped

SHELLS: Final = [shell for shell in ("dash", "bash") if shutil.which(shell)]
# Debian's busybox runs its own umount and reboot before any stub: only for scripts that change nothing.
READING_SHELLS: Final = [*SHELLS, *(["busybox"] if shutil.which("busybox") else [])]
FOLDER: Final = shipped.netboot() / "install"
EDGE: Final = 2**20


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def run(stage: Stage, name: str, *disks: str, shell: str = "dash") -> tuple[int, str]:
    """As the appliance has it run: the shared part in front, on the stdin of `sh -s -- DISK…`."""
    text = (FOLDER / "common.sh").read_text() + "\n" + (FOLDER / f"{name}.sh").read_text()
    found = shutil.which(shell)
    assert found
    ended = subprocess.run(
        [found, *(["sh"] if shell == "busybox" else []), "-s", "--", *(disks or (DISK.path,))],
        input=text,
        env={"PATH": str(stage.folder / "remote"), "BOOTSTRAPD_ROOT": str(stage.root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    return ended.returncode, ended.stdout


def partitioned(stage: Stage) -> list[Path]:
    return [stage.add_block(name, PART_BYTES * 3, "vda") for name in ("vda1", "vda2")]


def stop_on(stage: Stage, stub: str, name: str) -> None:
    """What the kernel does when a holder is stopped: it goes, and nothing is held by it."""
    with (stage.folder / "remote" / stub).open("a") as file:
        blocks = '"$BOOTSTRAPD_ROOT/sys/class/block"'
        file.write(f"rm -rf {blocks}/{name} {blocks}/*/holders/{name}\n")


@pytest.mark.parametrize("shell", SHELLS)
def test_preclean_wipes_the_disk_and_its_partitions_children_first(stage: Stage, shell: str) -> None:
    first, second = partitioned(stage)
    code, said = run(stage, "preclean", shell=shell)
    assert (code, said.splitlines()[-1]) == (0, "@precleaned\t1")
    wiped = [call.split()[-1] for call in stage.called("wipefs")]
    assert wiped == [str(first), str(second), str(stage.root / "dev/vda")]
    content = (stage.root / "dev/vda").read_bytes()
    assert len(content) == DISK_BYTES
    assert not any(content[:EDGE])
    assert not any(content[-EDGE:])
    assert set(content[EDGE:-EDGE]) == {0xAA}
    assert not any(first.read_bytes()[:EDGE])


@pytest.mark.parametrize("shell", SHELLS)
def test_preclean_stops_an_old_array_and_leaves_its_other_member_alone(stage: Stage, shell: str) -> None:
    partitioned(stage)
    other = stage.add_block("sdb", DISK_BYTES)
    stage.add_block("md127", PART_BYTES)
    stage.hold("md127", "vda2", "sdb")
    stop_on(stage, "mdadm", "md127")
    code, said = run(stage, "preclean", shell=shell)
    assert code == 0, said
    assert stage.called("mdadm")[0] == f"mdadm --stop {stage.root}/dev/md127"
    assert set(other.read_bytes()) == {0xAA}
    assert not [call for call in stage.calls() if "sdb" in call]


def test_preclean_stops_inactive_arrays_without_mdadm_too(stage: Stage) -> None:
    partitioned(stage)
    stage.add_block("md127", PART_BYTES)
    stage.hold("md127", "vda2")
    (stage.root / "sys/class/block/md127/md").mkdir()
    (stage.folder / "remote" / "mdadm").unlink()
    code, said = run(stage, "preclean")
    assert code == 1
    assert "still in use by md127" in said  # this kernel does not let go
    assert (stage.root / "sys/class/block/md127/md/array_state").read_text() == "clear\n"
    assert not stage.called("wipefs")


def test_preclean_takes_lvm_on_luks_on_md_apart_from_the_top(stage: Stage) -> None:
    partitioned(stage)
    for name, mapped in (("md0", ""), ("dm-0", "crypt"), ("dm-1", "vg-root")):
        stage.add_block(name, PART_BYTES)
        if mapped:
            (stage.root / f"sys/class/block/{name}/dm").mkdir()
            (stage.root / f"sys/class/block/{name}/dm/name").write_text(f"{mapped}\n")
    stage.hold("md0", "vda1", "vda2")
    stage.hold("dm-0", "md0")
    stage.hold("dm-1", "dm-0")
    stop_on(stage, "mdadm", "md0")
    (stage.folder / "remote" / "dmsetup").write_text(
        f'#!/bin/sh\necho "dmsetup $*" >>{stage.calls_file}\ncase $3 in crypt) n=dm-0 ;; *) n=dm-1 ;; esac\n'
        f"rm -rf {stage.root}/sys/class/block/$n {stage.root}/sys/class/block/*/holders/$n\n"
    )
    code, said = run(stage, "preclean")
    assert code == 0, said
    stops = [call for call in stage.calls() if call.startswith(("dmsetup", "mdadm --stop"))]
    assert stops == [
        "dmsetup remove --retry vg-root",
        "dmsetup remove --retry crypt",
        f"mdadm --stop {stage.root}/dev/md0",
    ]


def test_preclean_unmounts_what_an_earlier_attempt_left(stage: Stage) -> None:
    partitioned(stage)
    stage.mount(
        "tmpfs / tmpfs", "/dev/vda2 /mnt ext4", "/dev/vda1 /mnt/my\\040boot vfat", "/dev/sdb1 /data ext4"
    )
    code, said = run(stage, "preclean")
    assert code == 0, said
    assert stage.called("umount") == ["umount -R /mnt/my boot", "umount -R /mnt"]


def busy(stage: Stage, calls: int) -> None:
    """The kernel refuses the first `calls` of umount."""
    stub, pause = (stage.folder / "remote" / name for name in ("umount", "sleep"))
    refusal = f"[ $(grep -c ^umount {stage.calls_file}) -gt {calls} ] || {{ echo 'umount: busy'; exit 32; }}\n"
    log, rest = stub.read_text().split("\nfor", 1)
    stub.write_text(f"{log}\n{refusal}for{rest}")
    pause.unlink()
    pause.symlink_to("/bin/true")


@pytest.mark.parametrize("shell", SHELLS)
def test_preclean_ends_an_install_that_was_given_up_and_nobody_else(stage: Stage, shell: str) -> None:
    partitioned(stage)
    stage.mount("tmpfs / tmpfs", "/dev/vda2 /mnt ext4")
    busy(stage, 2)
    with subprocess.Popen(["sleep", "60"]) as ours, subprocess.Popen(["sleep", "60"]) as other:
        for process, place in ((ours, "/mnt/nix/store/x"), (other, "/mnt-of-another")):
            (stage.root / f"proc/{process.pid}/fd").mkdir(parents=True)
            (stage.root / f"proc/{process.pid}/fd/3").symlink_to(place)
        code, said = run(stage, "preclean", shell=shell)
        assert ours.wait(10) == -9
        assert other.poll() is None
        other.kill()
    assert code == 0, said
    assert f"ending process {ours.pid}, which uses /mnt" in said


def test_preclean_ends_who_writes_to_the_disk_still_but_not_udev(stage: Stage) -> None:
    """An mkfs of an attempt that was given up: it would write into what the next one makes."""
    partitioned(stage)
    pairs = ((0, "mkfs.ext4", "vda2"), (1, "(udev-worker)", "vda"), (2, "mkfs.ext4", "vdb"))
    processes = [subprocess.Popen(["sleep", "60"]) for _ in pairs]
    for number, comm, device in pairs:
        of = stage.root / f"proc/{processes[number].pid}"
        (of / "fd").mkdir(parents=True)
        (of / "fd/4").symlink_to(stage.root / "dev" / device)
        (of / "comm").write_text(f"{comm}\n")
    code, said = run(stage, "preclean")
    assert processes[0].wait(10) == -9
    assert [process.poll() for process in processes[1:]] == [None, None]
    for process in processes[1:]:
        process.kill()
        process.wait(10)
    assert code == 0, said
    assert f"ending process {processes[0].pid}, which uses {stage.root}/dev/vda2" in said


def test_preclean_wipes_nothing_that_is_mounted_still(stage: Stage) -> None:
    partitioned(stage)
    stage.mount("tmpfs / tmpfs", "/dev/vda2 /mnt ext4")
    busy(stage, 100)
    code, said = run(stage, "preclean")
    assert code == 1
    assert said.endswith(f"preclean: {DISK.path} is still mounted at /mnt \n")
    assert not stage.called("wipefs")
    assert set((stage.root / "dev/vda").read_bytes()) == {0xAA}


def pools(stage: Stage, exported: str) -> None:
    """Two pools, of which `ours` is on the disk; `exported` is what an export does."""
    (stage.folder / "remote" / "zpool").write_text(
        f'#!/bin/sh\necho "zpool $*" >>{stage.calls_file}\n'
        f"case $1 in list) [ -e {stage.root}/exported ] || echo ours; echo theirs ;; status) case $3 in\n"
        f"ours) printf '\\t  {stage.root}/dev/vda2  ONLINE 0 0 0\\n' ;;\n"
        f"*) printf '\\t  {stage.root}/dev/vda22  ONLINE 0 0 0\\n' ;; esac ;;\n"
        f"export) {exported} ;; esac\n"
    )


def test_preclean_exports_the_pools_of_its_disks_only(stage: Stage) -> None:
    partitioned(stage)
    pools(stage, f": >{stage.root}/exported")
    code, said = run(stage, "preclean")
    assert code == 0, said
    assert [call for call in stage.called("zpool") if call.split()[1] == "export"] == ["zpool export -f ours"]


def test_preclean_wipes_nothing_below_a_pool_that_stays(stage: Stage) -> None:
    """A busy pool, or the one that the running system is on: its datasets are no devices among the mounts."""
    partitioned(stage)
    pools(stage, "exit 1")
    stage.mount("tmpfs / tmpfs", "ours/root /mnt zfs")
    code, said = run(stage, "preclean")
    assert code == 1
    assert said.endswith(f"preclean: {DISK.path} is still in use by the pool ours \n")
    assert not stage.called("wipefs")
    assert set((stage.root / "dev/vda").read_bytes()) == {0xAA}


@pytest.mark.parametrize("mount", ["/dev/vda1 / ext4", "/dev/vda2 /nix/store ext4", "/dev/vda1 /iso iso9660"])
def test_preclean_never_touches_the_running_systems_disk(stage: Stage, mount: str) -> None:
    partitioned(stage)
    stage.mount(mount)
    code, said = run(stage, "preclean")
    assert code == 1
    assert "is in use by the running system" in said
    untouched(stage)


@pytest.mark.parametrize("disks", [("/dev/disk/by-id/none",), (DISK.path, "/dev/disk/by-id/none")])
def test_preclean_does_nothing_unless_every_disk_is_there(stage: Stage, disks: tuple[str, ...]) -> None:
    partitioned(stage)
    code, said = run(stage, "preclean", *disks)
    assert (code, said) == (1, "preclean: /dev/disk/by-id/none is absent\n")
    untouched(stage)


def test_preclean_refuses_a_partition(stage: Stage) -> None:
    partitioned(stage)
    code, said = run(stage, "preclean", "/dev/vda1")
    assert (code, said) == (1, "preclean: /dev/vda1 is a partition, not a disk\n")
    untouched(stage)


def untouched(stage: Stage) -> None:
    assert not stage.calls()
    for file in stage.root.glob("dev/vd*"):
        assert set(file.read_bytes()) == {0xAA}


@pytest.mark.parametrize("shell", READING_SHELLS)
def test_probe_says_what_the_disks_are(stage: Stage, shell: str) -> None:
    stage.add_block("sda", DISK_BYTES)
    (stage.root / "sys/class/block/sda/device").mkdir()
    (stage.root / "sys/class/block/sda/device/vpd_pg80").write_bytes(b"\0\x80\0\x08  S1 2345")
    code, said = run(stage, "probe", DISK.path, "/dev/sda", "/dev/none", shell=shell)
    assert code == 0
    assert said.splitlines() == [
        "@variant\tinstaller",
        f"@disk\t{DISK.path}\twhole\t{DISK_BYTES}\tABC\tvda",
        f"@disk\t/dev/sda\twhole\t{DISK_BYTES}\t  S1 2345\tsda",
        "@disk\t/dev/none\tabsent",
    ]
    assert not stage.calls()


@pytest.mark.parametrize("shell", READING_SHELLS)
def test_verify_says_what_stands_under_mnt(stage: Stage, shell: str) -> None:
    partitioned(stage)
    stage.add_block("sdb", DISK_BYTES)
    stage.mount("tmpfs / tmpfs", "/dev/vda2 /mnt ext4", "/dev/vda1 /mnt/boot vfat", "/dev/sdb /mnt/data ext4")
    stage.mount(*(stage.root / "proc/mounts").read_text().replace(" rw 0 0", "").splitlines(), "p/x /mnt/z zfs")
    (stage.root / "blkid").write_text('/dev/vda1: LABEL_FATBOOT="X" LABEL="ESP" PARTLABEL="Y"\n')
    (stage.root / "mnt/boot/EFI/systemd").mkdir(parents=True)
    (stage.root / "mnt/boot/EFI/systemd/systemd-bootx64.efi").write_text("loader")
    (stage.root / "mnt/boot/EFI/empty.efi").touch()
    profiles = stage.root / "mnt/nix/var/nix/profiles"
    profiles.mkdir(parents=True)
    (profiles / "system").symlink_to("system-1-link")
    (profiles / "system-1-link").symlink_to("/nix/store/x-system")
    report = stage.root / "mnt/var/lib/bootstrapd-report"
    report.mkdir(parents=True)
    (report / "token").touch(mode=0o600)
    code, said = run(stage, "verify", shell=shell)
    assert code == 0, said
    owner = (report / "token").stat().st_uid
    assert set(said.splitlines()) == {
        "@mount\t/mnt\t/dev/vda2\text4\tchosen",
        "@mount\t/mnt/boot\t/dev/vda1\tvfat\tchosen",
        "@mount\t/mnt/data\t/dev/sdb\text4\telsewhere",
        "@mount\t/mnt/z\tp/x\tzfs\tunknown",
        "@esp\t/mnt/boot\tESP",
        "@loader\t/mnt/boot\tEFI/systemd/systemd-bootx64.efi",
        "@profile\t/nix/store/x-system\tmissing",
        f"@mbr\t{DISK.path}\t440",
        "@report\tserver\t",
        f"@report\ttoken\t-rw------- {owner}",
    }


def mapped(stage: Stage, name: str, target: str) -> None:
    (stage.root / "dev/mapper").mkdir(exist_ok=True)
    (stage.root / "dev/mapper" / name).symlink_to(f"../{target}")


@pytest.mark.parametrize("shell", READING_SHELLS)
@pytest.mark.parametrize(
    ("stack", "root"),
    [
        (("vda2",), "/dev/vda2 /mnt btrfs"),  # the layouts single-disk, btrfs
        (("vda2", "md127"), "/dev/md127 /mnt ext4"),  # mdadm-raid1
        (("vda2", "dm-0"), "/dev/mapper/root /mnt ext4"),  # lvm, luks
        (("vda2", "md127", "dm-1", "dm-0"), "/dev/mapper/root /mnt ext4"),  # all of them on each other
    ],
)
def test_verify_sees_through_what_a_layout_builds_on_its_disk(
    stage: Stage, shell: str, stack: tuple[str, ...], root: str
) -> None:
    partitioned(stage)
    for below, name in pairwise(stack):
        stage.add_block(name, PART_BYTES)
        stage.hold(name, below)
    mapped(stage, "root", "dm-0")
    stage.mount("tmpfs / tmpfs", root, "/dev/vda1 /mnt/boot vfat")
    _, said = run(stage, "verify", shell=shell)
    source, _, kind = root.split()
    assert f"@mount\t/mnt\t{source}\t{kind}\tchosen" in said.splitlines()


@pytest.mark.parametrize("shell", READING_SHELLS)
@pytest.mark.parametrize("stack", [("md127",), ("md127", "dm-0")])
def test_verify_sees_that_an_array_has_a_foot_on_another_disk(
    stage: Stage, shell: str, stack: tuple[str, ...]
) -> None:
    partitioned(stage)
    stage.add_block("sdb", DISK_BYTES)
    for name in stack:
        stage.add_block(name, PART_BYTES)
    stage.hold("md127", "vda2", "sdb")
    for below, name in pairwise(stack):
        stage.hold(name, below)
    stage.mount("tmpfs / tmpfs", f"/dev/{stack[-1]} /mnt ext4")
    _, said = run(stage, "verify", shell=shell)
    assert f"@mount\t/mnt\t/dev/{stack[-1]}\text4\telsewhere" in said.splitlines()


@pytest.mark.parametrize("shell", READING_SHELLS)
@pytest.mark.parametrize(
    ("kind", "source", "others", "place"),
    [
        ("btrfs", "/dev/vda2", ("vda1",), "chosen"),
        ("btrfs", "/dev/vda2", ("sdb",), "elsewhere"),
        ("bcachefs", "/dev/vda2:/dev/vda1", (), "chosen"),
        ("bcachefs", "/dev/vda2:/dev/sdb", (), "elsewhere"),
        ("bcachefs", "/dev/vda2:/dev/gone", (), "elsewhere"),
        ("nfs", "server:/dev/vda2", (), "unknown"),
        ("btrfs", "/dev/gone", (), "unknown"),
    ],
)
def test_verify_knows_every_device_of_a_file_system(
    stage: Stage, shell: str, kind: str, source: str, others: tuple[str, ...], place: str
) -> None:
    partitioned(stage)
    stage.add_block("sdb", DISK_BYTES)
    for name in ("vda2", *others):
        (stage.root / "sys/fs/btrfs/1-2-3/devices" / name).mkdir(parents=True)
    stage.mount("tmpfs / tmpfs", f"{source} /mnt {kind}")
    _, said = run(stage, "verify", shell=shell)
    assert f"@mount\t/mnt\t{source}\t{kind}\t{place}" in said.splitlines()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("members", "place"),
    [
        (("vda2",), "chosen"),  # zfs-mirror, of which one half is pretended here
        (("vda2", "sdb1"), "elsewhere"),
        (("sdb1", "vda2"), "elsewhere"),
        ((), "unknown"),
    ],
)
def test_verify_sees_which_disks_a_pool_stands_on(
    stage: Stage, shell: str, members: tuple[str, ...], place: str
) -> None:
    partitioned(stage)
    lines = "".join(f"\\t  {stage.root}/dev/{name}  ONLINE 0 0 0\\n" for name in members)
    (stage.folder / "remote" / "zpool").write_text(
        f"#!/bin/sh\n[ \"$*\" = 'status -LP rpool' ] && printf 'config:\\n\\tmirror-0 ONLINE\\n{lines}'\n"
    )
    stage.mount("tmpfs / tmpfs", "rpool/root /mnt zfs", "rpool/nix /mnt/nix zfs")
    _, said = run(stage, "verify", shell=shell)
    assert {f"@mount\t/mnt\trpool/root\tzfs\t{place}", f"@mount\t/mnt/nix\trpool/nix\tzfs\t{place}"} < set(
        said.splitlines()
    )


@pytest.mark.parametrize("shell", READING_SHELLS)
def test_running_says_which_system_answers(stage: Stage, shell: str) -> None:
    stage.give_host_key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA")
    (stage.root / "etc/ssh/ssh_host_rsa_key.pub").write_text("ssh-rsa AAAA half-a-key\n")
    stage.boot_disk(stage.built.closure)
    code, said = run(stage, "running", shell=shell)
    assert (code, said.splitlines()) == (
        0,
        [
            "@variant\t",
            "@hostkey\tssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA",
            f"@running\t{stage.built.closure}\t{BOOT_ID}",
        ],
    )
    assert not stage.calls()


def test_a_live_system_says_that_it_is_one(stage: Stage) -> None:
    assert "@variant\tinstaller\n" in run(stage, "running")[1]


def test_a_system_that_runs_from_its_disk_is_not_rebooted(stage: Stage) -> None:
    """An appliance that was killed between the event and the act tells it again."""
    stage.boot_disk(stage.built.closure)
    assert run(stage, "reboot") == (0, "@rebooting\talready\n")
    assert not stage.calls()


@pytest.mark.parametrize("shell", READING_SHELLS)
def test_verify_says_which_host_keys_were_kept(stage: Stage, shell: str) -> None:
    kept = stage.root / "mnt/etc/ssh"
    kept.mkdir(parents=True)
    (kept / "ssh_host_ed25519_key").write_text("private\n")
    (kept / "ssh_host_ed25519_key.pub").write_text("ssh-ed25519 AAAA root@live\n")
    (kept / "ssh_host_rsa_key").touch()
    (kept / "ssh_host_rsa_key.pub").write_text("ssh-rsa BBBB root@live\n")
    said = [line for line in run(stage, "verify", shell=shell)[1].splitlines() if line.startswith("@hostkey")]
    assert said == ["@hostkey\tssh-ed25519 AAAA"]


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="no shellcheck here")
@pytest.mark.parametrize("name", ["probe", "preclean", "verify", "reboot", "running"])
def test_shellcheck_has_nothing_to_say(name: str) -> None:
    text = (FOLDER / "common.sh").read_text() + (FOLDER / f"{name}.sh").read_text().removeprefix("#!/bin/sh\n")
    said = subprocess.run(["shellcheck", "-s", "sh", "-"], input=text, capture_output=True, text=True).stdout
    assert said == ""
