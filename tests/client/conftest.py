from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from .lan import Lan


@pytest.fixture
def lan(tmp_path: Path) -> Iterator[Lan]:
    """An empty LAN; skipped, with the reason, where there cannot be one."""
    if os.geteuid() != 0:
        pytest.skip("needs root for network namespaces")
    for program in ("ip", "dnsmasq"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}")
    made = Lan(f"bp{uuid.uuid4().hex[:6]}", tmp_path)
    try:
        yield made.build()
    finally:
        made.close()
