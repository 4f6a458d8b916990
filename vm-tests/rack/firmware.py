"""The kinds of machine in the rack, each a table of what QEMU is told. One row adds one more kind.

KVM runs firmware only where the processor's own virtualisation is there; elsewhere QEMU emulates all of it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

from rack import need

_OVMF: Final = "/usr/share/OVMF"

_NO_IPV6: Final = (("IPv6Support", "no"),)  # each IPv6 option takes a minute before the next has its turn


class Firmware(NamedTuple):
    """`code` and `variables` are flash images of UEFI; `rom` is what the network card brings along."""

    label: str
    code: str = ""
    variables: str = ""
    rom: bool = False
    secure: bool = False
    settings: tuple[tuple[str, str], ...] = ()  # of OVMF, by QEMU's fw_cfg
    memory_mb: int = 512


FIRMWARE: Final = {
    "bios-ipxe": Firmware("BIOS, iPXE ROM", rom=True),
    "ovmf-pxe": Firmware("UEFI PXE", "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd", settings=_NO_IPV6),
    "ovmf-http": Firmware(
        "UEFI HTTP boot",
        "OVMF_CODE_4M.fd",
        "OVMF_VARS_4M.fd",
        settings=(*_NO_IPV6, ("IPv4PXESupport", "no")),
    ),
    "ovmf-secureboot": Firmware(
        "UEFI PXE, Secure Boot",
        "OVMF_CODE_4M.secboot.fd",
        "OVMF_VARS_4M.ms.fd",
        secure=True,
        settings=_NO_IPV6,
        memory_mb=1024,
    ),
}


def check(kind: str) -> None:
    """MissingError when this kind of machine's firmware is not installed."""
    firmware = FIRMWARE[kind]
    if firmware.code:
        need.file(f"{_OVMF}/{firmware.code}", "ovmf")
        need.file(f"{_OVMF}/{firmware.variables}", "ovmf")
    else:
        need.file("/usr/lib/ipxe/qemu/pxe-virtio.rom", "ipxe-qemu")


def accelerator() -> list[str]:
    """KVM where the hardware has it, else emulation, a thread a machine. RACK_ACCEL=tcg or kvm overrules."""
    has_hardware = any(Path(f"/sys/module/kvm_{vendor}").exists() for vendor in ("intel", "amd"))
    default = "kvm" if has_hardware and os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg"
    if os.environ.get("RACK_ACCEL", default) == "kvm":
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg,thread=single", "-cpu", "max"]


def arguments(kind: str, variables: Path) -> list[str]:
    """QEMU's arguments for board and flash; `variables` is this machine's own copy, made when absent."""
    firmware = FIRMWARE[kind]
    board = "q35,graphics=off" + (",smm=on" if firmware.secure else "")
    argv = ["-machine", board, "-m", str(firmware.memory_mb), *accelerator()]
    if not firmware.code:
        return argv
    if not variables.exists():
        variables.write_bytes(Path(_OVMF, firmware.variables).read_bytes())
    if firmware.secure:
        argv += ["-global", "driver=cfi.pflash01,property=secure,value=on", "-global", "ICH9-LPC.disable_s3=1"]
    argv += ["-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={_OVMF}/{firmware.code}"]
    argv += ["-drive", f"if=pflash,format=raw,unit=1,file={variables}"]
    for name, value in firmware.settings:
        argv += ["-fw_cfg", f"name=opt/org.tianocore/{name},string={value}"]
    return argv
