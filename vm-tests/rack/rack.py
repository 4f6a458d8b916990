"""The rack: one network, one site, one appliance and as many machines as a story asks for.

    with Rack("bios_ipxe_rom") as rack:
        rack.site()
        rack.appliance.enrol("cim-worker-1", MAC)
        rack.appliance.start()
        machine = rack.machine("worker", "bios-ipxe", MAC)
        machine.start()
        machine.wait_for_console("TEST IMAGE: registered")

Everything it starts ends with it. What was said is in build/vm-tests/STORY: consoles, logs, the capture.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rack import firmware, need
from rack.appliance import ROOT, Appliance
from rack.machine import Disk, Machine
from rack.network import RUN, Network
from rack.peer import Peer
from rack.share import Share, measure
from rack.site import Site
from rack.wire import Sighting, Wire

BUILD: Final = ROOT / "build" / "vm-tests"


class Rack:
    """MissingError when it cannot be built here."""

    def __init__(self, story: str, on_sighting: Callable[[Sighting], None] | None = None) -> None:
        need.check()
        self.story = story
        self.folder = BUILD / story
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        # Short, for the Unix sockets in it: their paths may be 107 bytes long.
        self._run = tempfile.TemporaryDirectory(prefix=f"{RUN}-", ignore_cleanup_errors=True)
        self.run_folder = Path(self._run.name)
        self.machines: list[Machine] = []
        self.notes: list[str] = []
        self._closers: list[Callable[[], None]] = [self._run.cleanup]
        try:
            self.network = Network()
            self._closers.append(self.network.close)
            self.wire = Wire(self.network, self.folder, on_sighting)
            self._closers.append(self.wire.stop)
            self.appliance = Appliance(self.network, self.folder, self.run_folder / "state")
            self._closers.append(self.appliance.stop)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything, the latest first, whatever fails on the way."""
        while self._closers:
            closer = self._closers.pop()
            try:
                closer()
            except Exception as error:  # noqa: BLE001 - the rest must end too
                print(f"rack: {closer} failed: {error!r}")

    def site(self, *extra: str, delay_s: int = 0) -> Site:
        """Start the site's DHCP server."""
        site = Site(self.network, self.folder, *extra, delay_s=delay_s)
        self._closers.append(site.stop)
        return site

    def peer(self, image: Path) -> Peer:
        """Start dnsmasq and nginx in the appliance's place."""
        peer = Peer(self.network, self.folder, self.run_folder, image)
        self._closers.append(peer.stop)
        return peer

    def machine(
        self,
        name: str,
        kind: str,
        *macs: str,
        disks: Sequence[Path | Disk] = (),
        boots_from: int = 0,
        reboots: bool = False,
    ) -> Machine:
        """A machine, switched off. MissingError when its firmware is not installed."""
        firmware.check(kind)
        used = sum(len(machine.macs) for machine in self.machines)
        machine = Machine(
            name,
            kind,
            macs,
            self.network.taps[used : used + len(macs)],
            self.network,
            self.folder,
            self.run_folder,
            disks=disks,
            boots_from=boots_from,
            reboots=reboots,
        )
        self.machines.append(machine)
        self._closers.append(machine.stop)
        return machine

    def share(self) -> Share:
        """The appliance's own share of everything so far; ends the capture."""
        self.wire.stop()
        return measure(self.wire.file, absences=self.appliance.absences)

    def note(self, words: str) -> None:
        """Something measured, for a person to read at the end."""
        self.notes.append(words)

    def situation(self) -> str:
        """What a failure shows beside its own words: consoles, the appliance's log, where the capture is."""
        consoles = [machine.describe() for machine in self.machines]
        return "\n".join([*consoles, self.appliance.tail(), f"--- the capture: {self.wire.file}"])
