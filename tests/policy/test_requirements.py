"""What hardware lacks, in words: all of it at once, and nothing that acts on a terminal."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrapd.config import parse_hosts
from bootstrapd.config.tables import GpuTable
from bootstrapd.model import Disk, Gpu, Hardware, Nic, RequiredDisk, RequiredGpu, Requires
from bootstrapd.policy.gpus import CARDS, VENDORS
from bootstrapd.policy.requirements import shortfalls

GB, TB, GIB = 10**9, 10**12, 2**30
GTX_1650, RTX_3090, A100, T4, MATROX = "10de:1f82", "10de:2204", "10de:20b5", "10de:1eb8", "102b:0536"
CIM_NODE = """
image = "installer"
[requires]
cpu.threads = 32
memory = "64G"
nic.speed = "10G"
[[requires.disk]]
type = "nvme"
size = "1T"
[[requires.disk]]
type = "nvme"
size = "2T"
[requires.gpu]
vendor = "nvidia"
memory = "12G"
compute_capability = 8.6
allow = ["10de:20b0", "10de:20b2", "10de:20b5"]
"""


def nvme(name: str, size_bytes: int) -> Disk:
    return Disk(name=name, size_bytes=size_bytes, type="nvme", model="Samsung 980", serial=f"S-{name}")


def gpus(*pci_ids: str) -> Hardware:
    return Hardware(gpus=tuple(Gpu(pci_id=pci_id) for pci_id in pci_ids))


def asks_gpu(**fields: object) -> Requires:
    return Requires(gpu=RequiredGpu(**fields))  # type: ignore[arg-type]


def cim_node() -> Requires:
    return parse_hosts({"profiles/cim-node.toml": CIM_NODE}).profiles["cim-node"].requires


GOOD = Hardware(
    cpu_threads=32,
    memory_installed_bytes=64 * GIB,
    memory_bytes=62 * GIB,
    disks=(nvme("nvme0n1", 2_000_398_934_016), nvme("nvme1n1", 1_000_204_886_016)),
    gpus=(Gpu(pci_id=MATROX), Gpu(pci_id=RTX_3090)),
    nics=(Nic(name="ens1", mac="52:54:00:aa:bb:01"), Nic(name="ens2", mac="", speed_mbps=10_000)),
)


def test_a_machine_that_has_it_all_lacks_nothing() -> None:
    assert shortfalls(GOOD, cim_node(), "cim-node") == []
    assert shortfalls(Hardware(), Requires()) == []


def test_every_reason_at_once_in_plain_words() -> None:
    poor = Hardware(
        cpu_threads=8,
        memory_installed_bytes=32 * GIB,
        disks=(nvme("nvme0n1", 2_000_398_934_016),),
        gpus=(Gpu(pci_id=GTX_1650),),
        nics=(Nic(name="ens1", mac="", speed_mbps=1000), Nic(name="ens2", mac="")),
    )
    assert shortfalls(poor, cim_node(), "cim-node") == [
        "8 CPU threads, profile cim-node wants 32",
        "32 GB memory, profile cim-node wants 64 GB",
        "no further nvme disk of at least 2 TB, found nvme0n1 (nvme, Samsung 980, serial S-nvme0n1, 2 TB)",
        "no nvidia GPU with 12 GB and compute capability 8.6, found GTX 1650 4 GB (compute capability 7.5)",
        "no network card with 10 Gb/s, found ens1 1 Gb/s and ens2 without link",
    ]


def test_the_words_of_a_machine_that_is_too_small() -> None:
    asked = Requires(memory_bytes=64 * GIB, gpu=RequiredGpu(memory_bytes=12 * GIB))
    found = shortfalls(
        Hardware(memory_installed_bytes=32 * GIB, gpus=(Gpu(pci_id=GTX_1650),)), asked, "cim-node"
    )
    assert "; ".join(found) == (
        "32 GB memory, profile cim-node wants 64 GB; no GPU with 12 GB, found GTX 1650 4 GB"
    )


@pytest.mark.parametrize(
    ("installed", "seen", "is_good"),
    [
        (64 * GIB, 62 * GIB, True),
        (64 * GIB, 50 * GIB, True),  # a crash kernel's share, or a GPU's
        (48 * GIB, 47 * GIB, False),
        (63 * GIB, 62 * GIB, False),  # SMBIOS is exact: no tolerance
        (0, 60 * GIB, True),
        (0, 60 * GIB - 1, False),
        (0, 64 * GIB, True),
        (8 * GIB, 62 * GIB, True),  # a table that leaves out what the kernel has
        (0, 0, False),
    ],
)
def test_memory_is_smbios_or_the_kernels_with_a_sixteenth(installed: int, seen: int, *, is_good: bool) -> None:
    hardware = Hardware(memory_installed_bytes=installed, memory_bytes=seen)
    assert (shortfalls(hardware, Requires(memory_bytes=64 * GIB)) == []) is is_good


def test_what_the_kernel_sees_of_the_memory_is_shown_as_it_is() -> None:
    hardware = Hardware(memory_bytes=33_567_000_000)
    assert shortfalls(hardware, Requires(memory_bytes=64 * GIB)) == ["31.3 GB memory, its profile wants 64 GB"]


def test_as_many_different_disks_as_are_asked_for() -> None:
    asked = Requires(disks=(RequiredDisk(size_bytes=TB), RequiredDisk(type="nvme", size_bytes=2 * TB)))
    hdd = Disk(name="sda", size_bytes=4 * TB, type="hdd")
    assert shortfalls(Hardware(disks=(nvme("nvme0n1", 2 * TB), hdd)), asked) == []
    assert shortfalls(Hardware(disks=(hdd, nvme("nvme0n1", 2 * TB))), asked) == []
    assert shortfalls(Hardware(disks=(hdd, hdd)), asked) == [
        "no nvme disk of at least 2 TB, found 2 x sda (hdd, no serial, 4 TB)"
    ]
    assert len(shortfalls(Hardware(disks=(nvme("nvme0n1", 2 * TB),)), asked)) == 1
    assert shortfalls(Hardware(), Requires(disks=(RequiredDisk(),))) == ["no disk, found none"]


def test_what_can_be_pulled_out_is_no_disk_of_the_machine() -> None:
    stick = Disk(name="sda", size_bytes=4 * TB, is_removable=True)
    assert shortfalls(Hardware(disks=(stick,)), Requires(disks=(RequiredDisk(),))) == ["no disk, found none"]


DISK_SIZES = st.integers(0, 4).map(lambda number: number * TB)
KINDS = st.sampled_from(["nvme", "hdd"])


@given(
    st.lists(st.tuples(KINDS, DISK_SIZES), max_size=5),
    st.lists(st.tuples(st.sampled_from(["", "nvme", "hdd"]), DISK_SIZES), max_size=4),
)
def test_disks_are_enough_when_they_can_be_dealt_out(
    there: list[tuple[str, int]], asked: list[tuple[str, int]]
) -> None:
    """Against trying every way to deal them out."""

    def can_deal(wanted: list[tuple[str, int]], left: list[tuple[str, int]]) -> bool:
        if not wanted:
            return True
        kind, size = wanted[0]
        return any(
            can_deal(wanted[1:], left[:at] + left[at + 1 :])
            for at, disk in enumerate(left)
            if kind in {"", disk[0]} and size <= disk[1] and disk[1]
        )

    disks = tuple(Disk(name=f"d{at}", type=kind, size_bytes=size) for at, (kind, size) in enumerate(there))
    required = Requires(disks=tuple(RequiredDisk(type=kind, size_bytes=size) for kind, size in asked))
    assert (shortfalls(Hardware(disks=disks), required) == []) == can_deal(asked, there)


@pytest.mark.parametrize("pci_id", ["10de:20b0", A100, RTX_3090, "10de:26b9", "10de:2330", "10de:2b85"])
def test_cim_node_takes_8_6_or_more_or_an_a100(pci_id: str) -> None:
    assert shortfalls(gpus(pci_id), Requires(gpu=cim_node().gpu)) == []


def test_an_a100_is_below_8_6_where_nobody_allowed_it() -> None:
    assert shortfalls(gpus(A100), asks_gpu(compute_capability=8.6)) == [
        "no GPU with compute capability 8.6, found A100 PCIe 80 GB (compute capability 8.0)"
    ]


def test_one_good_gpu_is_enough() -> None:
    asked = asks_gpu(vendor="nvidia", memory_bytes=12 * GIB)
    assert shortfalls(gpus(MATROX, GTX_1650, "10de:ffff", T4), asked) == []


def test_a_gpu_that_nobody_knows_is_named_with_the_way_out() -> None:
    asked = asks_gpu(vendor="nvidia", memory_bytes=12 * GIB)
    reason = 'cannot judge 10de:ffff; allow it in the profile ([requires.gpu] allow = ["10de:ffff"])'
    assert shortfalls(gpus("10de:ffff", "10de:ffff"), asked) == [reason]
    assert shortfalls(gpus(GTX_1650, "10de:ffff", MATROX, GTX_1650), asked) == [
        "no nvidia GPU with 12 GB, found 2 x GTX 1650 4 GB",
        reason,
    ]
    assert shortfalls(gpus("10de:ffff"), asks_gpu(memory_bytes=12 * GIB, allow=("10de:ffff",))) == []


def test_another_vendors_gpu_is_none() -> None:
    asked = asks_gpu(vendor="nvidia", memory_bytes=12 * GIB)
    assert shortfalls(gpus(MATROX), asked) == ["no nvidia GPU with 12 GB, found none"]


def test_a_vendor_alone_needs_no_judgement() -> None:
    assert shortfalls(gpus("1002:744c"), asks_gpu(vendor="amd")) == []
    assert shortfalls(gpus("10de:ffff"), asks_gpu()) == []
    assert shortfalls(gpus(RTX_3090), asks_gpu(vendor="amd")) == ["no amd GPU, found none"]


def test_the_cards_are_what_they_are_sold_as() -> None:
    figures = {pci_id: (card.memory_bytes // GIB, card.compute_capability) for pci_id, card in CARDS.items()}
    assert figures.items() >= {
        "10de:15f8": (16, 6.0),  # P100
        "10de:1b38": (24, 6.1),  # P40
        "10de:1db6": (32, 7.0),  # V100
        T4: (16, 7.5),
        A100: (80, 8.0),
        "10de:2236": (24, 8.6),  # A10
        "10de:27b8": (24, 8.9),  # L4
        "10de:2330": (80, 9.0),  # H100
        "10de:2901": (180, 10.0),  # B200
        "10de:2b85": (32, 12.0),  # RTX 5090
    }.items()  # fmt: skip
    assert all(card.name.isprintable() and card.name == card.name.strip() for card in CARDS.values())


def test_every_vendor_that_can_be_asked_for_has_its_pci_id() -> None:
    assert {"", *VENDORS} == set(get_args(get_type_hints(GpuTable)["vendor"]))


HOSTILE = st.text(st.characters(exclude_categories=["Cs"]), max_size=256)


@given(HOSTILE, HOSTILE, HOSTILE)
def test_no_reason_acts_on_a_terminal_or_fills_it(name: str, pci_id: str, serial: str) -> None:
    hardware = Hardware(
        disks=(Disk(name=name, size_bytes=1, model=name, serial=serial, type=pci_id),) * 50,
        gpus=tuple(Gpu(pci_id=f"10de{at}{pci_id}"[:256]) for at in range(3)),
        nics=(Nic(name=name, mac=""),) * 50,
    )
    asked = Requires(disks=(RequiredDisk(size_bytes=TB),), gpu=RequiredGpu(memory_bytes=1), nic_mbps=10)
    reasons = shortfalls(hardware, asked)
    assert len(reasons) >= 3
    assert all(reason.isprintable() and len(reason) < 2000 for reason in reasons)
