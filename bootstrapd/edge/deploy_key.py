"""The deployment key: the SSH key that logs in to live systems. Made at the first start, or a configured file.

Its public half is in every overlay; its private half never leaves the appliance.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from bootstrapd.errors import EdgeError

MADE: Final = "deploy_ed25519"


def ensure(keys: Path, configured: str) -> tuple[Path, str]:
    """The private key's file and its public half as one line. EdgeError: it cannot be made or read, and why."""
    path = Path(configured) if configured else keys / MADE
    if not configured and not path.exists():
        _make(path)
    try:
        if _is_open(path):
            raise EdgeError(f"{path} is a private key that others may read: chmod 600 {path}")
        public = path.with_name(path.name + ".pub").read_text("utf-8").split()
    except OSError as error:
        raise EdgeError(f"the deployment key {error.filename} cannot be read: {error.strerror}") from None
    if len(public) < 2:
        raise EdgeError(f"{path}.pub is no public key: 'ssh-keygen -y -f {path} > {path}.pub' writes it again")
    return path, f"{public[0]} {public[1]} bootstrapd"


def _is_open(key: Path) -> bool:
    """ssh's own rule, which looks at our own files only, and what anybody may read.

    systemd gives a credential to a service by an access control list on a file of root's: its mode is 0440
    then, where the group's bit is the list's mask and lets no group in.
    """
    info = key.stat()
    return bool(info.st_mode & (0o077 if info.st_uid == os.geteuid() else 0o007))


def _make(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "bootstrapd", "-f", str(path)],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
        )
    except FileNotFoundError:
        raise EdgeError("ssh-keygen is missing: install the package openssh-client") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise EdgeError(f"the deployment key {path} cannot be made: {said}") from None
    except OSError as error:
        raise EdgeError(f"the deployment key {path} cannot be made: {error.strerror}") from None
