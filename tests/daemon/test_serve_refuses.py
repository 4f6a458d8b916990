"""Starts that cannot work, in a network namespace of their own: one sentence, what to do, the exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="needs root: a network namespace")]

# One link, d0, which is also the default route: as on a machine with one network card.
ONE_LINK: Final = (
    "ip link set lo up; ip link add d0 type veth peer d1; ip link set d1 up;"
    "ip address add 10.99.9.1/24 dev d0; ip link set d0 up;"
    "ip route add default via 10.99.9.254"
)
NO_NET: Final = "setpriv --bounding-set=-net_bind_service,-net_raw,-net_admin"


def serve(state: Path, *flags: str, prefix: str = "") -> subprocess.CompletedProcess[str]:
    command = (
        f"{ONE_LINK}; exec {prefix} {sys.executable} -m bootstrapd.cli serve --state {state} {' '.join(flags)}"
    )
    return subprocess.run(["unshare", "-n", "sh", "-c", command], capture_output=True, text=True, timeout=30)


def test_the_default_routes_link_is_not_served_without_being_told(tmp_path: Path) -> None:
    said = serve(tmp_path)
    assert said.returncode == 2
    assert "d0 (" in said.stderr
    assert "default route" in said.stderr
    assert "--interface" in said.stderr


def test_an_interface_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    said = serve(tmp_path, "--interface", "enp3s0")
    assert said.returncode == 2
    assert '"enp3s0"' in said.stderr
    assert "d0" in said.stderr


def test_without_permission_the_capability_is_named(tmp_path: Path) -> None:
    said = serve(tmp_path, "--interface", "d0", "--http-port", "8080", prefix=NO_NET)
    assert said.returncode == 3, said.stderr
    assert "CAP_NET_BIND_SERVICE" in said.stderr
    assert "Traceback" not in said.stderr


def test_full_dhcp_is_refused_in_words(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('mode = "full"\n')
    said = serve(tmp_path, "--config", str(config), "--interface", "d0")
    assert said.returncode == 2
    assert "not built yet" in said.stderr


def test_without_a_boot_program_the_package_is_named(tmp_path: Path) -> None:
    """An ipxe package that is not installed: the folder is hidden behind an empty one."""
    empty = tmp_path / "empty"
    empty.mkdir()
    hide = f"mount --bind {empty} /usr/lib/ipxe; "
    command = f"{hide}{sys.executable} -m bootstrapd.cli serve --state {tmp_path}/state --interface lo"
    said = subprocess.run(
        ["unshare", "-m", "-n", "sh", "-c", command], capture_output=True, text=True, timeout=30
    )
    assert said.returncode == 3, said.stderr
    assert "apt install ipxe" in said.stderr
    assert "[nbp] dirs" in said.stderr
