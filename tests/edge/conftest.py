"""What several of these files start from: a hosts folder, the operator's API, two real links."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from api_serving import FakeCore, Rig, serving
from dhcp_rack import CLIENT, OURS, OURS_TOO, Rack
from hosts_folder import host_text, put
from namespaces import Namespace


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A hosts folder with one host, w1."""
    put(tmp_path, "hosts/w1/host.toml", host_text())
    return tmp_path / "hosts"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with serving(tmp_path, FakeCore()) as rig:
        yield rig


@pytest.fixture
def rack() -> Iterator[Rack]:
    built = Rack(Namespace(), Namespace())
    built.appliance.link("srv0", f"{OURS}/24", built.machines, "cli0", f"{CLIENT}/24")
    built.appliance.link("srv1", f"{OURS_TOO}/24", built.machines, "cli1", "10.91.1.2/24")
    yield built
    built.appliance.close()
    built.machines.close()
