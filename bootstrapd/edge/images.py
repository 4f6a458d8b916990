"""The images machines boot: a folder each with `manifest.json`, added whole or not at all.

Owns the images folder: how an image gets there and leaves, and whether it is still what it was. Hashes are
taken while copying and by `verify`, never at start. What an image may be is `image_check`'s.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from bootstrapd.edge import image_source
from bootstrapd.edge.folders import make_folder
from bootstrapd.edge.image_check import NAME, check_name, judge, read_image
from bootstrapd.edge.image_source import FILE_NAME, MANIFEST, Manifest, Source, read_manifest
from bootstrapd.edge.regular import open_regular
from bootstrapd.errors import ConfigError, EdgeError, RefusedError
from bootstrapd.model import Image, plain

SPARE_BYTES: Final = 16 * 2**20  # what the disk keeps free after an image was added
CHUNK: Final = 1 << 20

_ADDING: Final = ".adding-"
_OLD: Final = ".old-"
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

Progress = Callable[[str, int, int], None]  # file, bytes done, bytes in all


class ImageStore:
    """`images` holds what `load` found fit to serve."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images: dict[str, Image] = {}

    def load(self) -> list[str]:
        """Read every manifest anew; what is wrong with the images left out. No file's content is read."""
        images: dict[str, Image] = {}
        problems: list[str] = []
        try:
            folders = sorted(path for path in self.folder.iterdir() if path.name[0] != "." and path.is_dir())
        except FileNotFoundError:
            folders = []
        except OSError as error:
            folders, problems = [], [f"{self.folder} cannot be read: {error.strerror}"]
        for folder in folders:
            try:
                images[folder.name] = read_image(folder)
            except ConfigError as error:
                problems += error.mistakes
        self.images = images
        return problems

    def add(
        self, name: str, source: Path | Source, *, replace: bool = False, progress: Progress | None = None
    ) -> Image:
        """Copy an image in, checked and durable.

        ConfigError: it is not fit; RefusedError: the name is taken; EdgeError: disk full, not our folder.
        """
        check_name(name)
        chosen = image_source.read(source) if isinstance(source, Path) else source
        arch = judge(chosen)
        with self._locked():
            target = self._free(name, replace=replace)
            made = Path(tempfile.mkdtemp(dir=self.folder, prefix=_ADDING))
            try:
                _fill(made, chosen, arch, progress or (lambda _file, _done, _total: None))
                read_image(made, name)  # what would not be served must not take the place of what is
                self._swap_in(made, target)
            finally:
                shutil.rmtree(made, ignore_errors=True)
        image = read_image(target)
        self.images = {**self.images, name: image}
        return image

    def make_sure(self, name: str, *, replace: bool = False) -> None:
        """That `add` could add it now, as far as its name and the folder go; raises what that would raise."""
        check_name(name)
        with self._locked():
            self._free(name, replace=replace)
            Path(tempfile.mkdtemp(dir=self.folder, prefix=_ADDING)).rmdir()

    def verify(self, name: str) -> list[str]:
        """Hash every file again; a sentence for each that is not what the manifest says."""
        folder = self._existing(name)
        wanted = read_manifest(folder).sha256
        found = {file: _hash(folder / file) if FILE_NAME.fullmatch(file) else "" for file in wanted}
        return [
            f"{folder / file}: expected sha256 {wanted[file]}, found {found[file] or 'no readable file'}"
            for file in wanted
            if found[file] != wanted[file]
        ]

    def remove(self, name: str) -> None:
        """Gone from the folder at once; transfers that run read on to their end."""
        with self._locked():
            folder = self._existing(name)
            doomed = Path(tempfile.mkdtemp(dir=self.folder, prefix=_ADDING))
            folder.rename(doomed / name)
            shutil.rmtree(doomed)
        self.images = {other: image for other, image in self.images.items() if other != name}

    def _free(self, name: str, *, replace: bool) -> Path:
        target = self.folder / name
        if target.is_symlink():
            raise RefusedError(
                f"the image {name!r} is a link to {target.readlink()}: the system's configuration declares it "
                "(services.bootstrapd.images); change it there, or take another name",
                "IMAGE_DECLARED",
            )
        if target.exists() and not replace:
            taken = f"there is an image {name!r} already; --replace puts this one in its place"
            raise RefusedError(taken, "IMAGE_TAKEN")
        return target

    def _existing(self, name: str) -> Path:
        folder = self.folder / name
        if not NAME.fullmatch(name) or not folder.is_dir():
            known = ", ".join(sorted(path.name for path in self.folder.glob("*/") if NAME.fullmatch(path.name)))
            raise RefusedError(
                f"there is no image {name!r} in {self.folder}; there are: {known or 'none'}", "NO_IMAGE"
            )
        return folder

    def _swap_in(self, made: Path, target: Path) -> None:
        old = self.folder / f"{_OLD}{target.name}"
        if target.exists():
            target.rename(old)
        made.rename(target)
        _fsync(self.folder)
        shutil.rmtree(old, ignore_errors=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One change at a time, also between processes; what a crash left behind is tidied first."""
        try:
            make_folder(self.folder)
            with _lock(self.folder):
                self._tidy()
                yield
        except OSError as error:
            raise EdgeError(f"{error.filename or self.folder}: {error.strerror}") from error

    def _tidy(self) -> None:
        for left in self.folder.glob(f"{_OLD}*"):
            target = self.folder / left.name.removeprefix(_OLD)
            if target.exists():
                shutil.rmtree(left)
            else:
                left.rename(target)
        for left in self.folder.glob(f"{_ADDING}*"):
            shutil.rmtree(left)


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EdgeError(f"another command is changing {folder}; try again when it is done") from None
        yield
    finally:
        os.close(handle)


def _fill(folder: Path, source: Source, arch: str, progress: Progress) -> None:
    """Copy, hash, compare, write the manifest; on disk when this returns."""
    sizes = {path.name: path.stat().st_size for path in source.files}
    needed, free = sum(sizes.values()), shutil.disk_usage(folder).free
    if free < needed + SPARE_BYTES:
        raise _no_room(folder, needed, free)
    try:
        hashes = {path.name: _copy(path, folder / path.name, progress) for path in source.files}
        for file, wanted in source.sha256.items():
            if hashes.get(file, wanted) != wanted:
                raise ConfigError(f"{file} is damaged: expected sha256 {wanted}, found {hashes[file]}")
        _write_manifest(folder, source, arch, hashes, sizes)
    except OSError as error:
        if error.errno in _FULL:
            raise _no_room(folder, needed, free) from error
        raise
    folder.chmod(0o755)  # the service is another user than the one who adds
    _fsync(folder)


def _no_room(folder: Path, needed: int, free: int) -> EdgeError:
    return EdgeError(
        f"not enough room in {folder.parent}: the image needs {needed / 1e6:.0f} MB, {free / 1e6:.0f} MB are "
        "free; `bootstrapd images remove` an old one, or set [paths] images to a larger disk"
    )


def _write_manifest(
    folder: Path, source: Source, arch: str, hashes: dict[str, str], sizes: dict[str, int]
) -> None:
    manifest = Manifest(
        format=1,
        kind=source.kind,
        arch=arch,
        kernel=source.kernel.name,
        initrds=tuple(path.name for path in source.initrds),
        cmdline=source.cmdline,
        sha256=hashes,
        sizes=sizes,
    )
    file = folder / MANIFEST
    file.write_text(json.dumps(plain(manifest), indent=2) + "\n")
    file.chmod(0o644)
    _fsync(file)


def _copy(source: Path, target: Path, progress: Progress) -> str:
    """Copy a file, durably; its sha256."""
    digest, done = hashlib.sha256(), 0
    with open_regular(source) as read, target.open("xb") as write:
        total = os.fstat(read.fileno()).st_size
        while chunk := read.read(CHUNK):
            digest.update(chunk)
            write.write(chunk)
            done += len(chunk)
            progress(source.name, done, total)
    target.chmod(0o644)
    _fsync(target)
    return digest.hexdigest()


def _hash(path: Path) -> str:
    """The file's sha256; "" when it cannot be read."""
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):
        return ""


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
