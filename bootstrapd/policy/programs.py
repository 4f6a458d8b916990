"""Which network boot program a machine is given: by architecture, in the order they are tried (I11, I12).

The first is the best for most machines; the loop guard moves on to the next when a machine fetched one three
times and never came back with a script request. A host's `[boot] program` stands before them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bootstrapd.model import ARCHES, Arch, Host, Program

# (cpu, is_uefi) -> names as `edge/programs` finds them.
# snponly and undionly drive the one NIC they were loaded through, by the firmware's own driver; the full builds
# bring drivers of their own, for firmware whose network stack is broken (ipxe #973).
TRIED_IN_ORDER: Final[dict[tuple[str, bool], tuple[str, ...]]] = {
    ("x86_64", False): ("undionly.kpxe", "ipxe.pxe"),
    ("x86_64", True): ("snponly.efi", "ipxe.efi"),
    ("aarch64", True): ("snponly-arm64.efi", "ipxe-arm64.efi"),
}

FIRST: Final = frozenset(name for names in TRIED_IN_ORDER.values() for name in names)

_MADE_FOR: Final = {
    name: next(a for a in ARCHES.values() if (a.cpu, a.is_uefi, a.is_http) == (*firmware, False))
    for firmware, names in TRIED_IN_ORDER.items()
    for name in names
}

FETCHES_A_VARIANT: Final = 3


def made_for(program: str) -> Arch | None:
    """The architecture whose program this is; None for one that is not ours to know (a shim, a GRUB)."""
    return _MADE_FOR.get(program)


def choose(arch: Arch, host: Host, programs: Mapping[str, Program], fetches: int) -> str:
    """The name to send after `fetches` fruitless ones; "" when this appliance has none for the architecture."""
    if host.program:
        return host.program if host.program in programs else ""
    names = [name for name in TRIED_IN_ORDER.get((arch.cpu, arch.is_uefi), ()) if name in programs]
    if not names:
        return ""
    return names[min(fetches // FETCHES_A_VARIANT, len(names) - 1)]
