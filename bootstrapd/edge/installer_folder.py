"""A job's own folder: ssh wrapper, known hosts, HOME, TMPDIR, the files for the new system; gone after the job.

nixos-anywhere copies the private key into TMPDIR and a killed run leaves it there (NIXOS.md 1): nothing of the
folder outlives the job.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import structlog

from bootstrapd.errors import EdgeError
from bootstrapd.policy.install import REPORT_FOLDER, Job, Limits
from bootstrapd.policy.install_steps import known_hosts, ssh_wrapper

log = structlog.get_logger(__name__)


@contextlib.contextmanager
def job_folder(root: Path, job: Job, limits: Limits, ssh: str) -> Iterator[Path]:
    """`root/<run>`, 0700. EdgeError: it cannot be written."""
    folder = root / job.run
    remove(folder)
    try:
        _fill(folder, job, limits, ssh)
    except OSError as error:
        remove(folder)
        raise EdgeError(f"{folder} cannot be written: {error.strerror}") from None
    try:
        yield folder
    finally:
        remove(folder)


def extra_files(folder: Path) -> Path:
    return folder / "extra"


def remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        log.error("cannot remove a job's folder; it may hold a copy of the deployment key", folder=str(folder))


def _fill(folder: Path, job: Job, limits: Limits, ssh: str) -> None:
    folder.mkdir(mode=0o700, parents=True)
    for name in ("bin", "home", "tmp"):
        (folder / name).mkdir(mode=0o700)
    _write(folder / "known_hosts", known_hosts(job), 0o600)
    _write(folder / "bin/ssh", ssh_wrapper(job, limits, ssh, str(folder)), 0o700)
    if job.report == "agent":
        _plant_report(extra_files(folder), job)


def _plant_report(extra: Path, job: Job) -> None:
    """Laid over the new system's /, owners become root, modes stay: a closed `var` would close the system's."""
    report = extra / REPORT_FOLDER
    report.mkdir(parents=True)
    for folder in (extra, extra / "var", extra / "var/lib"):
        folder.chmod(0o755)
    report.chmod(0o700)
    _write(report / "server", job.server + "\n", 0o600)
    _write(report / "token", job.report_token + "\n", 0o600)


def _write(file: Path, text: str, mode: int) -> None:
    file.touch(mode=mode, exist_ok=False)
    file.chmod(mode)  # the umask may have taken some
    file.write_text(text)
