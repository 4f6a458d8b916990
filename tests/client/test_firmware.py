"""The walk of one machine in memory: a wire with its own clock, servers as functions, files as a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from bootstrapd.client import firmware, personas
from bootstrapd.client.personas import Persona
from bootstrapd.client.steps import TakeFile

from .captures import HTTP_CLIENT, MAC, PXE_CLIENT, TAKE_THIS, frame
from .test_loading import BASE, BOOT, IMAGE, STUB, FakeFiles

NBP = f"nbp/{MAC.hexhyp}/snponly.efi"
XID = 4711
FILES = {
    f"tftp://10.77.0.2/{NBP}": "MZ",
    f"{BASE}/{NBP}": "MZ",
    f"{BASE}/boot.ipxe": STUB,
    BOOT: IMAGE,
    f"{BASE}/images/a/vmlinuz": "kernel",
    f"{BASE}/boot/initrd.img": "initrd",
}
# A server is told port and payload of what was sent, and gives (seconds later, frame).
Server = Callable[[int, bytes], Sequence[tuple[float, bytes]]]


class FakeWire:
    """Frames are due at times; waiting moves the clock. Nothing sleeps."""

    def __init__(self, *servers: Server, address: str = "10.77.0.9") -> None:
        self.address = address
        self.servers = servers
        self.time = 100.0
        self.due: list[tuple[float, bytes]] = []
        self.sent: list[tuple[float, int]] = []

    def now(self) -> float:
        return self.time

    def send(self, frame: bytes) -> None:
        self._serve(67, frame[42:])

    def ask(self, server: str, port: int, payload: bytes) -> str:
        assert port in (68, 4011)
        if not server.startswith("10.77.0."):
            return "Network is unreachable"
        self._serve(4011, payload)
        return ""

    def _serve(self, port: int, payload: bytes) -> None:
        self.sent.append((self.time - 100.0, port))
        for server in self.servers:
            self.due += [(self.time + later, frame) for later, frame in server(port, payload)]
        self.due.sort(key=lambda item: item[0])

    def receive(self, until: float) -> bytes | None:
        if self.due and self.due[0][0] <= until:
            at, frame = self.due.pop(0)
            self.time = max(self.time, at)
            return frame
        self.time = max(self.time, until)
        return None


def dhcp(port: int, _: bytes) -> Sequence[tuple[float, bytes]]:
    """The site's ordinary server."""
    return (
        [(0.001, frame(xid=XID, source="10.77.0.1", yiaddr="10.77.0.150", siaddr="0.0.0.0"))]
        if port == 67
        else []
    )


def appliance(port: int, payload: bytes) -> Sequence[tuple[float, bytes]]:
    """What bootstrapd answers (FIRMWARE.md, "Default answers")."""
    if b"HTTPClient" in payload:
        return [(0.002, frame(HTTP_CLIENT, xid=XID, file=f"{BASE}/{NBP}".encode()))]
    if b"iPXE" in payload:
        priority = (175, b"\x01\x01\x01")
        flags = int.from_bytes(payload[10:12], "big")
        return [(0.002, frame(PXE_CLIENT, priority, xid=XID, file=f"{BASE}/boot.ipxe".encode(), flags=flags))]
    if port == 4011:
        reply = frame(
            PXE_CLIENT,
            kind=5,
            xid=XID,
            file=NBP.encode(),
            source_port=4011,
            target="10.77.0.9",
            target_port=4011,
        )
        return [(0.002, reply)]
    return [(0.002, frame(PXE_CLIENT, xid=XID, file=NBP.encode()))]


def walk(
    persona: Persona, *servers: Server, files: dict[str, str] = FILES, **wire: str
) -> tuple[firmware.Walk, FakeWire]:
    fake = FakeWire(*servers, **wire)
    table = FakeFiles({url: body.encode() for url, body in files.items()}, [])
    found = firmware.walk(fake, table, persona, MAC, xid=lambda: XID)
    return found, fake


@pytest.mark.parametrize(
    "persona",
    [
        personas.edk2_pxe(7),
        personas.edk2_http(16),
        personas.ipxe_chained(7),
        personas.edk2_pxe(11),
    ],
    ids=lambda persona: persona.name,
)
def test_a_machine_walks_to_its_kernel(persona: Persona) -> None:
    found, _ = walk(persona, dhcp, appliance)
    assert (found.boots, found.verdict) == (True, f"it boots {BASE}/images/a/vmlinuz")
    assert [finding.rule for finding in found.findings if finding.severity != "note"] == []
    assert found.said == ("node-1 boots",)


def test_P3_uefi_pxe_asks_4011_then_walks_on_as_ipxe() -> None:
    found, wire = walk(personas.edk2_pxe(7), dhcp, appliance)
    assert wire.sent == [(0.0, 67), (pytest.approx(4.0, abs=0.01), 4011), (pytest.approx(4.0, abs=0.01), 67)]
    assert [talk.persona.name for talk in found.talks] == ["edk2-pxe-7", "ipxe-7"]
    assert [fetch.how for fetch in found.fetches] == [
        "TFTP 1468 size first",
        "TFTP 1432",  # autoexec.ipxe, which is not there
        "GET",
        "GET",
        "HEAD",
        "HEAD",
    ]


def test_I9_autoexec_beside_the_program_saves_the_second_dhcp() -> None:
    files = {**FILES, f"tftp://10.77.0.2/nbp/{MAC.hexhyp}/autoexec.ipxe": STUB}
    found, _ = walk(personas.edk2_pxe(7), dhcp, appliance, files=files)
    assert found.boots
    assert len(found.talks) == 1


def test_D14_silence_is_asked_again_with_the_same_xid_and_said() -> None:
    found, wire = walk(personas.edk2_pxe(7))
    assert wire.sent == [(0.0, 67), (4.0, 67)]
    assert not found.boots
    assert found.findings[0].rule == "NO_OFFER"
    assert "in 12 s" in found.findings[0].sentence


def test_an_unknown_machine_gets_an_address_and_nothing_to_boot() -> None:
    found, _ = walk(personas.edk2_pxe(7), dhcp)
    assert not found.boots
    assert found.findings[0].rule == "NO_BOOT_OFFER"
    assert "SITE_DHCP" in [finding.rule for finding in found.findings]


def test_ipxe_gives_up_after_3_s_with_an_address_alone() -> None:
    _, wire = walk(personas.ipxe_rom(), dhcp)
    assert [at for at, _ in wire.sent] == [0.0, 1.0]
    assert wire.time == pytest.approx(103.0, abs=0.3)


def test_P9_4011_silent_takes_as_long_as_the_machine_waits() -> None:
    def mute(port: int, _: bytes) -> Sequence[tuple[float, bytes]]:
        return [(0.002, frame(PXE_CLIENT, xid=XID))] if port == 67 else []

    found, wire = walk(personas.edk2_pxe(7), dhcp, mute)
    assert [port for _, port in wire.sent] == [67, 4011, 4011, 4011, 4011]
    assert "PXE-E16" in found.verdict
    assert "P9" in [finding.rule for finding in found.findings]


def test_a_foreign_server_is_heard_even_after_the_first_answer() -> None:
    def foreign(port: int, _: bytes) -> Sequence[tuple[float, bytes]]:
        other = frame(PXE_CLIENT, TAKE_THIS, xid=XID, source="10.77.0.3", siaddr="10.77.0.3", file=b"x.efi")
        return [(1.5, other)] if port == 67 else []

    found, _ = walk(personas.ipxe_rom(), dhcp, appliance, foreign)
    assert found.boots
    (finding,) = [finding for finding in found.findings if finding.rule == "FOREIGN_PXE_SERVER"]
    assert finding.server == "10.77.0.3"


def test_answers_to_somebody_elses_question_are_left_out() -> None:
    def confused(_: int, __: bytes) -> Sequence[tuple[float, bytes]]:
        return [(0.001, frame(PXE_CLIENT, xid=XID + 1, file=b"x")), (0.001, b"garbage")]

    found, _ = walk(personas.edk2_pxe(7), dhcp, confused)
    assert [offer.server for offer in found.talks[0].offers] == ["10.77.0.1", "10.77.0.1"]


def test_without_an_address_of_our_own_it_says_what_it_cannot_tell() -> None:
    found, wire = walk(personas.edk2_pxe(7), dhcp, appliance, address="0.0.0.0")
    assert not found.boots
    assert "cannot tell: it asks 10.77.0.2 on port 4011 next" in found.verdict
    assert 4011 not in [port for _, port in wire.sent]
    rom, _ = walk(personas.ipxe_rom(), dhcp, appliance, address="0.0.0.0")
    assert "cannot tell: it loads http://10.77.0.2/boot.ipxe" in rom.verdict


def test_a_late_answer_is_taken_in_the_next_window_and_said() -> None:
    """22, as a walk: edk2 at 12 s, with I4 named."""

    def late(port: int, payload: bytes) -> Sequence[tuple[float, bytes]]:
        return [(4.5 + later, found) for later, found in appliance(port, payload)] if port == 67 else []

    def on_4011(port: int, payload: bytes) -> Sequence[tuple[float, bytes]]:
        return appliance(port, payload) if port == 4011 else []

    found, _ = walk(personas.edk2_pxe(7), dhcp, late, on_4011, files={})
    step = found.talks[0].step
    assert isinstance(step, TakeFile)
    assert step.at_s == pytest.approx(12.0, abs=0.1)
    assert "I4" in [finding.rule for finding in found.findings]


def test_P8_a_boot_server_that_cannot_be_reached() -> None:
    def elsewhere(port: int, _: bytes) -> Sequence[tuple[float, bytes]]:
        return [(0.002, frame(PXE_CLIENT, xid=XID, siaddr="192.0.2.1"))] if port == 67 else []

    found, _ = walk(personas.edk2_pxe(7), dhcp, elsewhere)
    sentences = {finding.rule: finding.sentence for finding in found.findings}
    assert sentences["P8"] == "192.0.2.1 cannot be asked on port 4011 from here: Network is unreachable"


def test_a_second_conversation_waits_for_the_proxy_as_long_as_ipxe_does() -> None:
    """I6: the site's own file name is not taken only because its answer came first."""

    def site_with_file(port: int, _: bytes) -> Sequence[tuple[float, bytes]]:
        offer = frame(xid=XID, source="10.77.0.1", yiaddr="10.77.0.150", siaddr="10.77.0.1", file=b"x")
        return [(0.001, offer)] if port == 67 else []

    def slow(port: int, payload: bytes) -> Sequence[tuple[float, bytes]]:
        return [(0.9, found) for _, found in appliance(port, payload)]

    found, _ = walk(personas.edk2_pxe(7), site_with_file, slow)
    assert found.boots


def test_a_flood_of_answers_is_cut_short() -> None:
    def flood(port: int, _: bytes) -> Sequence[tuple[float, bytes]]:
        return [(0.01, frame(PXE_CLIENT, xid=XID))] * 500 if port == 67 else []

    found, _ = walk(personas.ipxe_rom(), dhcp, flood)
    assert len(found.talks[0].offers) == firmware.MOST_ANSWERS


def test_the_worst_is_said_first() -> None:
    found, _ = walk(personas.edk2_pxe(7), dhcp)
    order = ["wrong", "risk", "note"]
    ranks = [order.index(finding.severity) for finding in found.findings]
    assert ranks == sorted(ranks)


def test_BIOS_rom_walks_to_its_kernel() -> None:
    def bios(port: int, payload: bytes) -> Sequence[tuple[float, bytes]]:
        if b"iPXE" in payload:
            return appliance(port, payload)
        return [(0.002, frame(PXE_CLIENT, TAKE_THIS, xid=XID, file=b"undionly.kpxe"))]

    files = {**FILES, "tftp://10.77.0.2/undionly.kpxe": "x"}
    found, wire = walk(personas.bios_rom(), dhcp, bios, files=files)
    assert found.boots
    assert [port for _, port in wire.sent] == [67, 67]
