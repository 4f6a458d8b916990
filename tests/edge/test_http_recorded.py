"""HTTP boot: what firmware sent, byte for byte, and the spellings and types that firmware needs."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from http_serving import ask, big_file, serving, talk
from scapy.layers.inet import TCP
from scapy.utils import PcapReader

from bootstrapd.model import FileReply, Reply, TextReply

GOLDEN = Path(__file__).parent.parent / "golden" / "boots"


class Recorded(NamedTuple):
    request: bytes
    status: int  # what nginx answered
    length: int


def conversations(name: str) -> list[list[Recorded]]:
    """A capture's HTTP requests, a list a connection, each with nginx's answer."""
    found: dict[int, list[Recorded]] = {}
    with PcapReader(str(GOLDEN / f"{name}.pcap")) as packets:
        for packet in packets:
            data = bytes(packet[TCP].payload) if TCP in packet else b""
            if not data:
                continue
            if packet[TCP].dport == 80 and data.split(b" ")[0] in (b"GET", b"HEAD"):
                found.setdefault(packet[TCP].sport, []).append(Recorded(data, 0, 0))
            elif data.startswith(b"HTTP/1.1 "):
                talk_of = found.get(packet[TCP].dport)
                if talk_of:
                    length = int(data.split(b"Content-Length: ")[1].split(b"\r\n")[0])
                    talk_of[-1] = Recorded(talk_of[-1].request, int(data.split()[1]), length)
    return list(found.values())


@pytest.mark.parametrize("name", ["uefi-http4-uki", "secureboot-http-proxy", "bios-ipxe-rom"])
async def test_what_firmware_sent_is_answered_as_nginx_did(name: str, tmp_path: Path) -> None:
    """H6: HEAD, then GET on one connection; H7: `//` without a redirect; H9, H10: one Content-Length, first."""
    talks = conversations(name)
    replies: dict[str, Reply | Exception] = {}
    for request, status, length in (recorded for talk_of in talks for recorded in talk_of):
        path = request.split()[1].decode().replace("//", "/").lstrip("/")
        if status == 200:
            file = tmp_path / path.replace("/", "_")
            file.touch()
            with file.open("r+b") as opened:
                opened.truncate(length)
            replies[path] = FileReply(path=file, name=file.name)
    async with serving(replies) as server:
        for talk_of in talks:
            responses = await talk(server.port, [recorded.request for recorded in talk_of])
            for response, recorded in zip(responses, talk_of, strict=True):
                assert response.status == recorded.status
                assert response.headers[0][0] == "Content-Length"
                assert not response.has("Transfer-Encoding")
                if recorded.status == 200:
                    assert int(response.header("Content-Length")) == recorded.length
                if recorded.request.split()[1].endswith(b".efi") and recorded.status == 200:
                    assert response.header("Content-Type") == "application/efi"
    assert len(talks) > 0


async def test_ipxe_is_told_to_keep_its_connection(tmp_path: Path) -> None:
    """H6: iPXE reuses a connection only when the answer says keep-alive."""
    async with serving({"initrd": big_file(tmp_path)}) as server:
        response = await ask(server.port, "GET", "/initrd", Connection="keep-alive")
    assert response.header("Connection") == "keep-alive"


async def test_head_says_what_get_would_and_counts_as_a_probe(tmp_path: Path) -> None:
    """H6."""
    async with serving(
        {"initrd": big_file(tmp_path), "boot.ipxe": TextReply(body=b"#!ipxe", name="b")}
    ) as server:
        for path in ("/initrd", "/boot.ipxe", "/nowhere"):
            head, get = await ask(server.port, "HEAD", path), await ask(server.port, "GET", path)
            dated = [[pair for pair in made.headers if pair[0] != "Date"] for made in (head, get)]
            assert dated[0] == dated[1]
            assert head.status == get.status
        assert [asked.is_probe for asked in server.asks] == [True, False] * 3
        assert server.sent == [("initrd", True), ("boot.ipxe", True)]


@pytest.mark.parametrize("name", ["x.efi", "X.EFI", "disk.iso", "disk.img", "boot.ipxe", "initrd"])
async def test_types_that_edk2_takes(name: str, tmp_path: Path) -> None:
    """H8."""
    wanted = {
        "efi": "application/efi",
        "iso": "application/vnd.efi-iso",
        "img": "application/vnd.efi-img",
        "ipxe": "text/plain; charset=utf-8",
    }
    (tmp_path / name).write_bytes(b"MZ")
    async with serving({"f": FileReply(path=tmp_path / name, name=name)}) as server:
        response = await ask(server.port, "GET", "/f")
    kind = wanted.get(name.rpartition(".")[2].lower(), "application/octet-stream")
    assert response.header("Content-Type") == kind


@pytest.mark.parametrize(
    "path", ["//boot.ipxe", "/./boot.ipxe", "/boot.ipxe/", "/%62oot.ipxe", "http://h/boot.ipxe"]
)
async def test_odd_spellings_are_the_file_itself(path: str) -> None:
    """H7: never a redirect."""
    async with serving({"boot.ipxe": TextReply(body=b"#!ipxe\n", name="boot.ipxe")}) as server:
        response = await ask(server.port, "GET", path)
    assert (response.status, response.body) == (200, b"#!ipxe\n")
