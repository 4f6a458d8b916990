"""The distribution's kernel and the few modules the rack's hardware needs: fetched, unpacked, not installed."""

from __future__ import annotations

import lzma
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from image import debs
from rack.need import MissingError

WANTED: Final = ("virtio_pci", "virtio_net", "virtio_blk", "nvme", "ahci", "sd_mod", "efivarfs")
# What an installer stands on beside the hardware; crc32c and the tables of characters are asked for by name.
DISKS: Final = ("crc32c_generic", "ext4", "nls_cp437", "nls_ascii", "vfat", "raid1", "dm_mod")


class Source(NamedTuple):
    """A distribution's kernel: the package that always depends on the newest, and those that hold it."""

    meta: str
    parts: tuple[str, ...]


SOURCES: Final = (
    Source("linux-image-amd64", (r"linux-image-\d[\w.+-]*-amd64",)),  # Debian
    Source(
        "linux-image-generic", (r"linux-image-\d[\w.+-]*-generic", r"linux-modules-\d[\w.+-]*-generic")
    ),  # Ubuntu
)


class Kernel(NamedTuple):
    """`modules` in the order in which they must be loaded, those of `DISKS` last."""

    version: str
    image: Path
    modules: tuple[Path, ...]

    def only(self, *names: str) -> list[Path]:
        """These modules and what they stand on, in order."""
        return [file for file in self.modules if file.stem in _standing_on(names, self.modules)]


def kernel(cache: Path) -> Kernel:
    """From the cache where it is there (remove the folder for a newer one), else from the package archive."""
    kept = cache / "kernel"
    wanted = " ".join((*WANTED, *DISKS))
    if not (kept / "wanted").exists() or (kept / "wanted").read_text() != wanted:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as work:
            _unpack(Path(work), cache / "kernel.new")
        shutil.rmtree(kept, ignore_errors=True)
        (cache / "kernel.new").rename(kept)
    order = (kept / "order").read_text().split()
    version = (kept / "version").read_text().strip()
    return Kernel(version, kept / "vmlinuz", tuple(kept / f"{name}.ko" for name in order))


def _unpack(work: Path, kept: Path) -> None:
    debs.fetch(_packages(), work)
    debs.unpack(work, work / "tree")
    image = next((work / "tree" / "boot").glob("vmlinuz-*"))
    version = image.name.removeprefix("vmlinuz-")
    modules = next((work / "tree").glob(f"**/lib/modules/{version}"))
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    shutil.copyfile(image, kept / "vmlinuz")
    order = _in_order(modules)
    for name, content in order.items():
        (kept / f"{name}.ko").write_bytes(content)
    (kept / "wanted").write_text(" ".join((*WANTED, *DISKS)))
    (kept / "version").write_text(version + "\n")
    (kept / "order").write_text("\n".join(order) + "\n")


def _packages() -> Iterator[str]:
    for source in SOURCES:
        shown = subprocess.run(
            ["apt-cache", "depends", "--recurse", "--important", source.meta],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        names = set(re.findall(r"^\s*Depends: (\S+)$", shown, re.MULTILINE))
        found = [name for part in source.parts for name in sorted(names) if re.fullmatch(part, name)]
        if found:
            yield from found
            return
    raise MissingError(
        "needs a kernel: apt knows none of "
        + ", ".join(source.meta for source in SOURCES)
        + " (apt-get update)"
    )


def _in_order(modules: Path) -> dict[str, bytes]:
    """The wanted modules and what they stand on, each after what it needs."""
    files = {_name(file): file for file in modules.rglob("*.ko*")}
    builtin = {_name(Path(line)) for line in (modules / "modules.builtin").read_text().split()}
    loaded: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in builtin or name in loaded:
            return
        if name not in files:
            raise MissingError(f"the kernel in {modules} has no module {name}")
        content = _content(files[name])
        for needed in _needs(content):
            add(needed)
        loaded[name] = content

    for name in (*WANTED, *DISKS):
        add(name)
    return loaded


def _name(file: Path) -> str:
    return file.name.split(".ko")[0].replace("-", "_")


def _content(file: Path) -> bytes:
    if file.suffix == ".xz":
        return lzma.decompress(file.read_bytes())
    if file.suffix == ".zst":
        return subprocess.run(["zstd", "-dc", str(file)], capture_output=True, check=True).stdout
    return file.read_bytes()


def _standing_on(names: Iterable[str], modules: Iterable[Path]) -> set[str]:
    """The names themselves and everything they need, of the modules that are there."""
    needs = {file.stem: _needs(file.read_bytes()) for file in modules}
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in needs and name not in found:
            found.add(name)
            todo += needs[name]
    return found


def _needs(content: bytes) -> list[str]:
    """The module's own list of what must be there first (its .modinfo section)."""
    match = re.search(rb"\0depends=([^\0]*)\0", content)
    return [name.replace("-", "_") for name in match[1].decode().split(",") if name] if match else []
