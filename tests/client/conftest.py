from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from .lan import Lan, missing


@pytest.fixture
def lan(tmp_path: Path) -> Iterator[Lan]:
    """An empty LAN; skipped, with the reason, where there cannot be one."""
    if reason := missing():
        pytest.skip(reason)
    made = Lan(f"bp{uuid.uuid4().hex[:6]}", tmp_path)
    try:
        yield made.build()
    finally:
        made.close()
