"""The sender of a file, alone and against a reader in memory; time is an argument."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tftp_pair import DELAY_S, Pair, Reader, blocks, doubling, dropping, fast_run, options, sender

from bootstrapd.errors import WireError
from bootstrapd.wire import tftp
from bootstrapd.wire.tftp import Ack, Agreed, Data, Error, Oack, Rrq
from bootstrapd.wire.tftp_blocks import Framed, Packets, Prebuilt, Run, datagrams
from bootstrapd.wire.tftp_transfer import Outcome, Transfer

SIZES = [0, 1, 511, 512, 513, 1024, 5000, 32 * 512, 33 * 512 + 1]


def content_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def ack(block: int) -> bytes:
    return tftp.build(Ack(block & 0xFFFF))


def kinds(content: bytes, blksize: int) -> list[Packets]:
    return [
        Prebuilt(content, blksize),
        Framed(lambda at, length: content[at : at + length], len(content), blksize),
    ]


# The blocks of a file


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("blksize", [8, 512, 1468])
def test_T8_the_last_block_is_short_or_empty(size: int, blksize: int) -> None:
    content = content_of(size)
    for packets in kinds(content, blksize):
        assert packets.count == size // blksize + 1
        sent = [tftp.parse(bytes(one)) for one in datagrams(packets.run(0, packets.count), blksize + 4)]
        assert [one.block for one in sent if isinstance(one, Data)] == list(range(1, packets.count + 1))
        payloads = [one.payload for one in sent if isinstance(one, Data)]
        assert b"".join(payloads) == content
        assert len(payloads[-1]) == size % blksize


@given(st.integers(0, 3000), st.integers(8, 700), st.data())
def test_prebuilt_and_framed_are_the_same(size: int, blksize: int, data: st.DataObject) -> None:
    content = content_of(size)
    prebuilt, framed = kinds(content, blksize)
    for _ in range(4):
        first = data.draw(st.integers(0, prebuilt.count - 1))
        end = data.draw(st.integers(first + 1, min(first + 64, prebuilt.count)))
        assert bytes(prebuilt.run(first, end)) == bytes(framed.run(first, end))
    assert prebuilt.lane is not None
    assert b"".join(map(bytes, prebuilt.lane.packets)) == bytes(framed.run(0, framed.count))


def test_framed_reads_a_little_ahead_only() -> None:
    reads: list[tuple[int, int]] = []

    def read(offset: int, length: int) -> Run:
        reads.append((offset, length))
        return bytes(length)

    packets = Framed(read, 1 << 30, 512)
    packets.run(0, 1)
    packets.run(1, 9)
    assert reads == [(0, 32 * 512)]
    packets.run(1000, 1064)
    assert reads[1:] == [(1000 * 512, 64 * 512)]


# The first packet


def test_T5_data_1_directly() -> None:
    transfer = sender(content_of(600), Agreed())
    assert blocks(transfer.start(), transfer.stride) == [1]
    run = transfer.next_run(ack(1), 0.1)
    assert run is not None
    assert blocks(run, transfer.stride) == [2]
    assert transfer.receive(ack(2), 0.2) == b""
    assert transfer.outcome is Outcome.DONE
    assert transfer.acked_bytes == 600


def test_T2_the_oack_waits_for_ack_0() -> None:
    transfer = sender(content_of(600), options(512))
    assert tftp.parse(bytes(transfer.start())) == Oack((("blksize", "512"), ("windowsize", "1")))
    assert transfer.receive(ack(1), 0.1) == b""
    assert not transfer.was_answered
    assert blocks(transfer.receive(ack(0), 0.2), transfer.stride) == [1]
    assert transfer.was_answered


@pytest.mark.parametrize(("code", "text"), [(8, "User aborted the transfer"), (0, "TFTP Aborted")])
def test_T1_an_error_after_an_oack_with_tsize_is_a_size_probe(code: int, text: str) -> None:
    """T1: edk2 ends its probe with code 8, the PXE stack of iPXE with code 0."""
    agreed = Agreed(oack=(("tsize", "600"),), knows_size=True)
    transfer = sender(content_of(600), agreed)
    transfer.start()
    assert transfer.receive(tftp.build(Error(code, text)), 0.1) == b""
    assert transfer.outcome is Outcome.PROBE


def test_T1_an_error_later_is_an_abort() -> None:
    transfer = sender(content_of(600), Agreed(oack=(("tsize", "600"),), knows_size=True))
    transfer.start()
    transfer.receive(ack(0), 0.1)
    transfer.receive(tftp.build(Error(8, "disk full")), 0.2)
    assert transfer.outcome is Outcome.ABORTED
    assert transfer.stopped_by == Error(8, "disk full")


def test_an_error_after_an_oack_without_tsize_is_an_abort() -> None:
    transfer = sender(content_of(600), options(512))
    transfer.start()
    transfer.receive(tftp.build(Error(8, "no")), 0.1)
    assert transfer.outcome is Outcome.ABORTED


def test_the_request_came_again() -> None:
    """Our OACK was lost: once more, as long as nothing was acknowledged."""
    transfer = sender(content_of(600), options(512))
    first = transfer.start()
    assert transfer.repeat() == first
    transfer.receive(ack(0), 0.1)
    assert transfer.repeat() == b""
    assert transfer.retransmits == 1


# Windows


def test_T6_a_window_at_a_time() -> None:
    transfer = sender(content_of(512 * 40), options(512, 16))
    transfer.start()
    assert blocks(transfer.receive(ack(0), 0.1), transfer.stride) == list(range(1, 17))
    run = transfer.next_run(ack(16), 0.2)
    assert run is not None
    assert blocks(run, transfer.stride) == list(range(17, 33))
    assert blocks(transfer.next_run(ack(32), 0.3) or b"", transfer.stride) == list(range(33, 42))
    transfer.receive(ack(41), 0.4)
    assert transfer.outcome is Outcome.DONE
    assert transfer.retransmits == 0


def test_T6_go_back_n_on_a_gap() -> None:
    """T6, RFC 7440: an ACK inside the window says from where to go on."""
    transfer = sender(content_of(512 * 40), options(512, 16))
    transfer.start()
    transfer.receive(ack(0), 0.1)
    assert transfer.next_run(ack(5), 0.2) is None
    assert blocks(transfer.receive(ack(5), 0.2), transfer.stride) == list(range(6, 22))
    assert transfer.retransmits == 11


def test_T6_acks_from_outside_the_window_change_nothing() -> None:
    transfer = sender(content_of(512 * 100), options(512, 4))
    transfer.start()
    transfer.receive(ack(0), 0.1)
    transfer.next_run(ack(4), 0.2)
    for stray in (0, 1, 3, 9, 1000, 65535):
        assert transfer.next_run(ack(stray), 0.3) is None
        assert transfer.receive(ack(stray), 0.3) == b""
    assert blocks(transfer.next_run(ack(8), 0.4) or b"", transfer.stride) == [9, 10, 11, 12]


@pytest.mark.parametrize("prebuilt", [True, False])
@pytest.mark.parametrize("windowsize", [1, 3])
def test_T7_block_numbers_wrap(windowsize: int, *, prebuilt: bool) -> None:
    """T7: 0 follows 65535."""
    content = content_of(65536 * 8 + 100)
    agreed = options(8, windowsize)
    transfer = Transfer(kinds(content, 8)[0 if prebuilt else 1], agreed, 0.0)
    reader = Reader(agreed)
    pair = Pair(transfer, reader)
    pair.run()
    assert transfer.outcome is Outcome.DONE
    assert pair.fast == len(pair.answered) - 1
    assert reader.block > 65536
    assert bytes(reader.content) == content


# Loss, and time


def test_repetitions_get_rarer_and_end() -> None:
    transfer = sender(content_of(5000), options(512))
    transfer.start()
    run = bytes(transfer.receive(ack(0), 0.0))
    times, repeated = [], []
    while transfer.outcome is None:
        now = transfer.next_deadline()
        assert transfer.deadline_reached(now - 0.001) == b""
        times.append(now)
        repeated.append(bytes(transfer.deadline_reached(now)))
    assert times == [1.0, 3.0, 7.0, 15.0, 23.0]
    assert repeated == [run, run, run, run, b""]
    assert transfer.outcome is Outcome.TIMEOUT
    assert transfer.retransmits == 4
    assert transfer.deadline_reached(100.0) == b""


def test_an_unanswered_first_packet_is_repeated_less() -> None:
    """Its address may be forged: three packets are all that a stranger can have us send."""
    transfer = sender(content_of(5000), options(512))
    first = transfer.start()
    for deadline, again in ((1.0, first), (3.0, first), (7.0, b"")):
        assert transfer.next_deadline() == deadline
        assert transfer.deadline_reached(deadline) == again
    assert transfer.outcome is Outcome.TIMEOUT


def test_progress_makes_us_patient_again() -> None:
    transfer = sender(content_of(5000), options(512))
    transfer.start()
    transfer.receive(ack(0), 0.0)
    transfer.deadline_reached(1.0)
    transfer.deadline_reached(3.0)
    assert transfer.is_stuck
    assert transfer.next_run(ack(1), 4.0) is not None
    assert (transfer.is_stuck, transfer.next_deadline()) == (False, 5.0)


def test_the_timeout_that_was_agreed() -> None:
    """RFC 2349."""
    transfer = sender(content_of(5000), options(512, timeout_s=3))
    transfer.start()
    transfer.receive(ack(0), 10.0)
    assert transfer.next_deadline() == 13.0
    transfer.deadline_reached(13.0)
    assert transfer.next_deadline() == 16.0


def test_a_reader_that_is_too_slow_ends() -> None:
    """However regular its ACKs are: an hour is enough for everybody."""
    transfer = sender(bytes(8 * 60000), options(8))
    transfer.start()
    now = 0.0
    for block in range(60000):
        if transfer.next_deadline() <= now:
            transfer.deadline_reached(now)
            break
        assert transfer.next_run(ack(block), now) is not None
        now += 0.9
    assert transfer.outcome is Outcome.TIMEOUT
    assert 3600 <= now < 3602


def test_T9_the_last_block_alone_is_repeated() -> None:
    """T9: no restart when the last ACK does not come, and the end says that all of it was sent."""
    transfer = sender(content_of(1000), options(512))
    transfer.start()
    transfer.receive(ack(0), 0.0)
    transfer.next_run(ack(1), 0.1)
    assert blocks(transfer.deadline_reached(2.0), transfer.stride) == [2]
    while transfer.outcome is None:
        transfer.deadline_reached(transfer.next_deadline())
    assert transfer.outcome is Outcome.UNCONFIRMED
    assert transfer.acked_bytes == 512


def test_T9_a_late_last_ack_is_taken() -> None:
    transfer = sender(content_of(1000), options(512))
    transfer.start()
    transfer.receive(ack(0), 0.0)
    transfer.next_run(ack(1), 0.1)
    transfer.deadline_reached(2.0)
    transfer.receive(ack(2), 2.1)
    assert transfer.outcome is Outcome.DONE


def test_a_closed_port_before_and_at_the_end() -> None:
    transfer = sender(content_of(1000), options(512))
    transfer.start()
    transfer.receive(ack(0), 0.0)
    transfer.give_up(Outcome.GONE)
    assert transfer.outcome is Outcome.GONE
    transfer = sender(content_of(1000), options(512))
    transfer.start()
    transfer.receive(ack(0), 0.0)
    transfer.next_run(ack(1), 0.1)
    transfer.give_up(Outcome.GONE)
    assert transfer.outcome is Outcome.UNCONFIRMED


def test_T9_sorcerers_apprentice() -> None:
    """T9: an ACK that comes twice never doubles what is sent."""
    for number in range(1, 20):
        agreed = options(512)
        pair = Pair(sender(content_of(5000), agreed), Reader(agreed), doubling({number}))
        pair.run()
        assert pair.transfer.outcome is Outcome.DONE
        assert pair.transfer.retransmits == 0
        assert len(pair.sent) == len(set(pair.sent))


def test_T9_sorcerers_apprentice_with_windows() -> None:
    """T9: as much for windows: no window goes out twice because of one doubled packet."""
    for number in range(1, 40):
        agreed = options(512, 8)
        pair = Pair(sender(content_of(50_000), agreed), Reader(agreed), doubling({number}))
        pair.run()
        assert pair.transfer.outcome is Outcome.DONE
        assert pair.transfer.retransmits <= 8


def test_T9_a_repeated_ack_makes_the_wait_short() -> None:
    """T9: the client is still there and has not got our packet: sooner than a second, but not at once."""
    transfer = sender(content_of(5000), options(512))
    transfer.start()
    transfer.receive(ack(0), 10.0)
    assert transfer.next_deadline() == 11.0
    assert transfer.receive(ack(0), 10.2) == b""
    assert transfer.next_deadline() == 10.25
    assert blocks(transfer.deadline_reached(10.25), transfer.stride) == [1]
    assert transfer.receive(ack(0), 10.26) == b""
    assert transfer.next_deadline() == 11.25


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("windowsize", [1, 4, 64])
@pytest.mark.parametrize("asks", [True, False])
def test_over_a_perfect_wire(size: int, windowsize: int, *, asks: bool) -> None:
    content = content_of(size)
    agreed = options(512, windowsize) if asks else Agreed()
    pair = Pair(sender(content, agreed), Reader(agreed))
    pair.run()
    assert pair.transfer.outcome is Outcome.DONE
    assert bytes(pair.reader.content) == content
    assert pair.transfer.acked_bytes == size
    assert pair.transfer.retransmits == 0


@pytest.mark.parametrize("windowsize", [1, 4])
@pytest.mark.parametrize("asks", [True, False])
def test_T9_each_packet_lost_once(windowsize: int, *, asks: bool) -> None:
    """T9: whichever packet is lost, the file arrives; the last ACK alone may leave us unsure."""
    content = content_of(6 * 512)
    agreed = options(512, windowsize) if asks else Agreed()
    whole = Pair(sender(content, agreed), Reader(agreed))
    whole.run()
    for lost in range(len(whole.sent) + len(whole.answered)):
        pair = Pair(sender(content, agreed), Reader(agreed), dropping({lost}))
        pair.run()
        assert bytes(pair.reader.content) == content
        assert pair.transfer.outcome is Outcome.DONE
        assert pair.now < 5


@given(
    st.integers(0, 12_000),
    st.sampled_from([8, 100, 512, 1468]),
    st.sampled_from([1, 2, 5, 16]),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_T6_T9_over_a_bad_wire(
    size: int, blksize: int, windowsize: int, asks: bool, chance: random.Random
) -> None:
    """T6, T9: lost, doubled and reordered datagrams cost time, never a byte."""
    content = content_of(size)
    agreed = options(blksize, windowsize) if asks else Agreed()

    def fate() -> list[float]:
        copies = chance.choices([0, 1, 2], [5, 85, 10])[0]
        return [DELAY_S * chance.choice([1, 1, 1, 5]) for _ in range(copies)]

    pair = Pair(sender(content, agreed), Reader(agreed), fate)
    pair.run(until_s=7200)
    received = bytes(pair.reader.content)
    assert received == content[: len(received)]
    if pair.transfer.outcome in (Outcome.DONE, Outcome.UNCONFIRMED) and pair.reader.is_done:
        assert received == content
    assert pair.transfer.outcome is not None
    assert pair.transfer.outcome is not Outcome.DONE or received == content


# What does not belong


@pytest.mark.parametrize("packet", [Rrq(b"a"), Data(1, b"x"), Oack(())])
def test_what_has_no_place_in_a_transfer(packet: tftp.Packet) -> None:
    transfer = sender(content_of(5000), options(512))
    transfer.start()
    transfer.receive(ack(0), 0.0)
    deadline = transfer.next_deadline()
    with pytest.raises(WireError):
        transfer.receive(tftp.build(packet), 0.5)
    assert transfer.outcome is None
    assert transfer.next_deadline() == deadline
    assert transfer.next_run(ack(1), 0.6) is not None


@given(st.lists(st.binary(max_size=8) | st.integers(0, 12).map(ack), max_size=40), st.sampled_from([1, 4]))
def test_T9_no_client_has_us_send_more_than_a_window_for_a_packet(
    received: list[bytes], windowsize: int
) -> None:
    """T9, and whatever a hostile client sends: WireError or a run, never more than a window long."""
    transfer = sender(content_of(5000), options(512, windowsize))
    transfer.start()
    for datagram in received:
        if transfer.outcome:
            break
        try:
            run = transfer.next_run(datagram, 0.1)
            run = transfer.receive(datagram, 0.1) if run is None else run
        except WireError:
            continue
        assert len(run) <= windowsize * 516


@given(st.lists(st.integers(0, 12).map(ack), max_size=40), st.sampled_from([1, 4]), st.booleans())
def test_the_fast_paths_do_what_receive_does(received: list[bytes], windowsize: int, prebuilt: bool) -> None:
    packets = kinds(content_of(5000), 512)[0 if prebuilt else 1]
    fast, slow = (Transfer(packets, options(512, windowsize), 0.0) for _ in range(2))
    assert fast.start() == slow.start()
    for now, datagram in enumerate(received):
        if slow.outcome:
            break
        run = fast_run(fast, datagram, now)
        assert (fast.receive(datagram, now) if run is None else run) == slow.receive(datagram, now)
        assert fast.outcome == slow.outcome
        assert fast.next_deadline() == slow.next_deadline()
        assert fast.retransmits == slow.retransmits
        assert fast.acked_bytes == slow.acked_bytes
        assert fast.was_answered == slow.was_answered
