"""Other servers' answers, in words that name the server and what to change there."""

from __future__ import annotations

import pytest
from builders import MAC

from bootstrapd.policy.surroundings import Heard, judge


@pytest.mark.parametrize(
    ("gives_address", "vendor_class", "file", "code"),
    [
        (True, "", "", None),
        (True, "", "pxelinux.0", None),  # I6: harmless, ours outranks it
        (True, "PXEClient", "pxelinux.0", "SITE_FILENAME_WINS"),
        (True, "PXEClient", "", "SITE_FILENAME_WINS"),  # P9
        (False, "PXEClient", "other.efi", "FOREIGN_PXE_SERVER"),
        (False, "", "", None),
    ],
)
def test_P9_I6_what_another_answer_means(
    gives_address: bool, vendor_class: str, file: str, code: str | None
) -> None:
    notice = judge(
        Heard(mac=MAC, server="10.77.0.1", gives_address=gives_address, vendor_class=vendor_class, file=file)
    )
    assert (notice.code if notice else None) == code
    if notice:
        assert "10.77.0.1" in notice.reason
        assert str(MAC) in notice.reason


def test_the_option_to_remove_is_named() -> None:
    notice = judge(Heard(mac=MAC, server="10.77.0.1", gives_address=True, vendor_class="PXEClient", file="x"))
    assert notice is not None
    assert "remove option 60" in notice.reason
