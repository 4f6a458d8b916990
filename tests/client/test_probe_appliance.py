"""`bootstrapd probe` against `bootstrapd serve`, two processes, beside dnsmasq as the site's DHCP (root)."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .lan import DEADLINE_S, Lan, missing, rules

pytestmark = pytest.mark.root
ENROLLED = "52:54:00:77:00:10"
STRANGER = "52:54:00:77:00:99"
HTTP = "http://10.77.0.2"
KERNEL = b"\0" * 0x202 + b"HdrS" + b"\0" * 2000


def command(state: Path, *words: str) -> str:
    """One of the appliance's commands, what it printed."""
    argv = (sys.executable, "-m", "bootstrapd.cli", *words, "--state", str(state))
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lan]:
    """The site's DHCP server and an appliance with one host, one image and small programs in iPXE's names."""
    if reason := missing():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("rack")
    lan = Lan(f"bp{uuid.uuid4().hex[:6]}", folder)
    try:
        lan.build().site()
        serve(lan, folder)
        yield lan
    finally:
        lan.close()


def serve(lan: Lan, folder: Path) -> None:
    state, image, programs = folder / "state", folder / "image", folder / "programs"
    image.mkdir()
    programs.mkdir()
    (image / "vmlinuz").write_bytes(KERNEL)
    (image / "initrd.img").write_bytes(b"x" * 5000)
    for name in ("snponly.efi", "undionly.kpxe"):
        (programs / name).write_bytes(b"MZ" + b"x" * 70000)
    named = ("--kernel", "vmlinuz", "--initrd", "initrd.img", "--arch", "x86_64")
    command(state, "images", "add", "installer", str(image), *named)
    command(state, "hosts", "add", ENROLLED, "--name", "node-1", "--profile", "minimal")
    config = folder / "config.toml"
    config.write_text(f"[nbp]\ndirs = ['{programs}']\n")
    lan.start(
        "boot",
        sys.executable,
        "-m",
        "bootstrapd.cli",
        "serve",
        "--state",
        str(state),
        "--config",
        str(config),
        "--interface",
        "eth0",
        ready="serving",
    )


def files(answers: list[dict[str, Any]]) -> list[str]:
    return [answer["file"] for answer in answers if answer["server"] == "10.77.0.2"]


@pytest.mark.parametrize(
    ("options", "file", "fetches"),
    [
        (("--arch", "uefi"), "nbp/52-54-00-77-00-10/snponly.efi", ["TFTP", "TFTP", "GET"]),
        (("--arch", "uefi", "--http"), f"{HTTP}/nbp/52-54-00-77-00-10/snponly.efi", ["HEAD+GET", "GET", "GET"]),
        (("--arch", "uefi", "--ipxe"), f"{HTTP}/boot.ipxe", ["GET", "GET"]),
        (("--arch", "bios"), "nbp/52-54-00-77-00-10/undionly.kpxe", ["TFTP", "GET", "GET"]),
        (("--arch", "bios", "--ipxe"), f"{HTTP}/boot.ipxe", ["GET", "GET"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_an_enrolled_machine_boots_its_image(
    rack: Lan, options: tuple[str, ...], file: str, fetches: list[str]
) -> None:
    """D4 D18 D20 P1 P2 P3 I4 I6 H1 H6 T1 T2: no rule is broken on the way from DISCOVER to the kernel."""
    code, found = rack.probed("--mac", ENROLLED, *options)
    assert found["verdict"].startswith(f"it boots {HTTP}/images/installer/vmlinuz")
    assert (code, found["boots"]) == (0, True)
    assert set(files(found["talks"][0]["answers"])) == {file}
    assert [fetch["how"] for fetch in found["fetches"]] == [*fetches, "HEAD", "HEAD", "HEAD"]
    assert [fetch["error"] for fetch in found["fetches"] if fetch["error"]] == []
    assert rules(found).keys() == {"SITE_DHCP"}
    assert any("node-1 boots installer" in line for line in found["said"])


def test_P3_uefi_pxe_is_told_on_4011_too(rack: Lan) -> None:
    _, found = rack.probed("--mac", ENROLLED)
    answers = [answer for answer in found["talks"][0]["answers"] if answer["server"] == "10.77.0.2"]
    senders = [{field["name"]: field["value"] for field in answer["fields"]}["from"] for answer in answers]
    assert [sender.split(" ")[0] for sender in senders] == ["10.77.0.2:67", "10.77.0.2:4011"]
    assert "node-1" in command(rack.folder / "state", "machines", "list")


@pytest.mark.parametrize("options", [("--arch", "bios", "--ipxe"), ("--http",)])
def test_D3_an_unknown_machine_hears_nothing_from_us(rack: Lan, options: tuple[str, ...]) -> None:
    code, found = rack.probed("--mac", STRANGER, "--timeout", "3.5", *options)
    assert (code, found["boots"]) == (1, False)
    assert {answer["server"] for answer in found["talks"][0]["answers"]} == {"10.77.0.1"}
    assert rules(found).keys() == {"NO_BOOT_OFFER", "SITE_DHCP"}
    assert STRANGER in command(rack.folder / "state", "machines", "list")
