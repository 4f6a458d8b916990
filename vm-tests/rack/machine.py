"""A machine of the rack: QEMU with a firmware, network cards on the rack's bridge, a serial console, disks."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from rack import firmware
from rack.lines import Line, Lines
from rack.network import Network
from rack.process import Process
from rack.qmp import Qmp, QmpError


class Disk(NamedTuple):
    """A disk of a machine: a raw image, and the serial number that it tells ("" = rack-disk-N)."""

    path: Path
    serial: str = ""


# A reboot is a new QEMU: one that emulated Linux for a while takes minutes over its next boot, since each page
# that ever held code is slow to be written. It ends with its parent, and a power-off is a reboot, too.
AGAIN: Final = ("sh", "-c", 'while setpriv --pdeathsig KILL -- "$@"; do :; done', "machine")


class Direct(NamedTuple):
    """What QEMU itself loads and starts instead of the firmware's boot: where firmware is not the point."""

    kernel: Path
    initrd: Path
    cmdline: str


class Machine:
    """Off when made. The network comes first in its boot order, disks after it."""

    def __init__(
        self,
        name: str,
        kind: str,
        macs: Sequence[str],
        taps: Sequence[str],
        network: Network,
        folder: Path,
        run_folder: Path,
        *,
        disks: Sequence[Path | Disk] = (),
        boots_from: int = 0,
        reboots: bool = False,
    ) -> None:
        """`boots_from`: the card that is first in the boot order. `reboots`: else a reboot ends it."""
        self.name = name
        self.kind = kind
        self.macs = tuple(macs)
        self.mac = macs[boots_from]
        self.started_at = 0.0
        self._taps = taps
        self._network = network
        self._console_file = folder / f"{name}.console"
        self._run_folder = run_folder
        self.disks = tuple(disk if isinstance(disk, Disk) else Disk(disk) for disk in disks)
        self.direct: Direct | None = None  # set it before switching on
        self._boots_from = boots_from
        self._reboots = reboots
        self._starts = 0
        self._console: Lines | None = None
        self._process: Process | None = None
        self._qmp: Qmp | None = None

    @property
    def label(self) -> str:
        return firmware.FIRMWARE[self.kind].label

    @property
    def is_on(self) -> bool:
        return self._process is not None

    @property
    def console(self) -> Lines:
        """What it said since it was last switched on."""
        assert self._console is not None, f"{self.name} was never switched on"
        return self._console

    def start(self) -> None:
        """Switch it on."""
        assert self._process is None, f"{self.name} is on already"
        self._starts += 1
        path = self._run_folder / f"{self.name}.{self._starts}.qmp"
        self._qmp = Qmp(path)
        self.started_at = time.time()
        self._process = Process(self.name, self._argv(path), self._console_file, namespace=self._network.lan)
        self._console = self._process.lines
        self._qmp.accept()

    def stop(self) -> None:
        """Switch it off, as with the button held down."""
        if self._process is None:
            return
        self._process.stop()
        if self._qmp is not None:
            self._qmp.close()
        self._process = None

    def power_cycle(self) -> None:
        """Off and on again: the firmware starts from nothing but its own variables."""
        self.stop()
        self.start()

    def reset(self) -> None:
        """The reset button."""
        assert self._qmp is not None
        with contextlib.suppress(QmpError):  # it is gone as soon as it has heard
            self._qmp.ask("system_reset")

    def status(self) -> str:
        """QEMU's word: running, paused, shutdown, internal-error …"""
        assert self._qmp is not None
        return str(self._qmp.ask("query-status")["status"])

    def wait_for_console(
        self, pattern: str, timeout_s: float = 120.0, unless: str = "", count: int = 1
    ) -> Line:
        """The first console line since power-on that matches; see `Lines.wait_for`."""
        return self.console.wait_for(pattern, timeout_s, unless, count)

    def describe(self) -> str:
        """The console's last lines, for a message."""
        said = self._console.tail() if self._console else "(never switched on)"
        return f"--- last lines of {self.name}'s console ({self._console_file})\n{said}"

    def _argv(self, qmp: Path) -> list[str]:
        argv = ["qemu-system-x86_64", "-name", self.name, "-nodefaults", "-display", "none", "-monitor", "none"]
        argv += ["-serial", "stdio", "-qmp", f"unix:{qmp}", "-smp", "1"]
        argv += ["-no-reboot"]
        argv += firmware.arguments(self.kind, self._run_folder / f"{self.name}.vars")
        argv += ["-device", "virtio-rng-pci"]  # without randomness newer UEFI offers no network boot at all
        argv += [
            "-uuid",
            str(self.uuid),
            "-smbios",
            f"type=1,manufacturer=Rack,product=Virtual,serial={self.serial}",
        ]
        for number, (mac, tap) in enumerate(zip(self.macs, self._taps, strict=True)):
            argv += self._card(number, mac, tap)
        for number, disk in enumerate(self.disks):
            serial = disk.serial or f"rack-disk-{number}"
            argv += ["-drive", f"if=none,id=disk{number},format=raw,file={disk.path},discard=unmap"]
            argv += ["-device", f"virtio-blk-pci,drive=disk{number},serial={serial},bootindex={10 + number}"]
        if self.direct:
            argv += ["-kernel", str(self.direct.kernel), "-initrd", str(self.direct.initrd)]
            argv += ["-append", self.direct.cmdline]
        return [*AGAIN, *argv] if self._reboots else argv

    def _card(self, number: int, mac: str, tap: str) -> list[str]:
        index = 1 if number == self._boots_from else number + 2  # 0 is what QEMU loads itself
        # An empty romfile takes QEMU's iPXE off the card, so that UEFI's own network stack runs.
        rom = "" if firmware.FIRMWARE[self.kind].rom else ",romfile="
        return [
            "-netdev",
            f"tap,id=net{number},ifname={tap},script=no,downscript=no",
            "-device",
            f"virtio-net-pci,netdev=net{number},mac={mac},bootindex={index}{rom}",
        ]

    @property
    def uuid(self) -> uuid.UUID:
        """Its SMBIOS UUID, the same every run."""
        return uuid.uuid5(uuid.NAMESPACE_OID, self.macs[0])

    @property
    def serial(self) -> str:
        """Its SMBIOS serial number."""
        return f"RACK-{self.macs[0].replace(':', '')}"
