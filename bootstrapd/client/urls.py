"""File names and URLs as servers write them: whatever they are, splitting them is no error."""

from __future__ import annotations

import posixpath
from urllib.parse import SplitResult, urlsplit


def split(url: str) -> SplitResult:
    """The parts of a URL; of what cannot be one, all of it as the path."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises, where the port is none
    except ValueError:
        return SplitResult("", "", url, "", "")
    return parts


def is_http(url: str) -> bool:
    return split(url).scheme in ("http", "https")


def is_efi(url: str) -> bool:
    """Whether the path ends in .efi; the query does not count (FIRMWARE.md 4)."""
    return split(url).path.lower().endswith(".efi")


def host(url: str) -> str:
    return split(url).hostname or ""


def has_address(url: str) -> bool:
    """Whether its host is an IPv4 literal."""
    name = host(url)
    return name.replace(".", "").isdecimal() and name.count(".") == 3


def join(base: str, target: str) -> str:
    """A script's target as a URL; relative ones start where the script was (also for tftp://)."""
    if split(target).scheme:
        return target
    parts = split(base)
    path = posixpath.normpath(posixpath.join("/", posixpath.dirname(parts.path), target))
    return f"{parts.scheme}://{parts.netloc}{path}"
