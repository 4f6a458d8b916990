"""`services.bootstrapd.images`: checked while the system is built, linked into the folder when it starts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from nix_tools import NixError, build, evaluate

from bootstrapd.edge.images import ImageStore

from .rendered import APPLIANCE, SCRIPTS

MANIFEST = {
    "format": 1,
    "kind": "linux",
    "arch": "x86_64",
    "kernel": "bzImage",
    "initrds": ["initrd"],
    "cmdline": "quiet",
    "sha256": {"bzImage": "0" * 64, "initrd": "1" * 64},
}


def image(**fields: object) -> str:
    """An image in the store, as a build of one leaves it."""
    files = "echo k > bzImage; echo i > initrd"
    write = f"mkdir $out; cd $out; {files}; echo '{json.dumps(MANIFEST | fields)}' > manifest.json"
    made = build(
        'given: derivation { name = "image"; system = builtins.currentSystem; builder = "/bin/sh"; '
        'args = [ "-c" "PATH=/bin:/usr/bin; ${given.write}" ]; }',
        write=write,
    )
    return str(made)


def declared(**images: str) -> Path:
    """The folder of links that the module's unit is given."""
    return build(
        "given: (import ./tests/nix/appliance.nix given).images",
        package=str(SCRIPTS),
        services={"images": images},
    )


def link(folder: Path, images: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"NIX_STORE_DIR": str(evaluate("builtins.storeDir"))}
    command = ("sh", APPLIANCE / "link-images.sh", folder, images)
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_they_are_served_beside_those_added_by_hand(tmp_path: Path) -> None:
    first, second = image(), image(cmdline="debug")
    folder = tmp_path / "images"  # made where it is missing
    assert link(folder, declared(installer=first, old=first)).returncode == 0
    shutil.copytree(first, folder / "by-hand")
    store = ImageStore(folder)
    assert (store.load(), sorted(store.images)) == ([], ["by-hand", "installer", "old"])

    assert link(folder, declared(installer=second)).returncode == 0
    assert (store.load(), sorted(store.images)) == ([], ["by-hand", "installer"])
    assert store.images["installer"].cmdline == "debug"


def test_nothing_new_is_no_change_to_the_folder(tmp_path: Path) -> None:
    """The daemon reads every manifest again when the folder changes."""
    images = declared(installer=image())
    link(tmp_path, images)
    os.utime(tmp_path, ns=(0, 0))
    assert link(tmp_path, images).returncode == 0
    assert tmp_path.stat().st_mtime_ns == 0


def test_a_name_that_is_taken_by_hand_is_said_and_the_others_are_linked(tmp_path: Path) -> None:
    (tmp_path / "installer").mkdir()
    ran = link(tmp_path, declared(installer=image(), other=image()))
    assert ran.returncode == 1
    assert f"{tmp_path}/installer was added by hand: 'bootstrapd images remove installer'" in ran.stderr
    assert (tmp_path / "other").is_symlink()
    assert not (tmp_path / "installer").is_symlink()


def test_links_of_a_person_stay(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "mine").symlink_to("/srv/images/mine")
    assert link(folder, declared()).returncode == 0
    assert [path.name for path in folder.iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"format": 2}, "format: expected 1, found 2"),
        ({"kind": "nixos"}, "needs init=/nix/store/"),
        ({"initrds": ["gone"]}, "gone cannot be read"),
    ],
)
def test_one_that_could_not_be_served_ends_the_build(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(NixError) as refused:
        declared(installer=image(**fields))
    assert words in str(refused.value)


def test_shellcheck_has_nothing_to_say() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    ran = subprocess.run(
        ("shellcheck", APPLIANCE / "link-images.sh"), capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, "")
