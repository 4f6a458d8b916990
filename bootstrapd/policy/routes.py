"""The paths that machines fetch by TFTP and HTTP, as one table; what each is, never whether it may be had.

/boot.ipxe, autoexec.ipxe           Stub: sends an iPXE on to its own script
/boot/<mac>.ipxe?uuid=…             MachineScript
/nbp/<mac-hexhyp>/<file>            BootProgram (TFTP and HTTP), autoexec.ipxe beside it
<file>                              BareName: the machine is found by its address (TFTP)
/images/<image>/<file>              ImageFile
/overlay/<random>.cpio              Overlay
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from msgspec import Struct

from bootstrapd.errors import ConfigError
from bootstrapd.model import FILE_PATTERN, IMAGE_PATTERN, Mac


class Stub(Struct, frozen=True):
    """The same few lines for every machine."""


class MachineScript(Struct, frozen=True):
    mac: Mac


class MachineStub(Struct, frozen=True):
    """autoexec.ipxe beside a machine's boot program (I9)."""

    mac: Mac


class BootProgram(Struct, frozen=True):
    mac: Mac
    file: str


class BareName(Struct, frozen=True):
    file: str


class ImageFile(Struct, frozen=True):
    image: str
    file: str


class Overlay(Struct, frozen=True):
    key: str


Resolved = Stub | MachineScript | MachineStub | BootProgram | ImageFile | Overlay
Route = Resolved | BareName

_MAC: Final = r"(?P<mac>[0-9A-Fa-f]{2}(?:[:-][0-9A-Fa-f]{2}){5})"
_FILE: Final = rf"(?P<file>{FILE_PATTERN})"
_IMAGE: Final = rf"(?P<image>{IMAGE_PATTERN})"

# The first row that fits wins. dnsmasq and PXE menus append ".0" to names (T10, matchbox).
ROUTES: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Route]], ...]] = (
    (re.compile(r"boot\.ipxe(\.0)?"), lambda _: Stub()),
    (re.compile(rf"boot/{_MAC}\.ipxe"), lambda m: MachineScript(Mac.parse(m["mac"]))),
    (re.compile(rf"nbp/{_MAC}/autoexec\.ipxe"), lambda m: MachineStub(Mac.parse(m["mac"]))),
    (re.compile(rf"nbp/{_MAC}/{_FILE}"), lambda m: BootProgram(Mac.parse(m["mac"]), m["file"])),
    (re.compile(rf"images/{_IMAGE}/{_FILE}"), lambda m: ImageFile(m["image"], m["file"])),
    (re.compile(r"overlay/(?P<key>[0-9a-f]{32})\.cpio"), lambda m: Overlay(m["key"])),
    (re.compile(_FILE), lambda m: BareName(m["file"])),
)


@lru_cache(maxsize=1024)  # a path is read when its file is asked for, and again when it has arrived
def read(path: str) -> Route | None:
    """The route of a path without its leading slash, None when there is no such thing here."""
    for pattern, make in ROUTES:
        found = pattern.fullmatch(path)
        if found:
            try:
                return make(found)
            except ConfigError:  # twelve hex digits that are no NIC's address
                return None
    return None


def resolve(path: str, neighbour: Callable[[], Mac | None]) -> Resolved | None:
    """The route, with a bare name turned into the file of the machine that asks, by its address (T15)."""
    route = read(path.lstrip("/"))
    if not isinstance(route, BareName):
        return route
    mac = neighbour()
    if mac is None:
        return None
    return MachineStub(mac) if route.file == "autoexec.ipxe" else BootProgram(mac, route.file)
