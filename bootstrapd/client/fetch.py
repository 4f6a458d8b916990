"""Downloads as firmware makes them: TFTP through tftpy's client, HTTP through the standard library's.

Owns sockets, and what is wrong with how a file is served (PROTOCOL.md 4 and 5). edk2 asks TFTP twice, for the
size and for the file, and HTTP with HEAD and GET on one connection (FIRMWARE.md 4 and 5). tftpy knows no
windows: every transfer here is block by block.
"""

from __future__ import annotations

import http.client
import logging
import socket
import struct
import time
from typing import Final

from msgspec import Struct
from tftpy import TftpClient
from tftpy.TftpPacketFactory import TftpPacketFactory
from tftpy.TftpPacketTypes import TftpPacketDAT, TftpPacketERR, TftpPacketOACK, TftpPacketRRQ
from tftpy.TftpShared import TftpException

from bootstrapd.client import urls
from bootstrapd.client.answers import NO_ADDRESS
from bootstrapd.client.rules import Finding, Severity

SIZE_LIMIT: Final = 256 << 20  # no boot program or script is larger; a kernel's size comes from HEAD
KEPT_BYTES: Final = 1 << 20  # of a body: enough for any script
USER_ABORTED: Final = 8
WINDOW: Final = 4  # what edk2 asks for
EFI_TYPE: Final = "application/efi"
UEFI_HEADERS: Final = {"Accept": "*/*", "User-Agent": "UefiHttpBoot/1.0"}
IPXE_HEADERS: Final = {"Connection": "keep-alive", "User-Agent": "iPXE/1.21.1"}
_TFTP_FAILS: Final = (TftpException, OSError, AssertionError, ValueError, struct.error)
_HTTP_FAILS: Final = (OSError, http.client.HTTPException, ValueError)

logging.getLogger("tftpy").setLevel(
    logging.CRITICAL
)  # it logs every lost packet as an error; we say it ourselves


class Fetch(Struct, frozen=True, kw_only=True):
    """One file asked for: `error` is "" when it came. `body` is its first megabyte, "" for a HEAD."""

    url: str
    how: str  # "TFTP", "GET", "HEAD", "HEAD+GET"
    size_bytes: int = -1
    took_s: float = 0.0
    error: str = ""
    body: bytes = b""
    findings: tuple[Finding, ...] = ()

    @property
    def is_ok(self) -> bool:
        return not self.error


class TooLargeError(ValueError):
    """More came than any boot file has."""


class Fetcher:
    """Downloads from `source`, one of our own addresses; `timeout_s` bounds every single wait."""

    def __init__(self, source: str, timeout_s: float, *, tftp_port: int = 69) -> None:
        self.source = "" if source == NO_ADDRESS else source
        self.timeout_s = timeout_s
        self.tftp_port = tftp_port

    def tftp(self, server: str, file: str, blksize: int, *, asks_size_first: bool) -> Fetch:
        """A read of the whole file, after edk2's size query where `asks_size_first`."""
        began = time.monotonic()
        url = f"tftp://{server}/{file.lstrip('/')}"
        sink = _Sink()
        broken: list[Finding] = []
        try:
            if asks_size_first:
                broken = self._ask_size(server, file, blksize)
            options = {"blksize": blksize} if asks_size_first else {"blksize": blksize, "tsize": 0}
            client = TftpClient(server, self.tftp_port, options, localip=self.source, flock=False)
            client.download(file, sink, timeout=self.timeout_s, retries=2)
        except _TFTP_FAILS as error:
            return Fetch(
                url=url,
                how="TFTP",
                took_s=time.monotonic() - began,
                error=str(error) or type(error).__name__,
                findings=tuple(broken),
            )
        took_s = time.monotonic() - began
        return Fetch(
            url=url,
            how="TFTP",
            size_bytes=sink.size,
            took_s=took_s,
            body=bytes(sink.kept),
            findings=tuple(broken),
        )

    def _ask_size(self, server: str, file: str, blksize: int) -> list[Finding]:
        """edk2's size query: OACK, then ERROR 8 to the server's new port (T1, T2)."""
        asked = {"tsize": 0, "blksize": blksize, "windowsize": WINDOW}
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((self.source, 0))
            sock.settimeout(self.timeout_s)
            request = TftpPacketRRQ()
            request.filename, request.mode, request.options = file, "octet", asked
            sock.sendto(request.encode().buffer, (server, self.tftp_port))
            data, peer = sock.recvfrom(65536)
            answer = TftpPacketFactory().parse(data)
            if isinstance(answer, TftpPacketERR):
                raise TftpException(_tftp_error(data))
            abort = TftpPacketERR()
            abort.errorcode = USER_ABORTED
            sock.sendto(abort.encode().buffer, peer)
        return _option_findings(server, answer, asked)

    def head_and_get(self, url: str) -> Fetch:
        """UEFI HTTP boot: HEAD, then GET on the same connection."""
        began = time.monotonic()
        server = urls.host(url)
        broken: list[Finding] = []
        try:
            connection = self._connect(url)
            try:
                head = _ask(connection, "HEAD", url, UEFI_HEADERS)
                head.read()
                broken += _head_findings(server, url, head)
                _expect_ok(head)
                got = _ask(connection, "GET", url, UEFI_HEADERS)
                _expect_ok(got)
                size, kept = _read(got)
            finally:
                connection.close()
        except _HTTP_FAILS as error:
            took_s = time.monotonic() - began
            return Fetch(url=url, how="HEAD+GET", took_s=took_s, error=_say(error), findings=tuple(broken))
        broken += _body_findings(server, head, got, size)
        error_text = next((finding.sentence for finding in broken if finding.severity is Severity.WRONG), "")
        return Fetch(
            url=url,
            how="HEAD+GET",
            size_bytes=size,
            took_s=time.monotonic() - began,
            error=error_text,
            body=kept,
            findings=tuple(broken),
        )

    def get(self, url: str) -> Fetch:
        """iPXE's download."""
        return self._once("GET", url)

    def head(self, url: str) -> Fetch:
        """Whether it is there and how large, without downloading it."""
        return self._once("HEAD", url)

    def _once(self, method: str, url: str) -> Fetch:
        began = time.monotonic()
        try:
            connection = self._connect(url)
            try:
                response = _ask(connection, method, url, IPXE_HEADERS)
                _expect_ok(response)
                promised = int(response.headers.get("Content-Length", -1))
                size, kept = (promised, b"") if method == "HEAD" else _read(response)
            finally:
                connection.close()
        except _HTTP_FAILS as error:
            return Fetch(url=url, how=method, took_s=time.monotonic() - began, error=_say(error))
        return Fetch(url=url, how=method, size_bytes=size, took_s=time.monotonic() - began, body=kept)

    def _connect(self, url: str) -> http.client.HTTPConnection:
        parts = urls.split(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"only http:// is tried here, not {parts.scheme or 'a path'}")
        source = (self.source, 0) if self.source else None
        return http.client.HTTPConnection(
            parts.hostname, parts.port or 80, timeout=self.timeout_s, source_address=source
        )


class _Sink:
    """Counts what is written and keeps its beginning."""

    def __init__(self) -> None:
        self.size = 0
        self.kept = bytearray()

    def write(self, data: bytes) -> None:
        self.size += len(data)
        self.kept += data[: max(KEPT_BYTES - len(self.kept), 0)]
        if self.size > SIZE_LIMIT:
            raise TooLargeError(f"more than {SIZE_LIMIT >> 20} MB came")


def _tftp_error(data: bytes) -> str:
    """`ERROR 1: File not found` from the packet itself: tftpy keeps the number only."""
    text = data[4:].split(b"\0", 1)[0].decode("ascii", "backslashreplace")
    return f"TFTP ERROR {int.from_bytes(data[2:4], 'big')}: {text}"


def _option_findings(server: str, answer: object, asked: dict[str, int]) -> list[Finding]:
    if isinstance(answer, TftpPacketDAT):
        raise TftpException("the server ignores options: edk2 stops with PXE-E99")
    if not isinstance(answer, TftpPacketOACK):
        raise TftpException("the server answered the size query with something else than OACK")
    given = {name.lower() for name in answer.options}
    if "tsize" not in given:
        raise TftpException("no tsize in the OACK: edk2 stops with PXE-E53")
    if unasked := sorted(given - asked.keys()):
        sentence = f"the OACK has options that were not asked for: {', '.join(unasked)}"
        return [Finding("T2", Severity.RISK, server, sentence)]
    return []


def _ask(
    connection: http.client.HTTPConnection, method: str, url: str, headers: dict[str, str]
) -> http.client.HTTPResponse:
    parts = urls.split(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.putrequest(method, target, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    return connection.getresponse()


def _expect_ok(response: http.client.HTTPResponse) -> None:
    if response.status in (301, 302, 303, 307, 308):
        raise ValueError(
            f"HTTP {response.status}: a redirect to {response.headers.get('Location')}, not followed (H7)"
        )
    if response.status != 200:
        raise ValueError(f"HTTP {response.status} {response.reason}")


def _read(response: http.client.HTTPResponse) -> tuple[int, bytes]:
    sink = _Sink()
    while piece := response.read(1 << 16):
        sink.write(piece)
    return sink.size, bytes(sink.kept)


def _head_findings(server: str, url: str, head: http.client.HTTPResponse) -> list[Finding]:
    found = []
    content_type = head.headers.get_content_type()
    if content_type != EFI_TYPE and not urls.is_efi(url):
        sentence = f"Content-Type {content_type} and a path without .efi: edk2 does not load it"
        found.append(Finding("H8", Severity.WRONG, server, sentence))
    if head.status == 200 and "Content-Length" not in head.headers:
        found.append(Finding("H6", Severity.WRONG, server, "HEAD answers without Content-Length"))
    if head.will_close:
        found.append(Finding("H6", Severity.RISK, server, "the connection does not stay open after HEAD"))
    return found


def _body_findings(
    server: str, head: http.client.HTTPResponse, got: http.client.HTTPResponse, size: int
) -> list[Finding]:
    found = []
    if "Content-Length" not in got.headers:
        found.append(Finding("H9", Severity.RISK, server, "GET answers without Content-Length (chunked)"))
    promised = head.headers.get("Content-Length", str(size))
    if promised != str(size):
        sentence = f"HEAD promises {promised} bytes, GET sends {size}"
        found.append(Finding("H6", Severity.WRONG, server, sentence))
    return found


def _say(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
