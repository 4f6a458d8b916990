"""iPXE scripts, read without iPXE: ours from `netboot/ipxe`, and what a hostile one may cost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bootstrapd.client import script
from bootstrapd.client.script import Boot, Chain, Exit, Initrd, Kernel, LocalDisk, Say

UEFI = {
    "platform": "efi",
    "buildarch": "x86_64",
    "netX/mac": "52:54:00:aa:bb:01",
    "netX/mac:hexhyp": "52-54-00-aa-bb-01",
}
BIOS = {"platform": "pcbios", "buildarch": "i386"}
IMAGE = """#!ipxe
# why
echo
echo bootstrapd: node-1 boots
imgfree
kernel http://10.0.0.2/images/a/vmlinuz initrd=initrd.img console=ttyS0 || goto failed
initrd --name initrd.img http://10.0.0.2/images/a/initrd.img || goto failed
initrd --name overlay.cpio http://10.0.0.2/overlay/00.cpio || goto failed
boot || goto failed
:failed
echo could not load
exit 1
"""
DISK = r"""#!ipxe
iseq ${platform} efi && goto efi ||
sanboot --no-describe --drive 0x80 ||
sanboot --no-describe --drive 0x81 ||
goto failed
:efi
set cpu X64
iseq ${buildarch} arm64 && set cpu AA64 ||
sanboot --no-describe --drive 0 --label ESP --filename \EFI\BOOT\BOOT${cpu}.EFI ||
chain file://ESP/EFI/BOOT/BOOT${cpu}.EFI ||
:failed
exit 1
"""


def test_an_image_script() -> None:
    assert script.read(IMAGE, UEFI) == (
        Say("bootstrapd: node-1 boots"),
        Kernel("http://10.0.0.2/images/a/vmlinuz", "initrd=initrd.img console=ttyS0"),
        Initrd("http://10.0.0.2/images/a/initrd.img"),
        Initrd("http://10.0.0.2/overlay/00.cpio"),
        Boot(),
    )


def test_I15_the_disk_script_by_platform() -> None:
    uefi = r"--no-describe --drive 0 --label ESP --filename \EFI\BOOT\BOOT"
    assert script.read(DISK, UEFI) == (LocalDisk(f"{uefi}X64.EFI"),)
    assert script.read(DISK, {**UEFI, "buildarch": "arm64"}) == (LocalDisk(f"{uefi}AA64.EFI"),)
    assert script.read(DISK, BIOS) == (LocalDisk("--no-describe --drive 0x80"),)


def test_I7_variables_and_their_formats() -> None:
    text = "chain --replace --autofree http://a/boot/${netX/mac:hexhyp}.ipxe?m=${netX/mac}&x=${nothing} ||\n"
    url = "http://a/boot/52-54-00-aa-bb-01.ipxe?m=52:54:00:aa:bb:01&x="
    assert script.read(text, UEFI) == (Chain(url),)


def test_a_variable_may_hold_another_and_a_format_may_be_unknown() -> None:
    assert script.read("set a ${b}\nset b x\necho ${a:uristring} ${${c}}", {"b": "y", "c": "b"}) == (
        Say("y x"),
    )


def test_exit_and_its_status() -> None:
    assert script.read("exit 1\necho never", {}) == (Exit(1),)
    assert script.read("exit", {}) == (Exit(0),)


def test_jumps() -> None:
    assert script.read("goto there\necho no\n:there\necho yes", {}) == (Say("yes"),)
    assert script.read("goto nowhere\necho no", {}) == ()
    assert script.read("isset ${x} && echo set || echo unset", {}) == (Say("unset"),)
    assert script.read("isset ${x} && echo set || echo unset", {"x": "1"}) == (Say("set"),)


def test_a_script_that_runs_in_circles_ends() -> None:
    assert script.read(":again\nsleep 5\ngoto again", {}) == ()


def test_a_variable_that_doubles_itself_stays_small() -> None:
    said = script.read("set a aaaaaaaa\n:again\nset a ${a}${a}\necho ${a}\ngoto again", {})
    assert max(len(line.text) for line in said if isinstance(line, Say)) <= script.MAX_LINE


@given(st.text(st.sampled_from("echo set goto chain iseq isset ${}:|&#\n/-=x1"), max_size=300))
def test_any_text_gives_actions(text: str) -> None:
    assert isinstance(script.read(text, UEFI), tuple)
