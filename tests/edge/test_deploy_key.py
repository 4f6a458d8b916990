"""A configured deployment key: which modes are refused, and which only look open."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bootstrapd.edge import deploy_key
from bootstrapd.errors import EdgeError


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "deploy_key"
    file.write_text("private")
    file.with_name("deploy_key.pub").write_text("ssh-ed25519 AAAA somebody\n")
    return file


@pytest.mark.parametrize(
    ("mode", "is_ours", "is_taken"),
    [
        (0o400, True, True),
        (0o440, True, False),
        (0o604, True, False),
        # A credential of systemd: root's, with an access control list for us; its mask is in the group's place.
        (0o440, False, True),
        (0o444, False, False),
    ],
)
def test_what_others_may_read_is_no_private_key(
    key: Path, monkeypatch: pytest.MonkeyPatch, mode: int, is_ours: bool, is_taken: bool
) -> None:
    key.chmod(mode)
    monkeypatch.setattr(os, "geteuid", lambda: key.stat().st_uid + (not is_ours))
    if is_taken:
        assert deploy_key.ensure(key.parent, str(key)) == (key, "ssh-ed25519 AAAA bootstrapd")
    else:
        with pytest.raises(EdgeError, match=f"chmod 600 {key}"):
            deploy_key.ensure(key.parent, str(key))
