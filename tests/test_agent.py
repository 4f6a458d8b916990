"""The agent (`netboot/agent/bootstrapd-agent`) run for real, under busybox and dash, against a fake sysfs and a
real HTTP server on loopback. What arrives is read by the appliance's own decoder."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import struct
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bootstrapd.model import Registration, decoder

AGENT = Path(__file__).parents[1] / "netboot" / "agent" / "bootstrapd-agent"
SHELLS = {"busybox": ["busybox", "sh"], "dash": ["dash"]}
ACCEPTED = b'{"status":"accepted","host":"cim-worker-1","machine":"525400aabb01"}'
DEADLINE_S = 20.0
NEEDED = (
    "awk",
    "dd",
    "grep",
    "head",
    "mktemp",
    "od",
    "readlink",
    "rm",
    "sed",
    "sleep",
    "tail",
    "timeout",
    "tr",
    "uname",
)


@dataclass
class Appliance:
    """A small HTTP server that answers registrations as told, and keeps what it was sent."""

    answers: list[tuple[int, bytes]] = field(default_factory=lambda: [(200, ACCEPTED)])
    bodies: list[bytes] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    server: ThreadingHTTPServer | None = None

    def start(self, port: int = 0) -> str:
        appliance = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                appliance.paths.append(self.path)
                appliance.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                status, body = appliance.answers.pop(0) if len(appliance.answers) > 1 else appliance.answers[0]
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,)).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()

    def registration(self) -> Registration:
        return decoder(Registration).decode(self.bodies[-1])


class Machine:
    """A folder that looks like a machine to the agent."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("dev/console", "")
        self.write("proc/cmdline", "console=ttyS0 quiet")
        self.write("proc/sys/kernel/osrelease", "6.1.0-56-amd64\n")
        self.write("proc/meminfo", "MemTotal:       65842132 kB\nMemFree:        100 kB\n")
        self.write(
            "proc/cpuinfo", "processor\t: 0\nmodel name\t: AMD EPYC 7302P\nprocessor\t: 1\nmodel name\t: x\n"
        )
        self.write("etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 root@installer\n")

    def write(self, path: str, content: str | bytes) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def overlay(self, server: str, token: str = "t0ken") -> None:
        self.write("bootstrapd/server", server + "\n")
        self.write("bootstrapd/token", token + "\n")

    def card(
        self, name: str, mac: str, *, link: bool = False, speed: str = "1000", driver: str = "virtio_net"
    ) -> None:
        for key, value in {"address": mac, "type": "1", "carrier": str(int(link)), "speed": speed}.items():
            self.write(f"sys/class/net/{name}/{key}", value + "\n")
        device = self.root / f"sys/class/net/{name}/device"
        device.mkdir()
        (device / "driver").symlink_to(f"../../../../bus/pci/drivers/{driver}")

    def disk(self, name: str, sectors: int, **files: str | bytes) -> Path:
        """`device__model="X"` writes `device/model`. Returns the disk's node in `dev/`."""
        self.write(f"sys/block/{name}/size", f"{sectors}\n")
        (self.root / f"sys/block/{name}/device").mkdir()
        for key, value in files.items():
            self.write(f"sys/block/{name}/{key.replace('__', '/')}", value)
        return self.write(f"dev/{name}", b"")

    def by_id(self, name: str, target: str) -> None:
        link = self.root / "dev/disk/by-id" / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)

    def partition(self, disk: str, name: str, sectors: int = 2048) -> Path:
        self.write(f"sys/block/{disk}/{name}/partition", "1\n")
        self.write(f"sys/block/{disk}/{name}/size", f"{sectors}\n")
        return self.write(f"dev/{name}", b"")


@dataclass
class Agent:
    """How the agent is run: the shell, the programs it finds, the machine it sees."""

    shell: list[str]
    path: str
    machine: Machine
    words: tuple[str, ...] = ()

    def start(self, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self.shell, str(AGENT), *self.words],
            env={"PATH": self.path, "BOOTSTRAPD_ROOT": str(self.machine.root), "BOOTSTRAPD_RETRY_S": "0"} | env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    def run(self, **env: str) -> tuple[int, str]:
        agent = self.start(**env)
        try:
            output, _ = agent.communicate(timeout=DEADLINE_S)
        finally:
            agent.kill()
        return agent.returncode, output


def programs(folder: Path, *names: str) -> str:
    """A PATH with these programs and no others."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    return str(folder)


@pytest.fixture(params=sorted(SHELLS))
def agent(request: pytest.FixtureRequest, tmp_path: Path) -> Agent:
    shell = SHELLS[request.param]
    where = shutil.which(shell[0])
    if where is None:
        pytest.skip(f"{shell[0]} is not installed")
    path = programs(tmp_path / "bin", *NEEDED, "cat", "mkdir", "curl")
    return Agent([where, *shell[1:]], path, Machine(tmp_path / "root"))


@pytest.fixture
def appliance() -> Iterator[Appliance]:
    appliance = Appliance()
    yield appliance
    appliance.close()


def register(agent: Agent, appliance: Appliance) -> Registration:
    agent.machine.overlay(appliance.start())
    code, output = agent.run()
    assert code == 0, output
    return appliance.registration()


def test_a_whole_machine_arrives(agent: Agent, appliance: Appliance) -> None:
    machine = agent.machine
    machine.card("ens1", "52:54:00:aa:bb:01", link=True, speed="10000", driver="mlx5_core")
    machine.card("ens2", "52:54:00:aa:bb:02", speed="-1")
    machine.write("sys/class/net/lo/type", "772\n")
    machine.write("sys/class/net/br0/type", "1\n")
    machine.write("sys/class/net/br0/address", "52:54:00:aa:bb:01\n")
    machine.disk(
        "nvme0n1", 1_953_525_168, device__model="Samsung 980", device__serial="S64DNX0R", wwid="eui.0025"
    )
    for key, value in {"class": "0x030200", "vendor": "0x10de", "device": "0x20b5"}.items():
        machine.write(f"sys/bus/pci/devices/0000:41:00.0/{key}", value + "\n")
    machine.write("sys/bus/pci/devices/0000:00:00.0/class", "0x060000\n")
    for key, value in {"product_uuid": "0011-22", "product_serial": "SN12345", "sys_vendor": "ACME"}.items():
        machine.write(f"sys/class/dmi/id/{key}", value + "\n")

    told = register(agent, appliance)

    assert appliance.paths == ["/v1/register"]
    assert (told.token, told.boot_mac) == ("t0ken", "52:54:00:aa:bb:01")
    assert told.host_key == "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"
    assert told.agent.startswith("bootstrapd-agent ")
    seen = told.hardware
    assert [(n.name, n.mac, n.driver, n.speed_mbps, n.has_link) for n in seen.nics] == [
        ("ens1", "52:54:00:aa:bb:01", "mlx5_core", 10000, True),
        ("ens2", "52:54:00:aa:bb:02", "virtio_net", 0, False),
    ]
    (disk,) = seen.disks
    assert (disk.name, disk.size_bytes, disk.model, disk.serial, disk.wwn, disk.type, disk.filesystems) == (
        ("nvme0n1", 1_000_204_886_016, "Samsung 980", "S64DNX0R", "eui.0025", "nvme", ())
    )
    assert [(g.pci_id, g.address) for g in seen.gpus] == [("10de:20b5", "0000:41:00.0")]
    assert (seen.cpu_model, seen.cpu_threads, seen.memory_bytes) == ("AMD EPYC 7302P", 2, 65842132 * 1024)
    assert (seen.uuid, seen.serial, seen.vendor, seen.product) == ("0011-22", "SN12345", "ACME", "")
    assert (seen.arch, seen.kernel) == (os.uname().machine, "6.1.0-56-amd64")


def test_it_says_in_plain_words_what_it_does(agent: Agent, appliance: Appliance) -> None:
    server = appliance.start()
    agent.machine.overlay(server + "/")
    code, output = agent.run()
    assert (code, output.splitlines()[-1]) == (0, f"bootstrapd: registered with {server} as cim-worker-1")
    assert (agent.machine.root / "dev/console").read_text() == output


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c": b"\6\0\0\0\1"},
            ("uefi", True),
        ),
        (
            {"sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c": b"\6\0\0\0\0"},
            ("uefi", False),
        ),
        ({"sys/firmware/efi/fw_platform_size": b"64\n"}, ("uefi", None)),
        ({}, ("bios", False)),
    ],
)
def test_firmware_and_secure_boot(
    agent: Agent, appliance: Appliance, files: dict[str, bytes], expected: tuple[str, bool | None]
) -> None:
    for path, content in files.items():
        agent.machine.write(path, content)
    seen = register(agent, appliance).hardware
    assert (seen.firmware, seen.secure_boot) == expected


HOSTILE = {
    b'quote " backslash \\ slash /': 'quote " backslash \\ slash /',
    b"tab\tbell\x07escape\x1b[2Jdelete\x7f": "tab\tbell\x07escape\x1b[2Jdelete\x7f",
    "Zürich Á 漢字 😀".encode(): "Zürich Á 漢字 😀",
    b"bad \xff\xfe \xc3( \xed\xa0\x80 \xf5 \xc0\x80 end \xe6\xbc": "bad �� �( � � �� end �",
    b"$(touch /tmp/x) `id` ${HOME} %s %n \\u0041 *": "$(touch /tmp/x) `id` ${HOME} %s %n \\u0041 *",
    b"A" * 5000: "A" * 200,
    b'"},{"token":"x': '"},{"token":"x',
    b"-n": "-n",
}


@pytest.mark.parametrize("raw", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_strings_stay_strings(agent: Agent, appliance: Appliance, raw: bytes) -> None:
    for key in ("product_serial", "product_name", "sys_vendor", "product_uuid"):
        agent.machine.write(f"sys/class/dmi/id/{key}", raw + b"\n")
    agent.machine.disk("sda", 2048, device__model=raw, device__serial=raw, wwid=raw)
    told = register(agent, appliance)
    (disk,) = told.hardware.disks
    seen = told.hardware
    assert {seen.serial, seen.product, seen.vendor, seen.uuid, disk.model, disk.serial, disk.wwn} == {
        HOSTILE[raw]
    }


def test_numbers_are_numbers(agent: Agent, appliance: Appliance) -> None:
    sizes = {"00012": 12, "": 0, "-1": 0, "0x10": 0, "12abc": 0, "1e9": 0, "9" * 30: 0}
    for number, size in enumerate(sizes):
        agent.machine.card(f"ens{number}", f"52:54:00:aa:bb:0{number}", speed=size)
    assert [card.speed_mbps for card in register(agent, appliance).hardware.nics] == list(sizes.values())


def test_an_empty_machine_registers_too(agent: Agent, appliance: Appliance) -> None:
    shutil.rmtree(agent.machine.root)
    agent.machine.write("dev/console", "")
    told = register(agent, appliance)
    assert (told.boot_mac, told.host_key, told.hardware.nics, told.hardware.memory_bytes) == ("", "", (), 0)


def test_what_is_no_disk_is_left_out(agent: Agent, appliance: Appliance) -> None:
    for name in ("loop0", "ram0", "zram0", "sr0", "fd0", "dm-0", "md127", "mmcblk0boot0", "mmcblk0rpmb"):
        agent.machine.disk(name, 2048)
    agent.machine.disk("sdz", 0)  # a card reader without a card
    agent.machine.disk("nvme0c0n1", 2048, hidden="1\n")  # a path of a multipath namespace
    agent.machine.write("sys/block/vdb/size", "2048\n")  # nothing behind it
    agent.machine.disk("mmcblk0", 2048)
    assert [disk.name for disk in register(agent, appliance).hardware.disks] == ["mmcblk0"]


def test_disks_are_told_apart(agent: Agent, appliance: Appliance) -> None:
    machine = agent.machine
    machine.disk(
        "sda",
        2048,
        queue__rotational="1\n",
        device__vpd_pg80=b"\0\x80\0\x0a  WD-123   ",
        device__wwid="naa.5000c5\n",
    )
    machine.disk("sdb", 2048, queue__rotational="0\n", device__wwid="t10.ATA     Samsung\n")
    machine.disk("sdc", 2048, device__vendor="QEMU    \n", queue__rotational="1\n")
    machine.disk("vda", 2048, serial="rack-1\n")
    seen = [(d.name, d.type, d.serial, d.wwn) for d in register(agent, appliance).hardware.disks]
    assert seen == [
        ("sda", "hdd", "WD-123", "0x5000c5"),
        ("sdb", "ssd", "", ""),
        ("sdc", "virtual", "", ""),
        ("vda", "virtual", "rack-1", ""),
    ]


NVME_NAMES = {
    "nvme-Samsung_980_S64DNX0R": "../../nvme0n1",
    "nvme-Samsung_980_S64DNX0R_1": "../../nvme0n1",
    "nvme-eui.0025385b21404321": "../../nvme0n1",
    "nvme-eui.0025385b21404321-part1": "../../nvme0n1p1",
    "wwn-0x50004cf-part1": "../../nvme0n1p1",
    "wwn-0x5000c500": "../../sda",
    "ata-\\x2f_odd": "../../nvme0n1",
    "lvm-pv-uuid-x": "../../nvme0n1",
}


@pytest.mark.parametrize(
    ("gone", "expected"),
    [
        ((), "nvme-eui.0025385b21404321"),
        (("nvme-eui.0025385b21404321",), "nvme-Samsung_980_S64DNX0R"),
        (tuple(name for name in NVME_NAMES if name.startswith("nvme")), ""),
    ],
)
def test_a_disk_has_the_best_name_that_stays(
    agent: Agent, appliance: Appliance, gone: tuple[str, ...], expected: str
) -> None:
    agent.machine.disk("nvme0n1", 2048)
    agent.machine.partition("nvme0n1", "nvme0n1p1")
    for name in NVME_NAMES.keys() - set(gone):
        agent.machine.by_id(name, NVME_NAMES[name])
    (disk,) = register(agent, appliance).hardware.disks
    assert disk.by_id == (f"/dev/disk/by-id/{expected}" if expected else "")


def test_a_name_in_a_folder_of_dev_is_found(agent: Agent, appliance: Appliance) -> None:
    agent.machine.disk("cciss!c0d0", 2048)
    agent.machine.by_id("scsi-3600508b1", "../../cciss/c0d0")
    (disk,) = register(agent, appliance).hardware.disks
    assert disk.by_id == "/dev/disk/by-id/scsi-3600508b1"


def move_below(machine: Machine, name: str, bus: str) -> None:
    """Makes sys/block/NAME the link that it is in a real sysfs."""
    real = machine.root / f"sys/devices/{bus}/block/{name}"
    real.parent.mkdir(parents=True, exist_ok=True)
    link = machine.root / f"sys/block/{name}"
    link.rename(real)
    link.symlink_to(f"../devices/{bus}/block/{name}")


def test_what_a_person_may_pull_out_is_removable(agent: Agent, appliance: Appliance) -> None:
    machine = agent.machine
    for name, flag in {"sda": "0", "sdb": "0", "sdc": "1", "sdd": "1", "vda": "0"}.items():
        machine.disk(name, 2048, removable=flag + "\n")
    machine.disk("mmcblk0", 2048, removable="0\n", device__type="SD\n")
    machine.disk("mmcblk1", 2048, removable="0\n", device__type="MMC\n")
    move_below(machine, "sda", "pci0000:00/0000:00:17.0/ata1/host0/target0:0:0/0:0:0:0")
    move_below(machine, "sdb", "pci0000:00/0000:00:14.0/usb2/2-1/2-1:1.0/host6/target6:0:0/6:0:0:0")
    move_below(machine, "sdd", "pci0000:00/0000:00:17.0/ata2/host1/target1:0:0/1:0:0:0")  # a hot-plug bay
    seen = {disk.name: disk.is_removable for disk in register(agent, appliance).hardware.disks}
    assert seen == {
        "mmcblk0": True,
        "mmcblk1": False,
        "sda": False,
        "sdb": True,
        "sdc": True,
        "sdd": False,
        "vda": False,
    }


def memory_device(
    size: int, *, extended: int = 0, kind: int = 0x1A, technology: int = 3, length: int = 0x5C
) -> bytes:
    """One SMBIOS structure of type 17 (SMBIOS 3.7, 7.18) with the strings that follow it."""
    record = bytearray(0x5C)
    struct.pack_into("<BBH", record, 0, 17, length, 0x1100)
    struct.pack_into("<H", record, 0x0C, size)
    record[0x12], record[0x28] = kind, technology
    struct.pack_into("<I", record, 0x1C, extended)
    return bytes(record[:length]) + b"DIMM A1\0\x11\x15\0\0"


BIOS = struct.pack("<BBH", 0, 6, 0) + b"\0\0" + b"\0\0"
END = struct.pack("<BBH", 127, 4, 0xFEFF) + b"\0\0"
SMBIOS = {
    "two of 32 GB, an empty socket": (
        BIOS + memory_device(0x7FFF, extended=32768) * 2 + memory_device(0) + END,
        64 << 30,
    ),
    "in megabytes, of SMBIOS 2.1": (memory_device(8192, length=0x15) + BIOS + END, 8 << 30),
    "in kilobytes": (memory_device(0x8000 | 1024), 1 << 20),
    "persistent memory and flash are none": (
        memory_device(8192) + memory_device(0x7FFF, extended=262144, technology=7) + memory_device(16, kind=9),
        8 << 30,
    ),
    "after the end nothing counts": (memory_device(8192) + END + memory_device(8192), 8 << 30),
    "a size that is not known": (memory_device(0xFFFF) + memory_device(8192), 0),
    "a table that is cut off": (memory_device(8192) + memory_device(8192)[:20], 8 << 30),
    "nonsense": (b"\x11\x00" * 40, 0),
    "empty": (b"", 0),
}


@pytest.mark.parametrize("case", SMBIOS)
def test_the_memory_in_the_sockets(agent: Agent, appliance: Appliance, case: str) -> None:
    table, expected = SMBIOS[case]
    agent.machine.write("sys/firmware/dmi/tables/DMI", table)
    assert register(agent, appliance).hardware.memory_installed_bytes == expected


def at(offset: int, magic: bytes, *more: tuple[int, bytes]) -> bytes:
    content = bytearray(1 << 20)
    for position, piece in ((offset, magic), *more):
        content[position : position + len(piece)] = piece
    return bytes(content)


MAGICS = {
    "ext4": at(1080, b"\x53\xef", (1120, b"\x42")),
    "ext3": at(1080, b"\x53\xef", (1116, b"\x04")),
    "ext2": at(1080, b"\x53\xef"),
    "xfs": at(0, b"XFSB"),
    "btrfs": at(65600, b"_BHRfS_M"),
    "vfat": at(82, b"FAT32"),
    "swap": at(4086, b"SWAPSPACE2"),
    "LVM2_member": at(512, b"LABELONE"),
    "linux_raid_member": at(4096, b"\xfc\x4e\x2b\xa9"),
    "zfs_member": at(16384, struct.pack(">IIIIII", 0x01010000, 0, 1, 0x24, 0x20, 7) + b"version\0"),
    "crypto_LUKS": at(0, b"LUKS\xba\xbe"),
    "ntfs": at(3, b"NTFS    "),
    "": at(0, b""),
}


def kinds(content: bytes, agent: Agent, appliance: Appliance) -> tuple[str, ...]:
    agent.machine.disk("vda", 4096)
    agent.machine.partition("vda", "vda1", len(content) // 512).write_bytes(content)
    (disk,) = register(agent, appliance).hardware.disks
    return disk.filesystems


def test_filesystems_by_their_magic(agent: Agent, appliance: Appliance) -> None:
    for number, content in enumerate(MAGICS.values(), 10):
        agent.machine.disk(f"sd{number}", len(content) // 512).write_bytes(content)
    disks = register(agent, appliance).hardware.disks
    assert [disk.filesystems for disk in disks] == [(kind,) if kind else () for kind in MAGICS]


@pytest.mark.parametrize("offset", [(1 << 20) - 8192, (1 << 20) - 65536], ids=["md 1.0", "md 0.90"])
def test_an_array_member_is_not_the_filesystem_it_holds(
    agent: Agent, appliance: Appliance, offset: int
) -> None:
    content = at(1080, b"\x53\xef", (offset, b"\xfc\x4e\x2b\xa9"))
    assert kinds(content, agent, appliance) == ("linux_raid_member",)


def test_a_huge_disk_is_not_read_through(agent: Agent, appliance: Appliance) -> None:
    size = 2 << 40
    node = agent.machine.disk("sda", size // 512)
    with node.open("r+b") as disk:
        disk.truncate(size)
        disk.seek(size - 65536)
        disk.write(b"\xfc\x4e\x2b\xa9")
    (seen,) = register(agent, appliance).hardware.disks
    assert (seen.size_bytes, seen.filesystems) == (size, ("linux_raid_member",))


def test_each_kind_once_over_all_partitions(agent: Agent, appliance: Appliance) -> None:
    agent.machine.disk("cciss!c0d0", 8192)
    for number, kind in enumerate(("vfat", "ext4", "ext4"), 1):
        agent.machine.partition("cciss!c0d0", f"cciss!c0d0p{number}")
        agent.machine.write(f"dev/cciss/c0d0p{number}", MAGICS[kind])
    (disk,) = register(agent, appliance).hardware.disks
    assert disk.filesystems == ("vfat", "ext4")


def make_filesystem(kind: str, file: Path) -> None:
    maker = shutil.which("mkfs.vfat" if kind == "vfat" else "mke2fs" if kind.startswith("ext") else "mkswap")
    if maker is None:
        pytest.skip(f"no program here makes {kind}")
    with file.open("wb") as disk:
        disk.truncate(8 << 20)
    options = {"vfat": [], "swap": []}.get(kind, ["-q", "-F", "-t", kind])
    subprocess.run([maker, *options, str(file)], check=True, capture_output=True, timeout=DEADLINE_S)


@pytest.mark.parametrize("with_blkid", [True, False])
@pytest.mark.parametrize("kind", ["ext4", "ext3", "ext2", "swap", "vfat"])
def test_real_filesystems_with_and_without_blkid(
    agent: Agent, appliance: Appliance, tmp_path: Path, kind: str, *, with_blkid: bool
) -> None:
    made = tmp_path / "made"
    make_filesystem(kind, made)
    if with_blkid:
        if shutil.which("blkid") is None:
            pytest.skip("blkid is not installed")
        programs(tmp_path / "bin", "blkid")
    assert kinds(made.read_bytes(), agent, appliance) == (kind,)


def test_another_program_called_blkid_is_not_believed(
    agent: Agent, appliance: Appliance, tmp_path: Path
) -> None:
    other = tmp_path / "bin" / "blkid"
    other.write_text('#!/bin/sh\necho "$5: TYPE=\\"ext4\\""\n')
    other.chmod(other.stat().st_mode | stat.S_IXUSR)
    assert kinds(MAGICS["xfs"], agent, appliance) == ("xfs",)


def test_the_command_line_is_enough(agent: Agent, appliance: Appliance) -> None:
    server = appliance.start()
    agent.machine.write(
        "proc/cmdline", f"quiet bootstrapd.server={server} * bootstrapd.token=a=b BOOTIF=01-52-54-00-AA-BB-02\n"
    )
    code, output = agent.run()
    assert code == 0, output
    told = appliance.registration()
    assert (told.token, told.boot_mac) == ("a=b", "52:54:00:aa:bb:02")


def test_the_overlay_outranks_the_command_line(agent: Agent, appliance: Appliance) -> None:
    agent.machine.write("proc/cmdline", "bootstrapd.server=http://127.0.0.1:9 bootstrapd.token=old")
    assert register(agent, appliance).token == "t0ken"


def test_the_default_routes_card_is_the_boot_mac(agent: Agent, appliance: Appliance) -> None:
    agent.machine.card("ens1", "52:54:00:aa:bb:01", link=True)
    agent.machine.card("ens2", "52:54:00:aa:bb:02", link=True)
    agent.machine.write(
        "proc/net/route", "Iface\tDestination\tGateway\nens1\t000011AC\t0\nens2\t00000000\t0100000A\n"
    )
    assert register(agent, appliance).boot_mac == "52:54:00:aa:bb:02"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no appliance to register with"),
        ({"bootstrapd/server": "http://127.0.0.1:9\n"}, "no token to register with"),
        ({"bootstrapd/server": "10.77.0.2\n", "bootstrapd/token": "x"}, "10.77.0.2 is no URL"),
    ],
)
def test_without_address_or_token_it_says_so(agent: Agent, files: dict[str, str], words: str) -> None:
    for path, content in files.items():
        agent.machine.write(path, content)
    code, output = agent.run()
    assert code == 2
    assert words in output


def test_without_a_client_it_says_so(tmp_path: Path) -> None:
    agent = Agent(
        [shutil.which("dash") or "sh"], programs(tmp_path / "bin", *NEEDED), Machine(tmp_path / "root")
    )
    agent.machine.overlay("http://127.0.0.1:9")
    assert agent.run() == (2, "bootstrapd: needs curl or wget to register with http://127.0.0.1:9\n")


def test_a_refusal_ends_it_with_the_reason(agent: Agent, appliance: Appliance) -> None:
    appliance.answers = [
        (403, b'{"status": "refused", "reason": "the token was \\"spent\\" \x1b[2Jby another machine"}')
    ]
    server = appliance.start()
    agent.machine.overlay(server)
    code, output = agent.run()
    assert code == 1
    assert (
        output.splitlines()[-1]
        == f'bootstrapd: {server} refused this machine: the token was "spent" [2Jby another machine'
    )
    assert len(appliance.bodies) == 1


def test_a_busy_appliance_is_asked_again(agent: Agent, appliance: Appliance) -> None:
    appliance.answers = [(503, b""), (500, b"oops"), (201, ACCEPTED)]
    agent.machine.overlay(appliance.start())
    code, output = agent.run(BOOTSTRAPD_RETRY_S="0 0")
    assert code == 0, output
    assert output.count("not ready for us") == 2
    assert len(set(appliance.bodies)) == 1


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_an_appliance_that_comes_late_is_found(agent: Agent, appliance: Appliance) -> None:
    port = free_port()
    agent.machine.overlay(f"http://127.0.0.1:{port}")
    running = agent.start(BOOTSTRAPD_RETRY_S="0", BOOTSTRAPD_SLOW_RETRY_S="0.05")
    with running:
        assert running.stdout is not None
        for line in running.stdout:
            if "not registered after 2 tries" in line:
                break
        appliance.start(port)
        output, _ = running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 0, output
    assert output.endswith(f"bootstrapd: registered with http://127.0.0.1:{port} as cim-worker-1\n")


@pytest.fixture
def wget_agent(agent: Agent, tmp_path: Path) -> Agent:
    """Without curl: busybox's wget, as in a small image."""
    if shutil.which("busybox") is None:
        pytest.skip("busybox is not installed")
    (tmp_path / "bin" / "curl").unlink()
    wget = tmp_path / "bin" / "wget"
    wget.write_text(f'#!/bin/sh\nexec {shutil.which("busybox")} wget "$@"\n')
    wget.chmod(0o755)
    return agent


def test_wget_registers(wget_agent: Agent, appliance: Appliance) -> None:
    wget_agent.machine.card("ens1", "52:54:00:aa:bb:01", link=True)
    assert register(wget_agent, appliance).boot_mac == "52:54:00:aa:bb:01"


def test_wget_reads_a_refusal_off_the_status_line(wget_agent: Agent, appliance: Appliance) -> None:
    appliance.answers = [(409, b"")]
    wget_agent.machine.overlay(appliance.start())
    code, output = wget_agent.run()
    assert code == 1
    assert output.endswith(" refused this machine: it answered 409 Conflict\n")


def test_wget_asks_a_busy_appliance_again(wget_agent: Agent, appliance: Appliance) -> None:
    appliance.answers = [(503, b""), (200, ACCEPTED)]
    wget_agent.machine.overlay(appliance.start())
    code, output = wget_agent.run()
    assert code == 0, output
    assert "answered 503, not ready for us" in output


def test_wget_says_why_nobody_answers(wget_agent: Agent, appliance: Appliance) -> None:
    port = free_port()
    wget_agent.machine.overlay(f"http://127.0.0.1:{port}")
    running = wget_agent.start(BOOTSTRAPD_RETRY_S="0", BOOTSTRAPD_SLOW_RETRY_S="0.05")
    with running:
        assert running.stdout is not None
        for line in running.stdout:
            if "cannot reach" in line:
                break
        appliance.start(port)
        running.communicate(timeout=DEADLINE_S)
    assert "refused" in line
    assert running.returncode == 0


def test_a_host_key_is_made_where_there_is_none(agent: Agent, appliance: Appliance, tmp_path: Path) -> None:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("ssh-keygen is not installed")
    programs(tmp_path / "bin", "ssh-keygen")
    (agent.machine.root / "etc/ssh/ssh_host_ed25519_key.pub").unlink()
    told = register(agent, appliance)
    made = (agent.machine.root / "etc/ssh/ssh_host_ed25519_key.pub").read_text()
    assert told.host_key.startswith("ssh-ed25519 AAAA")
    assert made.startswith(told.host_key)
    assert "its SSH host key is SHA256:" in (agent.machine.root / "dev/console").read_text()


def test_without_ssh_keygen_it_goes_on_without(agent: Agent, appliance: Appliance) -> None:
    (agent.machine.root / "etc/ssh/ssh_host_ed25519_key.pub").unlink()
    assert register(agent, appliance).host_key == ""
    assert "no ssh-keygen to make one" in (agent.machine.root / "dev/console").read_text()


def test_shellcheck_has_nothing_to_say() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    checked = subprocess.run(["shellcheck", "-s", "sh", str(AGENT)], capture_output=True, text=True, timeout=60)
    assert (checked.returncode, checked.stdout) == (0, "")
