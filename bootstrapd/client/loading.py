"""What a machine loads once it knows the file: the boot program, iPXE's scripts, the kernel; and how that ends.

Owns the chain of downloads. It reads scripts (`script`), it does not run programs: what a program that is no
iPXE does next cannot be told from outside.
"""

from __future__ import annotations

import posixpath
import re
from typing import Final, Protocol

from msgspec import Struct

from bootstrapd.client import script, urls
from bootstrapd.client.fetch import Fetch
from bootstrapd.client.personas import Family, Persona
from bootstrapd.client.steps import TakeFile
from bootstrapd.model import ARCHES, Mac

MAX_SCRIPTS: Final = 8
_IPXE_NAMES: Final = re.compile(r"ipxe|undionly|snp(only)?[.-]", re.IGNORECASE)
_BUILD_ARCHES: Final = {"x86_64": "x86_64", "i686": "i386", "aarch64": "arm64", "arm": "arm32"}


class Files(Protocol):
    """What `fetch.Fetcher` is."""

    def tftp(self, server: str, file: str, blksize: int, *, asks_size_first: bool) -> Fetch: ...
    def head_and_get(self, url: str) -> Fetch: ...
    def get(self, url: str) -> Fetch: ...
    def head(self, url: str) -> Fetch: ...


class Outcome(Struct, frozen=True, kw_only=True):
    """How it ends, in a sentence."""

    boots: bool
    verdict: str


class Loader:
    """The downloads of one machine, in order."""

    def __init__(self, files: Files, mac: Mac) -> None:
        self.files = files
        self.mac = mac
        self.fetches: list[Fetch] = []
        self.said: list[str] = []

    def program(self, persona: Persona, step: TakeFile) -> Fetch | Outcome:
        """The network boot program: the download of an iPXE, or how it ends."""
        if persona.family is Family.EDK2_HTTP:
            got = self._keep(self.files.head_and_get(step.file))
        else:
            asks_size_first = persona.family is Family.EDK2_PXE
            got = self._keep(
                self.files.tftp(step.server, step.file, persona.tftp_blksize, asks_size_first=asks_size_first)
            )
        if not got.is_ok:
            return Outcome(boots=False, verdict=f"it does not boot: {got.url} cannot be loaded: {got.error}")
        if not _IPXE_NAMES.search(posixpath.basename(urls.split(got.url).path)):
            return Outcome(boots=True, verdict=f"it starts {got.url} ({got.size_bytes} bytes)")
        return got

    def autoexec(self, persona: Persona, program: Fetch) -> Outcome | None:
        """autoexec.ipxe beside the program (I9): how it ends, None when there is none or nobody asks for it."""
        if not persona.asks_autoexec:
            return None
        url = urls.join(program.url, "autoexec.ipxe")
        got = self._load(persona, url)
        return self._run(persona, got, [url]) if got.is_ok else None

    def ipxe(self, persona: Persona, server: str, file: str) -> Outcome:
        """What iPXE does with the file name it was given."""
        url = file if urls.split(file).scheme else f"tftp://{server}/{file.lstrip('/')}"
        return self._follow(persona, url, [])

    def _follow(self, persona: Persona, url: str, seen: list[str]) -> Outcome:
        if url in seen or len(seen) >= MAX_SCRIPTS:
            said = f": {self.said[-1]}" if self.said else ""
            return Outcome(boots=False, verdict=f"it waits, and asks {url} again{said}")
        got = self._load(persona, url)
        if not got.is_ok:
            return Outcome(boots=False, verdict=f"it does not boot: {url} cannot be loaded: {got.error}")
        if not got.body.startswith(b"#!ipxe"):
            return Outcome(boots=True, verdict=f"it starts {url} ({got.size_bytes} bytes)")
        return self._run(persona, got, [*seen, url])

    def _run(self, persona: Persona, got: Fetch, seen: list[str]) -> Outcome:
        actions = script.read(got.body.decode("utf-8", "replace"), self._variables(persona))
        self.said += [action.text for action in actions if isinstance(action, script.Say)]
        if failed := self._check_image(got.url, actions):
            return failed
        match actions[-1] if actions else None:
            case script.Chain(url):
                return self._follow(persona, urls.join(got.url, url), seen)
            case script.Boot():
                kernel = next(
                    (action.url for action in actions if isinstance(action, script.Kernel)), "nothing"
                )
                return Outcome(boots=True, verdict=f"it boots {urls.join(got.url, kernel)}")
            case script.LocalDisk(how):
                return Outcome(boots=True, verdict=f"it starts its own disk ({how})")
            case script.Exit(status):
                verdict = f"{got.url} leaves iPXE with status {status}: the firmware's next boot option follows"
                return Outcome(boots=False, verdict=verdict)
            case _:
                return Outcome(boots=False, verdict=f"{got.url} ends without booting anything")

    def _check_image(self, base: str, actions: tuple[script.Action, ...]) -> Outcome | None:
        """HEAD for the kernel and each initrd: a GET would cost the server hundreds of megabytes."""
        for action in actions:
            if isinstance(action, (script.Kernel, script.Initrd)):
                got = self._keep(self.files.head(urls.join(base, action.url)))
                if not got.is_ok:
                    return Outcome(boots=False, verdict=f"it does not boot: {got.url}: {got.error}")
        return None

    def _load(self, persona: Persona, url: str) -> Fetch:
        parts = urls.split(url)
        if parts.scheme == "tftp":
            got = self.files.tftp(
                parts.hostname or "", parts.path.lstrip("/"), persona.tftp_blksize, asks_size_first=False
            )
        else:
            got = self.files.get(url)
        return self._keep(got)

    def _keep(self, got: Fetch) -> Fetch:
        self.fetches.append(got)
        return got

    def _variables(self, persona: Persona) -> dict[str, str]:
        """iPXE's settings as this machine has them; a UUID of zeros, no serial, Secure Boot off."""
        row = ARCHES[persona.arch]
        named = {
            "mac": str(self.mac),
            "mac:hexhyp": self.mac.hexhyp,
            "mac:hexraw": self.mac.hex,
        }
        return {
            **{f"{net}/{key}": value for net in ("netX", "net0") for key, value in named.items()},
            **named,
            "uuid": "00000000-0000-0000-0000-000000000000",
            "buildarch": _BUILD_ARCHES[row.cpu] if row.is_uefi else "i386",
            "platform": "efi" if row.is_uefi else "pcbios",
            "efi/SecureBoot": "00" if row.is_uefi else "",
        }
