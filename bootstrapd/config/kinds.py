"""The constrained kinds of value that config.toml and the hosts folder are made of, each with words for people.

Names, labels and parameters end up in paths, URLs, scripts and command lines: their patterns let nothing
through that means something there. None of them may stand in a union with a table or a list (`Name | dict`):
msgspec 0.22 then frees the pattern once too often, and the process dies at some later moment.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from bootstrapd.model import IMAGE_PATTERN


def _like(pattern: str, words: str) -> Meta:
    return Meta(pattern=rf"^(?:{pattern})\Z", description=words)  # \Z: a $ would forgive a newline


_LINE: Final = r"[^\x00-\x1f\x7f-\x9f]"
NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
_SIZE: Final = r"[0-9]{1,9}(\.[0-9]{1,3})?[KMGTP]?"
_OCTET: Final = r"(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"  # no leading zero: octal to some
_PUBLIC_KEY: Final = r"(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}"

Text = Annotated[str, _like(rf"{_LINE}{{0,256}}", "one line of text")]
Name = Annotated[str, _like(NAME, "a name of letters, digits and . _ -")]
OptionalName = Annotated[str, _like(f"({NAME})?", "a name of letters, digits and . _ -")]
OptionalImage = Annotated[str, _like(f"({IMAGE_PATTERN})?", "a name of lower-case letters, digits and . _ -")]
Folder = Annotated[str, _like(rf"/{_LINE}*", "an absolute path such as /srv/hosts")]
OptionalFolder = Annotated[
    str, _like(rf"(/{_LINE}*)?", 'an absolute path such as /srv/hosts, or "" for the default')
]
OptionalFile = Annotated[str, _like(rf"(/{_LINE}*)?", 'the absolute path of a file, or "" for none')]
OptionalListen = Annotated[
    str,
    _like(
        rf"((({_OCTET}\.){{3}}{_OCTET}|\[[0-9A-Fa-f:.]+\]):[1-9][0-9]{{0,4}})?",
        'an IP address and a port such as "127.0.0.1:8470", or "" for none',
    ),
]
_NATS_URL: Final = r"(nats|tls|nats-leaf)://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
NatsUrl = Annotated[str, _like(_NATS_URL, 'a URL such as "nats://nats.example.org:4222"')]
OptionalNatsUrl = Annotated[
    str, _like(f"({_NATS_URL})?", 'a URL such as "nats://nats.example.org:4222", or "" for none')
]
Subject = Annotated[
    str,
    _like(
        r"[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{1,64}){0,7}",
        "words of letters, digits, _ and - with dots between",
    ),
]
OptionalSite = Annotated[str, _like(r"[A-Za-z0-9_-]{0,64}", "a word of letters, digits, _ and -")]
Interface = Annotated[
    str, _like(r"(?!\.{1,2}\Z)[^\s/:\x00-\x1f]{1,15}", "the name of an interface such as enp3s0")
]
AuthorizedKey = Annotated[
    str,
    _like(
        rf"({_LINE}+ )?{_PUBLIC_KEY}( {_LINE}*)?",
        'one public SSH key on one line, such as "ssh-ed25519 AAAA… me@desk"',
    ),
]
FlakeRef = Annotated[str, _like(r"([^\s\x00-\x1f-][^\s\x00-\x1f]*)?", 'a flake such as "github:me/fleet"')]
KernelParam = Annotated[
    str,
    _like(r"[A-Za-z0-9_.,:;=@%/+*~^()\[\]<>!?-]{1,512}", "one kernel parameter without blanks, quotes, $ or &"),
]
EspLabel = Annotated[str, _like("[A-Za-z0-9_-]{1,11}", "a FAT label: at most 11 letters, digits, _ or -")]
Address = Annotated[
    str,
    _like(
        rf"({_OCTET}\.){{3}}{_OCTET}/(3[0-2]|[12]?[0-9])",
        'an IPv4 address with its prefix such as "10.1.0.11/24"',
    ),
]
Subnet = Annotated[
    str,
    _like(rf"({_OCTET}\.){{3}}{_OCTET}/(3[0-2]|[12]?[0-9])", 'an IPv4 network such as "10.1.0.0/24"'),
]
Ip = Annotated[str, _like(rf"({_OCTET}\.){{3}}{_OCTET}", 'an IPv4 address such as "10.1.0.1"')]
OptionalIp = Annotated[str, _like(rf"(({_OCTET}\.){{3}}{_OCTET})?", 'an IPv4 address such as "10.1.0.1"')]
Size = Annotated[str, _like(_SIZE, 'a size such as "64G" or "1.5T"')]
SizeBound = Annotated[str, _like(rf"((>=|<=|=)?{_SIZE})?", 'a size such as ">=900G", "<=2T" or "1T"')]
PciId = Annotated[str, _like("[0-9a-f]{4}:[0-9a-f]{4}", 'a PCI id such as "10de:20b5"')]
LinkSpeed = Annotated[str, _like("[0-9]{1,6}[MG]", 'a speed such as "10G"')]

Vlan = Annotated[int, Meta(ge=1, le=4094, description="a VLAN from 1 to 4094")]
Port = Annotated[int, Meta(ge=1, le=65535, description="a port number from 1 to 65535")]
Count = Annotated[int, Meta(ge=1, le=1_000_000, description="a whole number from 1 to 1000000")]
Threads = Annotated[int, Meta(ge=0, le=65536, description="a number of threads")]
Capability = Annotated[float, Meta(ge=0, le=1000, description="a number such as 8.6")]
Blksize = Annotated[int, Meta(ge=8, le=65464, description="a block size from 8 to 65464 bytes (RFC 2348)")]
OwnBlksize = Annotated[int, Meta(ge=512, le=65464, description="a block size from 512 to 65464 bytes")]
Windowsize = Annotated[int, Meta(ge=1, le=65535, description="a window from 1 to 65535 blocks (RFC 7440)")]
