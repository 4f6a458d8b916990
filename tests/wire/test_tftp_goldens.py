"""What real firmware asked by TFTP, read and written again byte by byte, and answered beside dnsmasq's answers.

`REWRITE_GOLDENS=1 pytest` writes the texts anew; read the diff before you keep it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from tftp_pair import sender
from tftp_recorded import GOLDEN, Datagram, conversations, names, recorded

from bootstrapd.wire import tftp
from bootstrapd.wire.tftp import Ack, Caps, Data, Error, Oack, Packet, Rrq
from bootstrapd.wire.tftp_transfer import Outcome

OURS = Caps(1468, 64)
LIKE_DNSMASQ = Caps(1468, 1)  # it knows no windows
SOME_SIZE = 1_000_000
# Recorded with servers that were wrong on purpose, to see what edk2 makes of them.
WRONG_SERVERS = {"edk2-no-options", "edk2-no-tsize"}


def describe(packet: Packet) -> str:
    match packet:
        case Rrq(file, mode, options):
            return f"RRQ {file!r} {mode}{told(options)}"
        case Oack(options):
            return f"OACK{told(options)}"
        case Ack(block):
            return f"ACK {block}"
        case Data(block, payload):
            return f"DATA {block}, {payload[:8].hex(' ')} …"
        case Error(code, text):
            return f"ERROR {code} {text!r}"
        case _:
            raise AssertionError(packet)


def told(options: tftp.Options) -> str:
    return "".join(f" {name}={value}" for name, value in options)


def transcript(datagrams: Iterator[Datagram]) -> Iterator[str]:
    for datagram in datagrams:
        packet = tftp.parse(datagram.payload)
        yield f"{datagram.client} {'>' if datagram.is_from_client else '<'} {describe(packet)}"
        if isinstance(packet, Rrq):
            agreed = tftp.negotiate(packet.options, SOME_SIZE, OURS)
            yield f"    path {tftp.clean_path(packet.file)}"
            yield f"    ours OACK{told(agreed.oack)}"


@pytest.mark.parametrize("name", names())
def test_T2_T10_golden(name: str) -> None:
    """T2, T10: each read request's path and options, and what we agree to."""
    text = "".join(f"{line}\n" for line in transcript(recorded(name)))
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("REWRITE_GOLDENS"):
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("name", names())
def test_client_packets_are_written_as_they_came(name: str) -> None:
    for datagram in recorded(name):
        if datagram.is_from_client:
            assert tftp.build(tftp.parse(datagram.payload)) == datagram.payload


@pytest.mark.parametrize("name", names())
def test_golden_with_junk_behind_it(name: str) -> None:
    """Whatever follows an ACK or an ERROR's text changes nothing, and a request keeps its options."""
    for datagram in recorded(name):
        packet = tftp.parse(datagram.payload)
        junk = b"\xff\x00\x01"
        match packet, tftp.parse(datagram.payload + junk):
            case Ack(), with_junk:
                assert with_junk == packet
            case Error(), with_junk if datagram.is_from_client:
                assert with_junk == packet
            case Rrq(_, _, options), Rrq(_, _, more):
                assert more[: len(options)] == options
            case _:
                pass


def served(name: str) -> list[list[Datagram]]:
    """Conversations in which dnsmasq had the file."""
    return [
        talk for talk in conversations(name) if isinstance(tftp.parse(talk[1].payload), Oack) and len(talk) > 2
    ]


def content_of(talk: list[Datagram], size: int, blksize: int) -> bytes:
    """The file as far as the capture has it, with zeros where it was cut off."""
    content = bytearray(size)
    for datagram in talk:
        match tftp.parse(datagram.payload):
            case Data(block, payload) if not datagram.is_from_client:
                at = (block - 1) * blksize
                content[at : at + len(payload)] = payload
            case _:
                pass
    return bytes(content[:size])


@pytest.mark.parametrize("name", [name for name in names() if name not in WRONG_SERVERS])
def test_T2_T8_we_send_what_dnsmasq_sent(name: str) -> None:
    """T2, T8: the recorded client gets from us what it got when it booted, byte by byte."""
    for talk in served(name):
        rrq = tftp.parse(talk[0].payload)
        assert isinstance(rrq, Rrq)
        oack = tftp.parse(talk[1].payload)
        assert isinstance(oack, Oack)
        theirs = dict(oack.options)
        size = int(theirs.get("tsize", SOME_SIZE))
        agreed = tftp.negotiate(rrq.options, size, LIKE_DNSMASQ)
        assert dict(agreed.oack) == theirs
        content = content_of(talk, size, agreed.blksize)
        transfer = sender(content, agreed)
        sent = bytes(transfer.start())
        assert tftp.parse(sent) == Oack(agreed.oack)
        for datagram in talk[2:]:
            if datagram.is_from_client:
                sent = bytes(transfer.receive(datagram.payload, 0.0))
            else:
                assert sent[: len(datagram.payload)] == datagram.payload
        if isinstance(tftp.parse(talk[-1].payload), Error):
            assert transfer.outcome is Outcome.PROBE


def test_T1_edk2_asks_for_the_size_and_leaves() -> None:
    """T1: as recorded from x64, arm64 and over IPv6."""
    for name in ("edk2-x64", "edk2-arm64-ipxe", "edk2-x64-v6", "shim-grub"):
        rrq, _, abort = next(conversations(name))
        request = tftp.parse(rrq.payload)
        assert isinstance(request, Rrq)
        agreed = tftp.negotiate(request.options, SOME_SIZE, OURS)
        transfer = sender(bytes(SOME_SIZE), agreed)
        transfer.start()
        transfer.receive(abort.payload, 0.0)
        assert transfer.outcome is Outcome.PROBE
        assert transfer.stopped_by == Error(8, "User aborted the transfer")


def test_T5_edk2_without_options_aborts_the_transfer() -> None:
    """T5: DATA 1 comes directly; edk2 wants its OACK and says so, which is no size probe."""
    _, _, abort = next(conversations("edk2-no-options"))
    transfer = sender(bytes(1024), tftp.Agreed())
    assert transfer.start()[:4] == b"\0\3\0\1"
    transfer.receive(abort.payload, 0.0)
    assert transfer.outcome is Outcome.ABORTED
    assert transfer.stopped_by == Error(4, "User aborted download")
