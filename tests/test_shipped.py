"""What ships beside the code is found in a checkout and in an installed wheel."""

from pathlib import Path

import pytest

from bootstrapd import shipped

TOP = Path(__file__).parent.parent


def test_in_a_checkout_it_lies_at_the_top() -> None:
    assert shipped.hosts() == TOP / "hosts"
    assert shipped.netboot() == TOP / "netboot"


def test_in_a_wheel_it_lies_in_assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipped, "_PACKAGE", tmp_path / "bootstrapd")
    for name in ("hosts", "netboot"):
        (tmp_path / "bootstrapd" / "assets" / name).mkdir(parents=True)
    assert shipped.hosts() == tmp_path / "bootstrapd" / "assets" / "hosts"
    assert shipped.netboot() == tmp_path / "bootstrapd" / "assets" / "netboot"
