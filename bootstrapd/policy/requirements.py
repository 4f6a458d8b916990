"""Is a machine's hardware what its profile asks for: every reason why not, at once, each for a person to read.

A profile's figures are what the makers print on the box: disks count in thousands, memory in 1,024s. Memory is
what SMBIOS says is in the sockets; where it does not say, the kernel's MemTotal, which firmware and kernel have
taken up to a sixteenth from. sysfs gives PCI ids of GPUs and nothing more: `policy.gpus` knows the rest, and a
profile can allow ids that it does not know, or that a person judges otherwise (an A100 where 8.6 is asked for).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from bootstrapd.model import Disk, Gpu, Hardware, RequiredDisk, RequiredGpu, Requires
from bootstrapd.policy import words
from bootstrapd.policy.disks import candidates
from bootstrapd.policy.gpus import CARDS, VENDORS, Card
from bootstrapd.policy.size import disk_words, memory_words, speed_words

_TAKEN: Final = 16  # the kernel's share of the memory is at most one part in so many

Check = Callable[[Hardware, Requires, str], Iterator[str]]


def shortfalls(hardware: Hardware, requires: Requires, profile: str = "") -> list[str]:
    """All that this hardware lacks, [] when it is good. `profile` names who asks."""
    who = f"profile {profile}" if profile else "its profile"
    return [reason for check in _CHECKS for reason in check(hardware, requires, who)]


def _cpu(hardware: Hardware, requires: Requires, who: str) -> Iterator[str]:
    if hardware.cpu_threads < requires.cpu_threads:
        yield f"{hardware.cpu_threads} CPU threads, {who} wants {requires.cpu_threads}"


def _memory(hardware: Hardware, requires: Requires, who: str) -> Iterator[str]:
    wanted = requires.memory_bytes
    installed, seen = hardware.memory_installed_bytes, hardware.memory_bytes
    is_told = installed >= seen  # a table that leaves out what the kernel has is none
    if installed < wanted if is_told else seen * _TAKEN < wanted * (_TAKEN - 1):
        yield f"{memory_words(installed if is_told else seen)} memory, {who} wants {memory_words(wanted)}"


def _disks(hardware: Hardware, requires: Requires, _who: str) -> Iterator[str]:
    disks = candidates(hardware)
    for wanted in dict.fromkeys(_unmet(requires.disks, disks)):
        further = "further " if any(_is_enough(disk, wanted) for disk in disks) else ""
        kind = f"{wanted.type} " if wanted.type else ""
        least = f" of at least {disk_words(wanted.size_bytes)}" if wanted.size_bytes else ""
        yield f"no {further}{kind}disk{least}, found {words.listed(map(words.disk, disks))}"


def _unmet(wanted: tuple[RequiredDisk, ...], disks: tuple[Disk, ...]) -> list[RequiredDisk]:
    """Those left over when as many as can be have a disk of their own (augmenting paths)."""
    owners: dict[int, int] = {}  # disk -> the requirement that has it

    def gets_one(at: int, tried: set[int]) -> bool:
        for number, disk in enumerate(disks):
            if number in tried or not _is_enough(disk, wanted[at]):
                continue
            tried.add(number)
            if number not in owners or gets_one(owners[number], tried):
                owners[number] = at
                return True
        return False

    return [wanted[at] for at in range(len(wanted)) if not gets_one(at, set())]


def _is_enough(disk: Disk, wanted: RequiredDisk) -> bool:
    return wanted.type in {"", disk.type} and disk.size_bytes >= wanted.size_bytes


def _gpu(hardware: Hardware, requires: Requires, _who: str) -> Iterator[str]:
    wanted = requires.gpu
    if wanted is None or any(gpu.pci_id in wanted.allow for gpu in hardware.gpus):
        return
    vendor = VENDORS.get(wanted.vendor, "")
    gpus = [gpu for gpu in hardware.gpus if gpu.pci_id.startswith(vendor)]
    if gpus and not _figures(wanted):
        return
    known = [card for gpu in gpus if (card := CARDS.get(gpu.pci_id)) is not None]
    if any(_is_good(card, wanted) for card in known):
        return
    unknown = [gpu for gpu in gpus if gpu.pci_id not in CARDS]
    if known or not unknown:
        yield f"no {_wanted(wanted)}, found {words.listed(_card(card, wanted) for card in known)}"
    yield from dict.fromkeys(map(_unjudged, unknown))


def _is_good(card: Card, wanted: RequiredGpu) -> bool:
    return card.memory_bytes >= wanted.memory_bytes and card.compute_capability >= wanted.compute_capability


def _unjudged(gpu: Gpu) -> str:
    pci_id = words.printable(gpu.pci_id)
    return f'cannot judge {pci_id}; allow it in the profile ([requires.gpu] allow = ["{pci_id}"])'


def _wanted(wanted: RequiredGpu) -> str:
    vendor = f"{wanted.vendor} " if wanted.vendor else ""
    figures = _figures(wanted)
    return f"{vendor}GPU with {' and '.join(figures)}" if figures else f"{vendor}GPU"


def _figures(wanted: RequiredGpu) -> list[str]:
    memory = memory_words(wanted.memory_bytes) if wanted.memory_bytes else ""
    capability = f"compute capability {wanted.compute_capability}" if wanted.compute_capability else ""
    return [figure for figure in (memory, capability) if figure]


def _card(card: Card, wanted: RequiredGpu) -> str:
    capability = f" (compute capability {card.compute_capability})" if wanted.compute_capability else ""
    return f"{card.name} {memory_words(card.memory_bytes)}{capability}"


def _nic(hardware: Hardware, requires: Requires, _who: str) -> Iterator[str]:
    if any(nic.speed_mbps >= requires.nic_mbps for nic in hardware.nics) or not requires.nic_mbps:
        return
    found = words.listed(
        f"{words.printable(nic.name)} {speed_words(nic.speed_mbps) if nic.speed_mbps else 'without link'}"
        for nic in hardware.nics
    )
    yield f"no network card with {speed_words(requires.nic_mbps)}, found {found}"


_CHECKS: Final[tuple[Check, ...]] = (_cpu, _memory, _disks, _gpu, _nic)
