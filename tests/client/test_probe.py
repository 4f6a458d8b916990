"""`bootstrapd probe` on a real wire, against dnsmasq: packets, sockets, exit codes (root)."""

from __future__ import annotations

import pytest

from bootstrapd.cli import main

from .lan import Lan, rules

pytestmark = pytest.mark.root
MAC = "52:54:00:77:00:10"
UEFI_SERVICE = ("--pxe-service=X86-64_EFI,Boot,grubx64.efi", "--pxe-prompt=Boot,0")


@pytest.fixture
def nbp(lan: Lan) -> bytes:
    program = b"MZ" + bytes(20000)
    (lan.folder / "tftp").mkdir()
    (lan.folder / "tftp" / "grubx64.efi").write_bytes(program)
    return program


def test_uefi_pxe_from_a_foreign_proxy_to_its_program(lan: Lan, nbp: bytes) -> None:
    """P3 T1: DISCOVER, 4011 from port 4011, size query and transfer, all on the wire; the server is named."""
    lan.site()
    lan.proxy(*UEFI_SERVICE)
    code, found = lan.probed("--mac", MAC)
    assert (code, found["boots"]) == (0, True)
    assert found["verdict"] == f"it starts tftp://10.77.0.2/grubx64.efi ({len(nbp)} bytes)"
    assert rules(found)["FOREIGN_PXE_SERVER"]["server"] == "10.77.0.2"
    assert rules(found)["SITE_DHCP"]["server"] == "10.77.0.1"
    ports = [
        {field["name"]: field["value"] for field in answer["fields"]}["to"]
        for answer in found["talks"][0]["answers"]
    ]
    assert "10.77.0.9:4011" in ports
    assert not lan.leases.exists() or lan.leases.read_text() == ""  # no lease is taken


@pytest.mark.usefixtures("nbp")
def test_SITE_FILENAME_WINS_on_the_wire(lan: Lan) -> None:
    """28: iPXE and a site with a boot file name of its own."""
    lan.site("--dhcp-boot=second.efi,,10.77.0.1")
    lan.proxy(
        "--dhcp-userclass=set:ipxe,iPXE",
        "--pxe-service=tag:!ipxe,x86PC,Boot,undionly",
        "--dhcp-boot=tag:ipxe,boot.ipxe,,10.77.0.2",
    )
    _, found = lan.probed("--mac", MAC, "--arch", "bios", "--ipxe", "--timeout", "3.2")
    finding = rules(found)["SITE_FILENAME_WINS"]
    assert finding["server"] == "10.77.0.1"
    assert "remove its boot file name 'second.efi' (option 67" in finding["sentence"]


def test_an_address_and_nothing_to_boot(lan: Lan) -> None:
    lan.site()
    code, found = lan.probed("--timeout", "1")
    assert (code, found["boots"]) == (1, False)
    assert "nobody offered anything to boot in 1 s" in rules(found)["NO_BOOT_OFFER"]["sentence"]
    assert found["mac"].startswith("06:")


def test_nobody_at_all(lan: Lan) -> None:
    done = lan.probe("--interface", "eth0", "--timeout", "1")
    assert done.returncode == 1
    assert "nobody answered in 1 s" in done.stdout
    assert "acting as 06:" in done.stderr


@pytest.mark.usefixtures("nbp")
def test_what_a_person_reads(lan: Lan) -> None:
    lan.site()
    lan.proxy(*UEFI_SERVICE)
    done = lan.probe("--interface", "eth0", "--mac", MAC)
    assert done.returncode == 0, done.stderr
    assert "OFFER from 10.77.0.2" in done.stdout
    assert "60 vendor_class_id" in done.stdout
    assert "FOREIGN_PXE_SERVER" in done.stdout
    assert (
        done.stdout.rstrip().endswith("it starts tftp://10.77.0.2/grubx64.efi (20 kB)")
        or "grubx64.efi" in done.stdout
    )
    assert "Traceback" not in done.stderr


def test_http_boot_from_the_site(lan: Lan) -> None:
    """H1: dnsmasq as a full DHCP server with HTTPClient; nobody serves the URL."""
    lan.site(
        "--dhcp-vendorclass=set:http,HTTPClient",
        "--dhcp-option-force=tag:http,60,HTTPClient",
        "--dhcp-boot=tag:http,http://10.77.0.2/x.efi",
    )
    code, found = lan.probed("--http", "--timeout", "5")
    assert code == 1
    assert "http://10.77.0.2/x.efi cannot be loaded" in found["verdict"]


def test_without_an_address_on_the_interface(lan: Lan) -> None:
    lan.site()
    lan.proxy("--pxe-service=X86-64_EFI,Boot,grubx64.efi", "--pxe-prompt=Boot,0", f"--tftp-root={lan.folder}")
    done = lan.probe(
        "--interface", "eth0", through=("sh", "-c", 'ip address flush dev eth0 && exec "$@"', "sh")
    )
    assert done.returncode == 1
    assert "needs an IPv4 address on this interface" in done.stdout


def test_without_permission(lan: Lan) -> None:
    done = lan.probe(
        "--interface", "eth0", through=("setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw")
    )
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith("bootstrapd: probing needs raw sockets: run it as root")


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--interface", "nosuch0"), 3, "no network interface 'nosuch0'"),
        (("--interface", "lo", "--arch", "vax"), 2, "'vax' is not an architecture"),
        (("--interface", "lo", "--mac", "bad"), 2, "is not a MAC address"),
        (("--interface", "lo", "--timeout", "0"), 2, "--timeout 0"),
        ((), 2, "--interface"),
    ],
)
def test_bad_input_is_a_sentence(
    options: tuple[str, ...], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["probe", *options]) == code
    assert says in capsys.readouterr().err
