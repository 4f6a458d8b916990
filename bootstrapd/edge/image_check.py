"""Is an image fit to be added, and still fit to be served? By names, sizes and the kernel's head; no hashing.

Rules N1 (a NixOS image without init= ends in an emergency shell) and I19 (initrds of 2 GiB and more do not fit
below 4 GiB). Every mistake is told at once.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from bootstrapd.edge.image_source import FILE_NAME, MANIFEST, Source, file_in, read_manifest
from bootstrapd.errors import ConfigError
from bootstrapd.model import IMAGE_PATTERN, Image
from bootstrapd.wire.bootfile import HEAD_SIZE, cpu

NAME: Final = re.compile(IMAGE_PATTERN)
KINDS: Final = ("nixos", "linux")
ARCHES: Final = ("x86_64", "aarch64", "i686")
MAX_INITRD: Final = 2**31

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
# What would end the line, start a command or be taken away where a command line stands in an iPXE script.
_IPXE_SYNTAX: Final = re.compile(r"""[\x00-\x1f\x7f"'\\]|\$\{|(?:^|\s)(?:\|\||&&|;)(?:\s|$)""")


def check_name(name: str) -> None:
    """ConfigError: this cannot be an image's name."""
    if not NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot name an image: 1 to 63 of a-z, 0-9, . _ -, a letter or digit first")


def read_image(folder: Path, name: str = "") -> Image:
    """A folder's image, by its manifest and the files' sizes. ConfigError: every reason not to serve it.

    `name`: what the image is called where that is not the folder's name.
    """
    name = name or folder.name
    check_name(name)
    manifest = read_manifest(folder)
    sizes: dict[str, int] = {}
    mistakes = _mistakes(manifest.kind, manifest.arch, manifest.cmdline)
    for file in (manifest.kernel, *manifest.initrds):
        try:
            sizes[file] = file_in(folder, file).stat().st_size
        except ConfigError as error:
            mistakes += error.mistakes
            continue
        if manifest.sizes.get(file, sizes[file]) != sizes[file]:
            mistakes.append(f"{file} has {sizes[file]} bytes, its manifest says {manifest.sizes[file]}")
        if not _SHA256.fullmatch(manifest.sha256.get(file, "")):
            mistakes.append(f"sha256.{file}: expected 64 hex digits")
    mistakes += _too_large({file: sizes[file] for file in manifest.initrds if file in sizes})
    if mistakes:
        raise ConfigError(*(f"image {name} is not served: {mistake}" for mistake in mistakes))
    return Image(
        name=name,
        kind=manifest.kind,
        arch=manifest.arch,
        kernel=manifest.kernel,
        initrds=manifest.initrds,
        cmdline=manifest.cmdline,
        sha256={file: manifest.sha256[file] for file in sizes},
        sizes=sizes,
        folder=folder,
    )


def judge(source: Source) -> str:
    """The source's architecture. ConfigError: every reason not to add it."""
    sizes: dict[str, int] = {}
    mistakes: list[str] = []
    for path in source.files:
        try:
            sizes[path.name] = path.stat().st_size
        except OSError as error:
            mistakes.append(f"{path} cannot be read: {error.strerror}")
            continue
        if not path.is_file():
            mistakes.append(f"{path} is not a file")
    if mistakes:
        raise ConfigError(*mistakes)
    names = [path.name for path in source.files]
    mistakes += [
        f"{name!r} cannot be a file name in an image"
        for name in names
        if not FILE_NAME.fullmatch(name) or name == MANIFEST
    ]
    mistakes += [f"two files are named {name!r}" for name in sorted(set(names)) if names.count(name) > 1]
    mistakes += _too_large({path.name: sizes[path.name] for path in source.initrds})
    found = _cpu_of(source.kernel)
    if not found:
        mistakes.append(f"{source.kernel} is no kernel we know (x86 bzImage, arm64 Image, EFI stub)")
    elif source.arch not in ("", found):
        mistakes.append(f"arch: {source.arch} was given, but {source.kernel} is for {found}")
    mistakes += _mistakes(source.kind, source.arch or found or ARCHES[0], source.cmdline)
    if mistakes:
        raise ConfigError(*mistakes)
    return found


def _mistakes(kind: str, arch: str, cmdline: str) -> list[str]:
    mistakes = []
    if kind not in KINDS:
        mistakes.append(f"kind: expected {' or '.join(KINDS)}, found {kind!r}")
    if arch not in ARCHES:
        mistakes.append(f"arch: expected {', '.join(ARCHES)}, found {arch!r}")
    if not _is_utf8(cmdline):
        mistakes.append(f"cmdline: {cmdline!a} is not UTF-8 text")
    if found := _IPXE_SYNTAX.search(cmdline):
        mistakes.append(f"cmdline: {found[0]!r} means something in an iPXE script; leave it out")
    if kind == "nixos" and not any(word.startswith("init=/") for word in cmdline.split()):
        mistakes.append(
            "cmdline: a NixOS image needs init=/nix/store/…/init of the same build as its initrd, "
            "or the machine ends in an emergency shell (rule N1)"
        )
    return mistakes


def _is_utf8(text: str) -> bool:
    """False: it was made of other bytes (a program's arguments) or of half a character (JSON)."""
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _too_large(sizes: dict[str, int]) -> list[str]:
    return [
        f"{file} has {size / 2**30:.2f} GiB; firmware and iPXE take initrds below 2 GiB only (rule I19)"
        for file, size in sizes.items()
        if size >= MAX_INITRD
    ]


def _cpu_of(path: Path) -> str:
    with path.open("rb") as file:
        return cpu(file.read(HEAD_SIZE))
