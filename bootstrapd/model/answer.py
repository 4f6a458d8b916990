"""The decision about an ask, and what a door makes of it."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct


class Decision(Struct, frozen=True, kw_only=True):
    """The answer to an ask, always with its reason in words and the id of the rule that chose it."""

    reason: str
    rule: str


class Chain(Decision, frozen=True, kw_only=True):
    """Load this network boot program."""

    program: str


class Script(Decision, frozen=True, kw_only=True):
    """Run this iPXE script: `image` boots the image, `wait` says why not yet and asks again."""

    template: str
    image: str = ""


class LocalDisk(Decision, frozen=True, kw_only=True):
    """Boot the machine's own disk. Firmware gets `program` (iPXE), whose script starts the disk (rule I15)."""

    method: str  # profile's local_boot: "disk" | "cancel" ("silence" is a Silence)
    program: str
    esp_label: str = "ESP"


class Silence(Decision, frozen=True, kw_only=True):
    """No answer: nothing on DHCP and 4011, ERROR 1 by TFTP, 404 by HTTP. `code` is counted and shown."""

    code: str


class Nothing(Struct, frozen=True):
    """A door's answer: none. `reason` is for the log, the counter and `explain`."""

    reason: str


class DhcpReply(Struct, frozen=True, kw_only=True):
    """What the DHCP and 4011 doors add to the copied header: the codec fills in the rest.

    `options` are in wire order after 53 and 54; option 97 is echoed by the codec.
    """

    message_type: int  # option 53
    next_server: str  # siaddr
    file: str
    options: tuple[tuple[int, bytes], ...]


class FileReply(Struct, frozen=True, kw_only=True):
    """A file on disk, served as it is. `etag` is its sha256 where the manifest knows it."""

    path: Path
    name: str
    content_type: str = "application/octet-stream"
    etag: str = ""
    size: int = -1
    max_blksize: int = 0  # TFTP caps of the host (rules T4, T6); 0 = the server's own
    max_windowsize: int = 0


class TextReply(Struct, frozen=True, kw_only=True):
    """Bytes made for this ask: a script, an overlay."""

    body: bytes
    name: str
    content_type: str = "text/plain; charset=utf-8"


Reply = Nothing | DhcpReply | FileReply | TextReply
