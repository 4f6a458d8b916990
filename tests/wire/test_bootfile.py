"""The CPU of kernels and EFI programs: real ones where the machine has them, made-up heads otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrapd.wire.bootfile import HEAD_SIZE, cpu

IPXE = Path("/usr/lib/ipxe")


def bzimage(version: int, flags: int) -> bytes:
    head = bytearray(HEAD_SIZE)
    head[0x202:0x206] = b"HdrS"
    head[0x206:0x208] = version.to_bytes(2, "little")
    head[0x236:0x238] = flags.to_bytes(2, "little")
    return bytes(head)


def program(machine: int) -> bytes:
    head = bytearray(HEAD_SIZE)
    head[:2] = b"MZ"
    head[0x3C] = 0x80
    head[0x80:0x86] = b"PE\0\0" + machine.to_bytes(2, "little")
    return bytes(head)


@pytest.mark.parametrize(
    ("head", "wanted"),
    [
        (bzimage(0x020F, 0x7F), "x86_64"),
        (bzimage(0x020F, 0x00), "i686"),
        (bzimage(0x0204, 0x00), "x86_64"),
        (b"MZ" + bytes(0x36) + b"ARM\x64" + bytes(64), "aarch64"),
        (program(0x8664), "x86_64"),
        (program(0xAA64), "aarch64"),
        (program(0x014C), "i686"),
        (program(0x9999), ""),
        (b"\x1f\x8b" + bytes(600), ""),
        (b"MZ", ""),
        (b"", ""),
    ],
)
def test_heads(head: bytes, wanted: str) -> None:
    assert cpu(head) == wanted


@pytest.mark.skipif(not IPXE.is_dir(), reason="needs iPXE's binaries: apt install ipxe")
def test_real_ipxe_binaries() -> None:
    assert cpu((IPXE / "snponly.efi").read_bytes()[:HEAD_SIZE]) == "x86_64"
    assert cpu((IPXE / "undionly.kpxe").read_bytes()[:HEAD_SIZE]) == ""


@given(st.binary(max_size=700) | st.binary(max_size=300).map(lambda junk: b"MZ" + junk))
def test_any_bytes_have_a_cpu_or_none(head: bytes) -> None:
    assert cpu(head) in {"", "i686", "arm", "riscv64", "loongarch64", "x86_64", "aarch64"}
