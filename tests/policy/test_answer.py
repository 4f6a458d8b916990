"""What the DHCP and 4011 doors say for a decision (DESIGN.md, "Decision x door"; FIRMWARE.md 4)."""

from __future__ import annotations

from typing import Any

import pytest
from builders import SERVER, ask, host, setup
from dhcp_packets import GOLDEN, recorded

from bootstrapd.model import ARCHES, Chain, DhcpReply, Door, LocalDisk, Nothing, Script, Silence, Stage
from bootstrapd.policy.answer import base_url, reply
from bootstrapd.policy.boot import Standing, decide
from bootstrapd.wire import dhcp

CHAIN = Chain(program="snponly.efi", reason="r", rule="x")
SCRIPT = Script(template="image", image="installer", reason="r", rule="x")
DISK = LocalDisk(method="disk", program="snponly.efi", reason="r", rule="x")
CANCEL = LocalDisk(method="cancel", program="snponly.efi", reason="r", rule="x")
SILENCE = Silence(code="UNKNOWN", reason="nobody's", rule="x")
NBP = "nbp/52-54-00-77-00-10/snponly.efi"
URL = "http://10.77.0.2/boot.ipxe"


def said(decision: Any, question: Any, **fields: Any) -> DhcpReply:
    answer = reply(decision, question, setup(host(), **fields))
    assert isinstance(answer, DhcpReply)
    return answer


def test_P1_a_bios_rom_is_told_to_take_this_offer() -> None:
    answer = said(CHAIN, ask(arch=0))
    assert answer.options == ((60, b"PXEClient"), (43, b"\x06\x01\x08\xff"))
    assert answer.file == NBP


def test_P2_uefi_gets_no_discovery_tags() -> None:
    answer = said(CHAIN, ask(arch=7))
    assert answer.options == ((60, b"PXEClient"),)
    assert (answer.message_type, answer.next_server, answer.file) == (2, "10.77.0.2", NBP)


@pytest.mark.parametrize("arch", [0, 7, 9, 11])
def test_P3_P4_4011_is_answered_with_an_ack_for_every_architecture(arch: int) -> None:
    answer = said(CHAIN, ask(door=Door.PXE, arch=arch))
    assert (answer.message_type, answer.next_server, answer.file) == (5, "10.77.0.2", NBP)


def test_P7_siaddr_is_never_zero() -> None:
    for decision in (CHAIN, SCRIPT, DISK):
        for arch in (0, 7, 16):
            assert said(decision, ask(arch=arch, stage=Stage.IPXE)).next_server == "10.77.0.2"


def test_H1_H3_http_boot_gets_its_class_and_a_url_with_an_address() -> None:
    answer = said(CHAIN, ask(arch=16))
    assert answer.options == ((60, b"HTTPClient"),)
    assert answer.file == f"http://10.77.0.2/{NBP}"


def test_I6_an_ipxe_gets_the_script_url_and_our_priority() -> None:
    uefi = said(SCRIPT, ask(stage=Stage.IPXE))
    assert uefi.options == ((60, b"PXEClient"), (175, b"\x01\x01\x01"))
    assert uefi.file == URL
    bios = said(SCRIPT, ask(stage=Stage.IPXE, arch=0))
    assert bios.options == ((60, b"PXEClient"), (43, b"\x06\x01\x08\xff"), (175, b"\x01\x01\x01"))
    assert bios.file == URL


def test_P20_I10_an_ipxe_rom_gets_the_script_by_dhcp_and_never_undionly() -> None:
    """The recorded question of QEMU's BIOS ROM, decided on: there is no autoexec.ipxe on that platform."""
    (discovered, *_) = recorded(GOLDEN / "dhcp" / "ipxe-rom-bios.pcap")
    question = dhcp.read_ask(dhcp.parse(discovered.datagram.payload), Door.DHCP, SERVER)
    assert question is not None
    assert (question.stage, question.arch) == (Stage.IPXE, ARCHES[0])
    fleet = setup(host())
    answer = reply(decide(question, Standing(host=host()), fleet), question, fleet)
    assert isinstance(answer, DhcpReply)
    assert answer.file == URL


@pytest.mark.parametrize("decision", [CHAIN, SCRIPT, DISK, CANCEL])
@pytest.mark.parametrize("door", [Door.DHCP, Door.PXE])
@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("arch", sorted(ARCHES))
def test_P18_no_answer_has_a_menu(decision: Any, door: Door, stage: Stage, arch: int) -> None:
    """Tags 8, 9, 10 and 71: the only one that is ever sent is 6, discovery control."""
    answer = reply(decision, ask(door=door, stage=stage, arch=arch), setup(host()))
    if isinstance(answer, DhcpReply):
        assert dict(answer.options).get(43, b"\x06\x01\x08\xff") == b"\x06\x01\x08\xff"


def test_H4_I7_I17_urls_are_address_literals_without_spaces() -> None:
    url = said(SCRIPT, ask(stage=Stage.IPXE), http_port=8080).file
    assert url == "http://10.77.0.2:8080/boot.ipxe"
    assert base_url("10.0.0.1", 80) == "http://10.0.0.1"


@pytest.mark.parametrize(
    ("arch", "stage", "file"),
    [(7, Stage.FIRMWARE, NBP), (0, Stage.FIRMWARE, NBP), (16, Stage.FIRMWARE, f"http://10.77.0.2/{NBP}"),
     (7, Stage.IPXE, URL), (0, Stage.IPXE, URL)],
)  # fmt: skip
def test_P19_local_disk_looks_like_chain_to_firmware_and_like_a_script_to_ipxe(
    arch: int, stage: Stage, file: str
) -> None:
    assert said(DISK, ask(arch=arch, stage=stage)).file == file


def test_P19_a_cancel_offer_names_no_file_and_no_boot_server() -> None:
    """FIRMWARE 4 row 05: PXE-E21, then the next boot option."""
    answer = said(CANCEL, ask(arch=7))
    assert (answer.file, answer.options) == ("", ((60, b"PXEClient"), (43, b"\x06\x01\x08\xff")))
    assert isinstance(reply(CANCEL, ask(door=Door.PXE), setup(host())), Nothing)
    assert isinstance(reply(CANCEL, ask(arch=16), setup(host())), Nothing)
    assert said(CANCEL, ask(stage=Stage.IPXE)).file == URL


@pytest.mark.parametrize("door", [Door.DHCP, Door.PXE])
@pytest.mark.parametrize("stage", list(Stage))
def test_silence_is_nothing_at_every_door(door: Door, stage: Stage) -> None:
    assert reply(SILENCE, ask(door=door, stage=stage), setup(host())) == Nothing("nobody's")
