"""A small disk that proves it booted: it prints LOCAL DISK BOOTED on the serial port, from BIOS and from UEFI.

    sector 0       the BIOS program below, and a partition table with one entry (type 0xEF)
    1 MiB to end   a FAT32 EFI system partition labelled ESP, with EFI/BOOT/BOOTX64.EFI: the UEFI program below

Both programs are a dozen instructions by hand, so that neither needs a boot loader, a kernel or a package more.
They send the message that follows them, up to a zero byte, to the first serial port, and stand still.
Bit 5 of its line status register (3FD) says when its transmitter (3F8) takes another byte.
"""

from __future__ import annotations

import struct
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SIZE: Final = 64 << 20
ESP_AT: Final = 1 << 20
SECTOR: Final = 512
LOADER: Final = "EFI/BOOT/BOOTX64.EFI"

_BIOS: Final = (
    bytes.fromhex(
        "31 c0"  #       00        xor ax, ax
        "8e d8"  #       02        mov ds, ax
        "fc"  #          04        cld
        "be 21 7c"  #    05        mov si, 7C21h      this sector is loaded at 7C00h, the message is 21h into it
        "ac"  #          08  next: lodsb
        "84 c0"  #       09        test al, al
        "74 11"  #       0b        jz stop
        "88 c4"  #       0d        mov ah, al
        "ba fd 03"  #    0f        mov dx, 3FDh
        "ec"  #          12  wait: in al, dx
        "a8 20"  #       13        test al, 20h
        "74 fb"  #       15        jz wait
        "b2 f8"  #       17        mov dl, F8h
        "88 e0"  #       19        mov al, ah
        "ee"  #          1b        out dx, al
        "eb ea"  #       1c        jmp next
        "f4"  #          1e  stop: hlt
        "eb fd"  #       1f        jmp stop
    )
    + b"\r\nLOCAL DISK BOOTED (BIOS)\r\n\0"
)
_UEFI: Final = (
    bytes.fromhex(
        "fc"  #                   00        cld
        "48 8d 35 1a 00 00 00"  # 01        lea rsi, [rip + 1Ah]      the message
        "ac"  #                   08  next: lodsb
        "84 c0"  #                09        test al, al
        "74 12"  #                0b        jz stop
        "88 c4"  #                0d        mov ah, al
        "66 ba fd 03"  #          0f        mov dx, 3FDh
        "ec"  #                   13  wait: in al, dx
        "a8 20"  #                14        test al, 20h
        "74 fb"  #                16        jz wait
        "b2 f8"  #                18        mov dl, F8h
        "88 e0"  #                1a        mov al, ah
        "ee"  #                   1c        out dx, al
        "eb e9"  #                1d        jmp next
        "f4"  #                   1f  stop: hlt
        "eb fd"  #                20        jmp stop
    )
    + b"\r\nLOCAL DISK BOOTED (UEFI)\r\n\0"
)


def make(path: Path, files: Mapping[str, bytes] | None = None) -> Path:
    """The disk as a sparse file at `path`, with `files` in its ESP. Needs mkfs.vfat and mtools, no root."""
    with path.open("wb") as disk:
        disk.truncate(SIZE)
        disk.write(boot_sector())
    esp_kib = (SIZE - ESP_AT) // 1024
    _run(
        "mkfs.vfat",
        "-F",
        "32",
        "-s",
        "1",
        "-n",
        "ESP",
        "--offset",
        str(ESP_AT // SECTOR),
        str(path),
        str(esp_kib),
    )
    esp = {LOADER: efi_program(), **(files or {})}
    with tempfile.TemporaryDirectory(dir=path.parent) as work:
        for name, content in esp.items():
            file = Path(work) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        tops = sorted({str(Path(work) / name.partition("/")[0]) for name in esp})
        _run("mcopy", "-s", "-i", f"{path}@@{ESP_AT}", *tops, "::/")
    return path


def with_systemd_boot(path: Path, loader: bytes, kernel: bytes) -> Path:
    """The same with systemd-boot, as `bootctl install` leaves it, and a Linux that talks on the serial port."""
    return make(
        path,
        {
            LOADER: loader,
            "EFI/systemd/systemd-bootx64.efi": loader,
            "loader/loader.conf": b"timeout 0\n",
            "loader/entries/linux.conf": b"linux /vmlinuz\noptions earlyprintk=ttyS0 console=ttyS0\n",
            "vmlinuz": kernel,
        },
    )


def boot_sector() -> bytes:
    """The master boot record: program, one partition, signature."""
    whole_chs = b"\xfe\xff\xff"  # "see the LBA fields"
    partition = struct.pack(
        "<B3sB3sII", 0x80, whole_chs, 0xEF, whole_chs, ESP_AT // SECTOR, (SIZE - ESP_AT) // SECTOR
    )
    return _BIOS.ljust(446, b"\0") + partition.ljust(64, b"\0") + b"\x55\xaa"


def efi_program() -> bytes:
    """The smallest PE32+ image that UEFI loads: one section, nothing to relocate (UEFI 2.10, 2.1)."""
    dos = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, 1, 0, 0, 0, 112 + 16 * 8, 0x0022)
    optional = struct.pack(
        "<HBBIIIIIQIIHHHHHHIIIIHHQQQQII",
        *(0x20B, 1, 0),  # PE32+, linker version
        *(SECTOR, 0, 0, 0x1000, 0x1000),  # size of code and data, entry point, base of code
        *(0, 0x1000, SECTOR),  # image base, section and file alignment
        *(0, 0, 0, 0, 0, 0, 0),  # versions
        *(0x2000, SECTOR, 0),  # size of image and of headers, checksum
        *(10, 0),  # subsystem: EFI application
        *(0, 0, 0, 0),  # stack and heap: the firmware's
        *(0, 16),  # loader flags, data directories: all empty
    ) + bytes(16 * 8)
    section = struct.pack("<8sIIIIIIHHI", b".text", len(_UEFI), 0x1000, SECTOR, SECTOR, 0, 0, 0, 0, 0x60000020)
    return (dos + coff + optional + section).ljust(SECTOR, b"\0") + _UEFI.ljust(SECTOR, b"\0")


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
