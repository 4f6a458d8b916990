"""The chain of downloads, with fakes for the network: how each ending is said."""

from __future__ import annotations

from msgspec import Struct

from bootstrapd.client import personas
from bootstrapd.client.fetch import Fetch
from bootstrapd.client.loading import Loader, Outcome
from bootstrapd.client.steps import TakeFile

from .captures import MAC, answer

BASE = "http://10.77.0.2"
BOOT = f"{BASE}/boot/{MAC.hexhyp}.ipxe"
STUB = f"#!ipxe\nchain {BASE}/boot/${{netX/mac:hexhyp}}.ipxe"
IMAGE = "#!ipxe\necho node-1 boots\nkernel /images/a/vmlinuz\ninitrd initrd.img\nboot"
EDK2 = personas.edk2_pxe(7)
HTTP = personas.edk2_http(16)
IPXE = personas.ipxe_chained(7)


class FakeFiles(Struct):
    """Files by URL; whatever is not there is an error."""

    files: dict[str, bytes]
    asked: list[tuple[str, str]] = []

    def tftp(self, server: str, file: str, blksize: int, *, asks_size_first: bool) -> Fetch:
        how = f"TFTP {blksize}{' size first' if asks_size_first else ''}"
        return self._give(how, f"tftp://{server}/{file}")

    def head_and_get(self, url: str) -> Fetch:
        return self._give("HEAD+GET", url)

    def get(self, url: str) -> Fetch:
        return self._give("GET", url)

    def head(self, url: str) -> Fetch:
        return self._give("HEAD", url)

    def _give(self, how: str, url: str) -> Fetch:
        self.asked.append((how, url))
        body = self.files.get(url)
        if body is None:
            return Fetch(url=url, how=how, error="not found")
        return Fetch(url=url, how=how, size_bytes=len(body), body=body)


def loader(**files: str) -> tuple[Loader, FakeFiles]:
    fake = FakeFiles({url: body.encode() for url, body in files.items()}, [])
    return Loader(fake, MAC), fake


def take(file: str, server: str = "10.77.0.2") -> TakeFile:
    return TakeFile(server, file, answer(), 4.0, "because")


def test_a_script_to_its_kernel() -> None:
    files = {
        f"{BASE}/boot.ipxe": STUB,
        BOOT: IMAGE,
        f"{BASE}/images/a/vmlinuz": "k",
        f"{BASE}/boot/initrd.img": "i",
    }
    machine, fake = loader(**files)
    ended = machine.ipxe(IPXE, "10.77.0.2", f"{BASE}/boot.ipxe")
    assert ended == Outcome(boots=True, verdict=f"it boots {BASE}/images/a/vmlinuz")
    assert [how for how, _ in fake.asked] == ["GET", "GET", "HEAD", "HEAD"]
    assert machine.said == ["node-1 boots"]


def test_a_script_by_tftp_and_its_relative_names() -> None:
    tftp = "tftp://10.77.0.2/sub"
    machine, fake = loader(**{f"{tftp}/a.ipxe": "#!ipxe\nchain b.ipxe", f"{tftp}/b.ipxe": "#!ipxe\nexit 1"})
    ended = machine.ipxe(IPXE, "10.77.0.2", "sub/a.ipxe")
    assert not ended.boots
    assert "leaves iPXE with status 1" in ended.verdict
    assert fake.asked == [("TFTP 1432", f"{tftp}/a.ipxe"), ("TFTP 1432", f"{tftp}/b.ipxe")]


def test_an_initrd_that_is_not_there() -> None:
    machine, _ = loader(**{f"{BASE}/boot.ipxe": IMAGE, f"{BASE}/images/a/vmlinuz": "k"})
    ended = machine.ipxe(IPXE, "10.77.0.2", f"{BASE}/boot.ipxe")
    assert ended == Outcome(boots=False, verdict=f"it does not boot: {BASE}/initrd.img: not found")


def test_a_script_that_waits_is_said_with_its_reason() -> None:
    wait = f"#!ipxe\necho waits: its turn\nsleep 30\nchain {BASE}/boot.ipxe"
    machine, _ = loader(**{f"{BASE}/boot.ipxe": STUB, BOOT: wait})
    ended = machine.ipxe(IPXE, "10.77.0.2", f"{BASE}/boot.ipxe")
    assert ended == Outcome(boots=False, verdict=f"it waits, and asks {BASE}/boot.ipxe again: waits: its turn")


def test_scripts_that_lead_from_one_to_the_next_for_ever() -> None:
    machine, fake = loader(**{f"{BASE}/{at}": f"#!ipxe\nchain /{at + 1}" for at in range(99)})
    assert not machine.ipxe(IPXE, "10.77.0.2", f"{BASE}/0").boots
    assert len(fake.asked) == 8


def test_I15_its_own_disk() -> None:
    machine, _ = loader(**{f"{BASE}/boot.ipxe": "#!ipxe\nsanboot --no-describe --drive 0x80 || goto failed"})
    ended = machine.ipxe(IPXE, "10.77.0.2", f"{BASE}/boot.ipxe")
    assert ended == Outcome(boots=True, verdict="it starts its own disk (--no-describe --drive 0x80)")


def test_a_file_that_is_no_script_is_started() -> None:
    machine, _ = loader(**{f"{BASE}/grub.efi": "MZ"})
    assert machine.ipxe(IPXE, "10.77.0.2", f"{BASE}/grub.efi").boots


def test_a_script_that_does_nothing() -> None:
    machine, _ = loader(**{f"{BASE}/boot.ipxe": "#!ipxe\n"})
    assert not machine.ipxe(IPXE, "10.77.0.2", f"{BASE}/boot.ipxe").boots


def test_T1_edk2_asks_the_size_first_and_a_rom_does_not() -> None:
    machine, fake = loader(**{"tftp://10.77.0.2/snponly.efi": "MZ"})
    got = machine.program(EDK2, take("snponly.efi"))
    assert isinstance(got, Fetch)
    machine.program(personas.bios_rom(), take("snponly.efi"))
    assert [how for how, _ in fake.asked] == ["TFTP 1468 size first", "TFTP 1456"]


def test_H6_http_firmware_heads_and_gets() -> None:
    machine, fake = loader(**{f"{BASE}/nbp/x/snponly.efi": "MZ"})
    assert isinstance(machine.program(HTTP, take(f"{BASE}/nbp/x/snponly.efi")), Fetch)
    assert fake.asked == [("HEAD+GET", f"{BASE}/nbp/x/snponly.efi")]


def test_a_program_that_is_no_ipxe_is_where_knowledge_ends() -> None:
    machine, _ = loader(**{"tftp://10.77.0.2/shimx64.efi": "MZ"})
    ended = machine.program(EDK2, take("shimx64.efi"))
    assert ended == Outcome(boots=True, verdict="it starts tftp://10.77.0.2/shimx64.efi (2 bytes)")


def test_a_program_that_is_not_there() -> None:
    machine, _ = loader()
    ended = machine.program(EDK2, take("snponly.efi"))
    assert isinstance(ended, Outcome)
    assert ended.verdict == "it does not boot: tftp://10.77.0.2/snponly.efi cannot be loaded: not found"


def test_I9_I10_autoexec_is_asked_beside_the_program_and_not_on_bios() -> None:
    machine, fake = loader(**{f"{BASE}/nbp/x/autoexec.ipxe": "#!ipxe\nexit 1"})
    program = Fetch(url=f"{BASE}/nbp/x/snponly.efi", how="GET", size_bytes=2)
    ended = machine.autoexec(IPXE, program)
    assert ended is not None
    assert "status 1" in ended.verdict
    assert machine.autoexec(personas.ipxe_chained(0), program) is None
    by_tftp = Fetch(url="tftp://10.77.0.2/nbp/x/snponly.efi", how="TFTP", size_bytes=2)
    assert machine.autoexec(IPXE, by_tftp) is None
    assert fake.asked[1:] == [("TFTP 1432", "tftp://10.77.0.2/nbp/x/autoexec.ipxe")]
