"""Paths: what each is, and that nothing else is anything."""

from __future__ import annotations

import pytest
from builders import MAC
from hypothesis import given
from hypothesis import strategies as st

from bootstrapd.policy import routes

HEX = "52-54-00-77-00-10"


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("boot.ipxe", routes.Stub()),
        ("boot.ipxe.0", routes.Stub()),
        (f"boot/{HEX}.ipxe", routes.MachineScript(MAC)),
        ("boot/52:54:00:77:00:10.ipxe", routes.MachineScript(MAC)),
        (f"nbp/{HEX}/snponly.efi", routes.BootProgram(MAC, "snponly.efi")),
        (f"nbp/{HEX}/autoexec.ipxe", routes.MachineStub(MAC)),
        ("images/installer/bzImage", routes.ImageFile("installer", "bzImage")),
        ("overlay/" + "a" * 32 + ".cpio", routes.Overlay("a" * 32)),
        ("autoexec.ipxe", routes.BareName("autoexec.ipxe")),
        ("undionly.kpxe", routes.BareName("undionly.kpxe")),
        ("", None),
        ("images/installer", None),
        ("images/../etc", None),
        ("nbp/ff-ff-ff-ff-ff-ff/snponly.efi", None),
        ("overlay/short.cpio", None),
        ("nbp/nobody/snponly.efi", None),
        ("../secret", None),
    ],
)
def test_T10_paths(path: str, route: routes.Route | None) -> None:
    assert routes.read(path) == route


@given(st.text())
def test_any_path_is_a_route_or_nothing(path: str) -> None:
    routes.read(path)


def test_T15_a_bare_name_belongs_to_the_machine_that_asks_by_its_address() -> None:
    assert routes.resolve("/snponly.efi", lambda: MAC) == routes.BootProgram(MAC, "snponly.efi")
    assert routes.resolve("autoexec.ipxe", lambda: MAC) == routes.MachineStub(MAC)
    assert routes.resolve("snponly.efi", lambda: None) is None
