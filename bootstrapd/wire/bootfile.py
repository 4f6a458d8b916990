"""What CPU a kernel or EFI program is for, from its first bytes; nothing else of it is looked at.

Sources: Linux Documentation/arch/x86/boot.rst ("HdrS", xloadflags), Documentation/arch/arm64/booting.rst
("ARM\\x64"), the PE/COFF specification ("Machine Types"). An arm64 zboot kernel is told by its PE header.
"""

from __future__ import annotations

from typing import Final

HEAD_SIZE: Final = 4096  # as much of a file as `cpu` wants to see

_X86_MAGIC: Final = slice(0x202, 0x206)
_X86_VERSION: Final = slice(0x206, 0x208)
_X86_LOAD_FLAGS: Final = slice(0x236, 0x238)
_HAS_LOAD_FLAGS: Final = 0x020C
_IS_64_BIT: Final = 1
_ARM64_MAGIC: Final = slice(0x38, 0x3C)
_PE_POINTER: Final = slice(0x3C, 0x40)
_PE_MACHINES: Final = {
    0x014C: "i686",
    0x01C2: "arm",
    0x5064: "riscv64",
    0x6264: "loongarch64",
    0x8664: "x86_64",
    0xAA64: "aarch64",
}


def cpu(head: bytes) -> str:
    """ "x86_64", "aarch64", "i686" …; "" where the bytes are no kernel and no EFI program."""
    if head[_X86_MAGIC] == b"HdrS":
        version, flags = _number(head[_X86_VERSION]), _number(head[_X86_LOAD_FLAGS])
        return "i686" if version >= _HAS_LOAD_FLAGS and not flags & _IS_64_BIT else "x86_64"
    if head[_ARM64_MAGIC] == b"ARM\x64":
        return "aarch64"
    pe = _number(head[_PE_POINTER])
    if head[:2] != b"MZ" or head[pe : pe + 4] != b"PE\0\0":
        return ""
    return _PE_MACHINES.get(_number(head[pe + 4 : pe + 6]), "")


def _number(raw: bytes) -> int:
    return int.from_bytes(raw, "little")
