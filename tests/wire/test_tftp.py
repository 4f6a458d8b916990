"""TFTP packets, paths and options, rule by rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootstrapd.errors import WireError
from bootstrapd.wire import tftp
from bootstrapd.wire.tftp import Ack, Agreed, Caps, Data, Error, Oack, Options, Packet, Rrq, Wrq

CAPS = Caps(1468, 64)
SIZE = 1_036_152

texts = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=20)
names = texts.filter(bool)
options = st.lists(st.tuples(names, texts), max_size=6).map(tuple)
numbers = st.integers(0, 65535)
files = texts.map(lambda text: text.encode("latin-1"))
packets: st.SearchStrategy[Packet] = st.one_of(
    st.builds(Rrq, files, texts, options),
    st.builds(Wrq, files, texts, options),
    st.builds(Data, numbers, st.binary(max_size=600)),
    st.builds(Ack, numbers),
    st.builds(Error, numbers, texts),
    st.builds(Oack, options),
)


@given(packets)
def test_every_packet_is_read_as_it_was_written(packet: Packet) -> None:
    assert tftp.parse(tftp.build(packet)) == packet


@given(st.binary(max_size=600))
def test_any_bytes_are_a_packet_or_a_wire_error(data: bytes) -> None:
    try:
        tftp.build(tftp.parse(data))
    except WireError:
        return


@given(packets, st.data())
def test_any_mutation_is_a_packet_or_a_wire_error(packet: Packet, data: st.DataObject) -> None:
    mutated = bytearray(tftp.build(packet))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(len(mutated) - 1, 0)))
        mutated[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        tftp.parse(bytes(mutated))
    except WireError:
        return


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "0 bytes"),
        (b"\0", "1 bytes"),
        (b"\0\0ab", "no opcode 0"),
        (b"\0\7abc", "no opcode 7"),
        (b"\1\1file\0octet\0", "no opcode 257"),
        (b"\0\1", "without file name and mode"),
        (b"\0\1file", "without file name and mode"),
        (b"\0\1file\0octet", "without file name and mode"),
        (b"\0\4\0", "without its number"),
        (b"\0\5", "without its number"),
        (b"\0\3\1", "without its number"),
    ],
)
def test_broken_packets(data: bytes, says: str) -> None:
    with pytest.raises(WireError, match=says):
        tftp.parse(data)


def test_a_request_padded_with_zeros_or_cut_in_its_options() -> None:
    plain = Rrq(b"a.efi", "octet", (("blksize", "1432"),))
    assert tftp.parse(tftp.build(plain) + bytes(200)) == plain
    assert tftp.parse(tftp.build(plain) + b"tsize\0") == plain
    assert tftp.parse(tftp.build(plain) + b"tsize\0" + b"0") == plain


def test_an_error_text_without_its_end() -> None:
    """dnsmasq sends such."""
    assert tftp.parse(b"\0\5\0\1not found") == Error(1, "not found")


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"snponly.efi", "snponly.efi"),
        (b"/snponly.efi", "snponly.efi"),
        (b"//nbp//52-54-00-aa-bb-01/snponly.efi", "nbp/52-54-00-aa-bb-01/snponly.efi"),
        (b"\\nbp\\52-54-00-aa-bb-01\\snponly.efi", "nbp/52-54-00-aa-bb-01/snponly.efi"),
        (b"./nbp/./snponly.efi", "nbp/snponly.efi"),
        (b"nbp/../snponly.efi", "snponly.efi"),
        (b"../../etc/passwd", "etc/passwd"),
        (b"/../..\\..//etc/passwd", "etc/passwd"),
        (b"nbp/../../../etc/passwd", "etc/passwd"),
        (b"tftp://10.77.0.2/nbp/snponly.efi", "nbp/snponly.efi"),
        (b"TFTP://10.77.0.2:69/snponly.efi", "snponly.efi"),
        (b"http://10.77.0.2/snponly.efi", "snponly.efi"),
        (b"tftp:\\\\10.77.0.2\\snponly.efi", "snponly.efi"),
        (b"tftp://10.77.0.2/../snponly.efi", "snponly.efi"),
        (b"tftp://10.77.0.2", ""),
        (b"dc2b6a11/start4.elf", "dc2b6a11/start4.elf"),
        (b"boot.ipxe.0", "boot.ipxe.0"),
        (b"", ""),
        (b"/", ""),
        (b"..", ""),
        ("größe.efi".encode(), "größe.efi"),
        (b"gr\xf6\xdfe.efi", "gr\ufffd\ufffde.efi"),
        (b"a\x1b[31mb\n", "a\ufffd[31mb\ufffd"),
    ],
)
def test_T10_path_forms(raw: bytes, path: str) -> None:
    """T10: whatever form the name has, the path is inside our root, and its folders are kept."""
    assert tftp.clean_path(raw) == path


@pytest.mark.parametrize("name", [b"undionly.kpxe\xff", b"undionly.kpxe\xff\xff", b"/undionly.kpxe\xff"])
def test_T11_trailing_end_mark(name: bytes) -> None:
    assert tftp.clean_path(name) == "undionly.kpxe"


@given(st.binary(max_size=80) | st.text("./\\a:", max_size=40).map(str.encode))
def test_T10_no_name_leaves_the_root(raw: bytes) -> None:
    steps = tftp.clean_path(raw).split("/")
    assert steps == [""] or not {"", ".", ".."} & set(steps)


def agreed(*asked: tuple[str, str], caps: Caps = CAPS) -> Agreed:
    return tftp.negotiate(asked, SIZE, caps)


def test_T2_only_what_was_asked_for_in_the_order_asked() -> None:
    assert agreed(("tsize", "0"), ("blksize", "1432")).oack == (("tsize", str(SIZE)), ("blksize", "1432"))
    assert agreed(("blksize", "1432")).oack == (("blksize", "1432"),)
    assert agreed(("tsize", "0")) == Agreed(oack=(("tsize", str(SIZE)),), knows_size=True)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["blksize", "TSIZE", "timeout", "windowsize", "rollover", "x"]),
            texts | numbers.map(str),
        ),
        max_size=8,
    ).map(tuple)
)
def test_T2_nothing_unasked_and_no_more_than_asked(asked: Options) -> None:
    """T2, T4: each option at most once, spelled as asked; sizes never above what was asked."""
    answer = tftp.negotiate(asked, SIZE, CAPS)
    spellings = [name for name, _ in answer.oack]
    assert len(spellings) == len({name.lower() for name in spellings})
    for name, value in answer.oack:
        assert name in [spelling for spelling, _ in asked]
        if name in ("blksize", "windowsize"):
            assert int(value) <= max(
                int(text) for spelling, text in asked if spelling == name and tftp._decimal(text) > 0
            )
    assert 8 <= answer.blksize <= 1468
    assert 1 <= answer.windowsize <= 64


def test_T3_names_without_case_and_unknown_ones_ignored() -> None:
    answer = agreed(("BlkSize", "1432"), ("utimeout", "10"), ("TSIZE", "0"), ("multicast", ""))
    assert answer.oack == (("BlkSize", "1432"), ("TSIZE", str(SIZE)))
    assert answer.blksize == 1432


def test_T3_the_first_of_two_counts() -> None:
    """T3; RFC 2347 has every option once at most."""
    assert agreed(("blksize", "1024"), ("BLKSIZE", "1432")).oack == (("blksize", "1024"),)


@pytest.mark.parametrize(
    ("asked", "given"),
    [("8", 8), ("512", 512), ("1228", 1228), ("1468", 1468), ("1469", 1468), ("65464", 1468), ("65465", 1468)],
)
def test_T4_blksize(asked: str, given: int) -> None:
    """T4: the path's MTU at most, never more than asked."""
    answer = agreed(("blksize", asked))
    assert answer.blksize == given
    assert answer.oack == (("blksize", str(given)),)


@pytest.mark.parametrize("asked", ["7", "1", "0", "-1", "abc", "", "1e3", "0x200", "٥١٢", "9" * 11])
def test_T4_impossible_blksize_is_left_out(asked: str) -> None:
    """T4, RFC 2347: an option that cannot be taken is not answered; the rest is."""
    assert agreed(("blksize", asked)) == Agreed()
    assert agreed(("blksize", asked), ("tsize", "0")).oack == (("tsize", str(SIZE)),)


def test_T4_a_hosts_own_cap() -> None:
    assert agreed(("blksize", "1468"), caps=Caps(512, 64)).blksize == 512
    assert agreed(("blksize", "1468"), caps=Caps(1024, 64)).oack == (("blksize", "1024"),)


def test_T5_no_options_no_oack() -> None:
    assert agreed() == Agreed(blksize=512, windowsize=1, timeout_s=0, oack=())


@pytest.mark.parametrize(("asked", "given"), [("1", 1), ("4", 4), ("64", 64), ("65", 64), ("65535", 64)])
def test_T6_windowsize(asked: str, given: int) -> None:
    answer = agreed(("windowsize", asked))
    assert answer.windowsize == given
    assert answer.oack == (("windowsize", str(given)),)


@pytest.mark.parametrize("asked", ["0", "65536", "-4", "four"])
def test_T6_impossible_windowsize_is_left_out(asked: str) -> None:
    assert agreed(("windowsize", asked)) == Agreed()


def test_T6_windows_off_for_a_host() -> None:
    """T6: as if we had never heard of them, as dnsmasq."""
    off = Caps(1468, 1)
    assert agreed(("blksize", "1468"), ("windowsize", "4"), caps=off).oack == (("blksize", "1468"),)
    assert agreed(("windowsize", "1"), caps=off).oack == (("windowsize", "1"),)


@pytest.mark.parametrize(("asked", "given"), [("1", 1), ("255", 255), ("0", 0), ("256", 0), ("x", 0)])
def test_timeout_option(asked: str, given: int) -> None:
    """RFC 2349: taken as asked, or not at all."""
    answer = agreed(("timeout", asked))
    assert answer.timeout_s == given
    assert answer.oack == ((("timeout", asked),) if given else ())


@pytest.mark.parametrize("value", ["0", "", "junk", "123"])
def test_T2_size_whatever_the_value_asked_with(value: str) -> None:
    assert agreed(("tsize", value)).oack == (("tsize", str(SIZE)),)
