"""The virtual rack: real firmware in QEMU on a network of its own, for stories and for the demo."""

from rack.machine import Direct, Disk, Machine
from rack.need import MissingError
from rack.rack import Rack
from rack.stages import stages, told

__all__ = ["Direct", "Disk", "Machine", "MissingError", "Rack", "stages", "told"]
