"""Network boot programs as Debian, Ubuntu, Fedora, Arch and NixOS name them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bootstrapd.edge.programs import REQUIRED, TABLE, find, missing

X64, ARM64 = 0x8664, 0xAA64
BOOKWORM = {"ipxe.efi": X64, "snponly.efi": X64, "undionly.kpxe": 0, "ipxe.pxe": 0}
TRIXIE = {"ipxe-amd64.efi": X64, "ipxe-arm64.efi": ARM64, "snponly.efi": X64, "undionly.kpxe": 0}
FEDORA = {
    "ipxe-x86_64.efi": X64,
    "ipxe-snponly-x86_64.efi": X64,
    "undionly.kpxe": 0,
    "arm64-efi/snponly.efi": ARM64,
    "arm64-efi/ipxe.efi": ARM64,
}
ARCH = {"ipxe.pxe": 0, "x86_64/ipxe.efi": X64, "x86_64/snponly.efi": X64, "arm64/snponly.efi": ARM64}
NIXOS_ON_ARM = {"ipxe.efi": ARM64, "snponly.efi": ARM64}


def program(machine: int) -> bytes:
    head = bytearray(256)
    head[:2], head[0x3C] = b"MZ", 0x80
    head[0x80:0x86] = b"PE\0\0" + machine.to_bytes(2, "little")
    return bytes(head) if machine else b"pxe"


def lay_out(folder: Path, files: dict[str, int]) -> Path:
    for name, machine in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(program(machine))
    return folder


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (BOOKWORM, {"ipxe.efi", "snponly.efi", "undionly.kpxe", "ipxe.pxe"}),
        (TRIXIE, {"ipxe.efi", "ipxe-arm64.efi", "snponly.efi", "undionly.kpxe"}),
        (FEDORA, {"ipxe.efi", "snponly.efi", "undionly.kpxe", "snponly-arm64.efi", "ipxe-arm64.efi"}),
        (ARCH, {"ipxe.pxe", "ipxe.efi", "snponly.efi", "snponly-arm64.efi"}),
        (NIXOS_ON_ARM, {"snponly-arm64.efi", "ipxe-arm64.efi"}),
    ],
)
def test_each_distribution_by_the_names_machines_ask_for(
    files: dict[str, int], names: set[str], tmp_path: Path
) -> None:
    """I12, A8: one name a program, whatever the package calls it."""
    found = find([], [lay_out(tmp_path, files)])
    assert set(found) == names
    for name, made in found.items():
        assert made.name == name
        assert made.size == made.path.stat().st_size


def test_the_first_folder_wins_and_the_configured_before_the_systems(tmp_path: Path) -> None:
    folders = [lay_out(tmp_path / name, {"snponly.efi": X64}) for name in ("a", "b", "system")]
    assert find(folders[:2], folders[2:])["snponly.efi"].path == folders[0] / "snponly.efi"
    assert find([], folders[2:])["snponly.efi"].path == folders[2] / "snponly.efi"


def test_other_files_of_a_configured_folder_keep_their_names(tmp_path: Path) -> None:
    """S1: shim and what it loads stand beside each other."""
    own = lay_out(tmp_path / "own", {"shimx64.efi": X64, "grubx64.efi": X64, ".hidden": 0, "sub/x.efi": X64})
    system = lay_out(tmp_path / "system", {"8086100e.rom": 0})
    assert set(find([own], [system])) == {"shimx64.efi", "grubx64.efi"}


def test_a_program_for_another_cpu_does_not_pass_under_a_known_name(tmp_path: Path) -> None:
    found = find([lay_out(tmp_path, {"snponly.efi": ARM64})], [])
    assert set(found) == {"snponly-arm64.efi"}


def test_missing_programs_are_named_with_the_package_and_the_key(tmp_path: Path) -> None:
    nothing = missing(find([tmp_path / "not there"], [tmp_path]))
    assert len(nothing) == len(REQUIRED)
    for sentence in nothing:
        assert "apt install ipxe" in sentence
        assert "[nbp] dirs" in sentence
    assert missing(find([], [lay_out(tmp_path, {"undionly.kpxe": 0})])) == nothing[1:]
    assert missing(find([], [lay_out(tmp_path, BOOKWORM)])) == []


def test_every_program_that_policy_tries_is_in_the_table() -> None:
    from bootstrapd.policy.programs import TRIED_IN_ORDER

    assert {name for names in TRIED_IN_ORDER.values() for name in names} == set(TABLE)


@pytest.mark.skipif(not Path("/usr/lib/ipxe").is_dir(), reason="needs iPXE's binaries: apt install ipxe")
def test_this_machines_own_package() -> None:
    assert missing(find([])) == []
