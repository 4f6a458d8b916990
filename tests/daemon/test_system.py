"""What the daemon asks of the system before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrapd.daemon import system
from bootstrapd.errors import EdgeError
from bootstrapd.model import Program


def found(*names: str) -> dict[str, Program]:
    return {name: Program(name=name, path=Path("/x") / name, size=1) for name in names}


@pytest.mark.parametrize("names", [(), ("undionly.kpxe",), ("ipxe.efi",)])
def test_a_start_without_the_programs_of_a_pc_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(EdgeError, match="cannot be booted"):
        system.refuse_without(found(*names))


@pytest.mark.parametrize("names", [("undionly.kpxe", "ipxe.efi"), ("snponly-arm64.efi",)])
def test_an_appliance_for_pcs_and_one_for_arm_alone_start(names: tuple[str, ...]) -> None:
    """As on NixOS for 64-bit ARM, whose iPXE has programs for nothing else."""
    system.refuse_without(found(*names))
