"""Where an image comes from: folders as nixpkgs, nixos-images and `images add` leave them, or files by name.

Reads names and command lines, never kernels and initrds (`image_check` judges those, `images` copies them).
The command line comes from the build that made the initrd (rule N1): nixpkgs netboot.nix writes it into
`netboot.ipxe`, nixos-images leaves `kernel-params` and `init`. `initrd=` words are dropped: the script that
boots the image names its own (rule I13).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from msgspec import Struct

from bootstrapd.edge.regular import read_regular
from bootstrapd.errors import ConfigError
from bootstrapd.model import FILE_PATTERN, decoder

MANIFEST: Final = "manifest.json"
FILE_NAME: Final = re.compile(FILE_PATTERN)
KERNELS: Final = ("bzImage", "Image")
TEXT_MAX_BYTES: Final = 2**20  # of a manifest, a script, a command line
# Builds are folders of links into it. Nix takes the variable too.
STORE: Final = Path(os.environ.get("NIX_STORE_DIR") or "/nix/store")

_STORE_INIT: Final = re.compile(r"/nix/store/[^/\s]+/init")
_SYSTEM_CONFIG: Final = re.compile(r"systemConfig=[\"']?(/nix/store/[^/\s\"']+)")
_FLAGS_WITH_VALUE: Final = ("-n", "--name", "-t", "--timeout")


class Manifest(Struct, frozen=True, kw_only=True):
    """`manifest.json`, format 1. Files are names in its folder, hashes are lower-case hex."""

    format: int
    kind: str
    arch: str
    kernel: str
    initrds: tuple[str, ...]
    cmdline: str
    sha256: dict[str, str]
    sizes: dict[str, int] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An image to be added. `arch` "" = the kernel says; `sha256` by file name, where it is known already."""

    kind: str
    kernel: Path
    initrds: tuple[Path, ...]
    cmdline: str = ""
    arch: str = ""
    sha256: Mapping[str, str] = field(default_factory=dict)

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.kernel, *self.initrds)


def read(folder: Path) -> Source:
    """What the folder holds, by the file that tells. ConfigError: nothing we know, or it contradicts itself."""
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder")
    for marker, reader in READERS.items():
        if (folder / marker).exists():
            return reader(folder)
    raise ConfigError(
        f"{folder} is no image: found none of {', '.join(READERS)}; "
        "give nixpkgs' netboot output, nixos-images' netboot folder, or name the kernel and the initrds"
    )


def explicit(
    folder: Path, kernel: str, initrds: Sequence[str], cmdline: str, *, kind: str = "linux", arch: str = ""
) -> Source:
    """An image of files named by a person, relative to `folder`."""
    return Source(
        kind=kind,
        arch=arch,
        kernel=folder / kernel,
        initrds=tuple(folder / initrd for initrd in initrds),
        cmdline=_without_initrds(cmdline.split()),
    )


def read_manifest(folder: Path) -> Manifest:
    """The folder's `manifest.json`. ConfigError: missing, unreadable, or not of format 1."""
    file = folder / MANIFEST
    try:
        manifest = decoder(Manifest).decode(read_regular(file, TEXT_MAX_BYTES))
    except FileNotFoundError:
        raise ConfigError(f"{file} is missing; `bootstrapd images add` writes it") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: {error}") from None
    if manifest.format != 1:
        raise ConfigError(f"{file}: format: expected 1, found {manifest.format}")
    return manifest


def file_in(folder: Path, name: str) -> Path:
    """The path of a file that a folder's own description names. ConfigError: it is not in there."""
    if not FILE_NAME.fullmatch(name):
        raise ConfigError(f"{folder}: {name!r} is not a file name (letters, digits, . _ + -)")
    path = folder / name
    try:
        real = path.resolve(strict=True)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    if not real.is_relative_to(folder.resolve()) and not real.is_relative_to(STORE):
        raise ConfigError(f"{path} is a link that leaves its folder, to {real}")
    if not real.is_file():
        raise ConfigError(f"{path} is not a file")
    return path


def _from_manifest(folder: Path) -> Source:
    manifest = read_manifest(folder)
    return Source(
        kind=manifest.kind,
        arch=manifest.arch,
        kernel=file_in(folder, manifest.kernel),
        initrds=tuple(file_in(folder, name) for name in manifest.initrds),
        cmdline=manifest.cmdline,
        sha256=manifest.sha256,
    )


def _from_nixpkgs(folder: Path) -> Source:
    script = folder / "netboot.ipxe"
    lines = [line.split() for line in _text(script).splitlines()]
    kernels = [_arguments(words) for words in lines if words[:1] == ["kernel"]]
    initrds = [_arguments(words) for words in lines if words[:1] == ["initrd"]]
    if len(kernels) != 1 or not kernels[0] or not all(initrds):
        raise ConfigError(f"{script}: expected one `kernel` line and `initrd` lines, each with a file")
    name, *cmdline = kernels[0]
    return Source(
        kind="nixos",
        kernel=file_in(folder, _last(name)),
        initrds=tuple(file_in(folder, _last(words[0])) for words in initrds),
        cmdline=_without_initrds(word for word in cmdline if "${" not in word),
    )


def _from_nixos_images(folder: Path) -> Source:
    kernel = next((name for name in KERNELS if (folder / name).exists()), KERNELS[0])
    params = _text(folder / "kernel-params").split()
    return Source(
        kind="nixos",
        kernel=file_in(folder, kernel),
        initrds=(file_in(folder, "initrd"),),
        cmdline=_without_initrds([f"init={_init_of(folder)}", *params]),
    )


READERS: Final[dict[str, Callable[[Path], Source]]] = {
    MANIFEST: _from_manifest,
    "netboot.ipxe": _from_nixpkgs,
    "kernel-params": _from_nixos_images,
}


def _init_of(folder: Path) -> str:
    """The system's init: what the link `init` ends at, or what a copy of that script says of itself."""
    file = folder / "init"
    target = os.path.realpath(file)
    if _STORE_INIT.fullmatch(target):
        return target
    text = _text(file)
    if _STORE_INIT.fullmatch(text.strip()):
        return text.strip()
    found = _SYSTEM_CONFIG.search(text)
    if not found:
        raise ConfigError(f"{file} does not lead to /nix/store/…/init, which init= must name (rule N1)")
    return f"{found[1]}/init"


def _text(file: Path) -> str:
    try:
        return read_regular(file, TEXT_MAX_BYTES).decode()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file} cannot be read: {error}") from None


def _arguments(words: Sequence[str]) -> list[str]:
    """The words of an iPXE command behind its name and flags."""
    rest = list(words[1:])
    while rest and rest[0].startswith("-"):
        del rest[: 2 if rest[0] in _FLAGS_WITH_VALUE else 1]
    return rest


def _last(path_or_url: str) -> str:
    return path_or_url.rpartition("/")[2]


def _without_initrds(words: Iterable[str]) -> str:
    return " ".join(word for word in words if not word.startswith("initrd="))
