"""`nix copy` over ssh: the paths that a machine lacks go there as one tar stream, each told as it begins."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from standin.store import Store, on_machines

# A path counts as copied when its mark is there, which comes behind it: a copy that was cut off is not one.
MARKS = "nix/var/standin/valid"


def copy(url: str, paths: list[Path], store: Store) -> int:
    """The exit code. `url` is nix's: ssh://USER@HOST?remote-store=local?root=/mnt&compress=true."""
    target = urlsplit(url)
    root = _root(target.query)
    closure = list(dict.fromkeys(each for path in paths for each in store.closure(path)))
    listed = _ssh(
        target.netloc, f"mkdir -p {root}/nix/store {root}/{MARKS} && ls {root}/{MARKS}", subprocess.PIPE
    )
    there, _ = listed.communicate()
    if listed.returncode:
        return _fail(f"cannot connect to '{target.netloc}'")
    lacking = [path for path in closure if path.name not in there.decode().split()]
    print(f"copying {len(lacking)} paths...", file=sys.stderr, flush=True)
    return _send(target.netloc, root, lacking) if lacking else 0


def _send(host: str, root: str, paths: list[Path]) -> int:
    receiver = _ssh(host, f"tar -x -C {root}/ -f -", None)
    assert receiver.stdin is not None
    try:
        with (
            receiver.stdin,
            tarfile.open(fileobj=receiver.stdin, mode="w|", format=tarfile.GNU_FORMAT) as stream,
        ):
            for path in paths:
                print(f"copying path '{on_machines(path)}' to 'ssh://{host}'...", file=sys.stderr, flush=True)
                stream.add(path, f"nix/store/{path.name}", filter=_plain)
                stream.addfile(tarfile.TarInfo(f"{MARKS}/{path.name}"))
    except BrokenPipeError:
        receiver.wait()
        return _fail("writing to file: Broken pipe")
    return _fail("the machine did not take it") if receiver.wait() else 0


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """As everything in a store is: root's, read-only, from the beginning of time."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = 1
    entry.mode = 0o555 if entry.isdir() or entry.mode & 0o100 else 0o444
    return entry


def _ssh(host: str, command: str, stdout: int | None) -> subprocess.Popen[bytes]:
    words = shlex.split(os.environ.get("NIX_SSHOPTS", ""))
    return subprocess.Popen(["ssh", *words, "-x", host, command], stdin=subprocess.PIPE, stdout=stdout)


def _root(query: str) -> str:
    store = parse_qs(query).get("remote-store", [""])[0]
    return unquote(store).partition("root=")[2].rstrip("/")


def _fail(words: str) -> int:
    print(f"error: {words}", file=sys.stderr, flush=True)
    return 1
