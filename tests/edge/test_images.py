"""Images come in whole and checked, or not at all; what is there is served only while it fits its manifest."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from bootstrapd.edge import images as images_module
from bootstrapd.edge.image_source import Source, explicit
from bootstrapd.edge.images import ImageStore
from bootstrapd.errors import ConfigError, EdgeError, RefusedError
from bootstrapd.policy.routes import ImageFile, read

INIT = "/nix/store/0a-nixos-system-nixos-25.11/init"
SCRIPT = f"""#!ipxe
# Use the cmdline variable to allow the user to specify custom kernel params
kernel bzImage init={INIT} initrd=initrd nohibernate loglevel=4 ${{cmdline}}
initrd initrd
boot
"""


def kernel(cpu: str = "x86_64") -> bytes:
    head = bytearray(5000)
    if cpu == "x86_64":
        head[0x202:0x206], head[0x206:0x208], head[0x236] = b"HdrS", b"\x0f\x02", 0x7F
    if cpu == "aarch64":
        head[0x38:0x3C] = b"ARM\x64"
    return bytes(head)


def nixpkgs(folder: Path) -> Path:
    folder.mkdir()
    (folder / "bzImage").write_bytes(kernel())
    (folder / "initrd").write_bytes(b"initrd" * 1000)
    (folder / "netboot.ipxe").write_text(SCRIPT)
    return folder


def nixos_images(folder: Path) -> Path:
    folder.mkdir()
    (folder / "Image").write_bytes(kernel("aarch64"))
    (folder / "initrd").write_bytes(b"initrd")
    (folder / "kernel-params").write_text("loglevel=4 console=tty0 console=ttyS0,115200\n")
    (folder / "init").symlink_to(INIT)
    return folder


def plain(folder: Path) -> Path:
    folder.mkdir()
    (folder / "vmlinuz").write_bytes(kernel())
    (folder / "initrd.img").write_bytes(b"one")
    (folder / "extra.cpio").write_bytes(b"two")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


def change(store: ImageStore, name: str, **fields: Any) -> None:
    """Edit a manifest by hand."""
    file = store.folder / name / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


# Coming in


def test_nixpkgs_netboot_output(store: ImageStore, tmp_path: Path) -> None:
    """N1: init= from the same build; I13: `initrd=` is the script's own."""
    image = store.add("nixos", nixpkgs(tmp_path / "result"))
    assert image.kind == "nixos"
    assert image.arch == "x86_64"
    assert (image.kernel, image.initrds) == ("bzImage", ("initrd",))
    assert image.cmdline == f"init={INIT} nohibernate loglevel=4"
    assert image.sizes == {"bzImage": 5000, "initrd": 6000}
    assert image.sha256["initrd"] == hashlib.sha256(b"initrd" * 1000).hexdigest()
    assert (image.folder / "initrd").read_bytes() == b"initrd" * 1000
    assert store.images == {"nixos": image}


def test_nixos_images_output(store: ImageStore, tmp_path: Path) -> None:
    """N1, A8: the kernel of ARM is called Image."""
    image = store.add("arm", nixos_images(tmp_path / "result"))
    assert (image.kind, image.arch, image.kernel) == ("nixos", "aarch64", "Image")
    assert image.cmdline == f"init={INIT} loglevel=4 console=tty0 console=ttyS0,115200"


@pytest.mark.parametrize(
    "text",
    [f"{INIT}\n", f"#! /nix/store/0b-bash/bin/bash\nsystemConfig={INIT.removesuffix('/init')}\nexport HOME\n"],
)
def test_a_copied_init_says_itself_where_it_belongs(text: str, store: ImageStore, tmp_path: Path) -> None:
    folder = nixos_images(tmp_path / "result")
    (folder / "init").unlink()
    (folder / "init").write_text(text)
    assert store.add("arm", folder).cmdline.startswith(f"init={INIT} ")


def test_files_named_by_a_person(store: ImageStore, tmp_path: Path) -> None:
    source = explicit(
        plain(tmp_path / "debian"), "vmlinuz", ["initrd.img", "extra.cpio"], "quiet  initrd=x console=ttyS0"
    )
    image = store.add("debian", source)
    assert (image.kind, image.initrds) == ("linux", ("initrd.img", "extra.cpio"))
    assert image.cmdline == "quiet console=ttyS0"


def test_an_image_of_ours_moves_to_another_appliance(store: ImageStore, tmp_path: Path) -> None:
    first = store.add("nixos", nixpkgs(tmp_path / "result"))
    second = ImageStore(tmp_path / "elsewhere").add("copy", first.folder)
    assert second.sha256 == first.sha256
    assert second.cmdline == first.cmdline


def test_what_is_added_is_loaded_again_and_served_by_its_route(store: ImageStore, tmp_path: Path) -> None:
    image = store.add("nixos-25.11", nixpkgs(tmp_path / "result"))
    again = ImageStore(store.folder)
    assert again.load() == []
    assert again.images == {"nixos-25.11": image}
    for file in image.sha256:
        assert read(f"images/nixos-25.11/{file}") == ImageFile("nixos-25.11", file)


def test_another_user_can_read_it(store: ImageStore, tmp_path: Path) -> None:
    folder = nixpkgs(tmp_path / "result")
    (folder / "initrd").chmod(0o600)
    image = store.add("nixos", folder)
    assert image.folder.stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in image.folder.iterdir()} == {0o644}


def test_progress_ends_at_the_files_sizes(store: ImageStore, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    store.add("nixos", nixpkgs(tmp_path / "result"), progress=lambda *step: told.append(step))
    assert told == [("bzImage", 5000, 5000), ("initrd", 6000, 6000)]


def test_replacing_is_asked_for(store: ImageStore, tmp_path: Path) -> None:
    folder = nixpkgs(tmp_path / "result")
    old = store.add("nixos", folder)
    (folder / "initrd").write_bytes(b"newer")
    with pytest.raises(RefusedError, match="--replace"):
        store.add("nixos", folder)
    assert store.images["nixos"] == old
    assert store.add("nixos", folder, replace=True).sizes["initrd"] == 5
    assert [path.name for path in store.folder.iterdir()] == ["nixos"]


def test_what_the_systems_configuration_declares_is_not_replaced(store: ImageStore, tmp_path: Path) -> None:
    built = nixpkgs(tmp_path / "built")
    store.add("installer", built)
    (store.folder / "declared").symlink_to(store.folder / "installer")
    for replace in (False, True):
        with pytest.raises(RefusedError, match="the system's configuration declares it"):
            store.add("declared", built, replace=replace)
    assert (store.folder / "declared").is_symlink()
    assert (store.load(), sorted(store.images)) == ([], ["declared", "installer"])


def test_links_into_the_nix_store_are_how_builds_look(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bootstrapd.edge.image_source.STORE", tmp_path / "store")
    real = nixpkgs(tmp_path / "store")
    result = tmp_path / "result"
    result.mkdir()
    for path in real.iterdir():
        (result / path.name).symlink_to(path)
    image = store.add("nixos", result)
    assert not (image.folder / "initrd").is_symlink()


# Refused


def refusal(store: ImageStore, name: str, source: Path | Source) -> str:
    with pytest.raises(ConfigError) as caught:
        store.add(name, source)
    left = list(store.folder.iterdir()) if store.folder.exists() else []
    assert left == []
    return str(caught.value)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "Nixos", ".hidden", "-x", "x" * 64, "a b", "ä"])
def test_names_that_are_refused(name: str, store: ImageStore, tmp_path: Path) -> None:
    assert "cannot name an image" in refusal(store, name, nixpkgs(tmp_path / "result"))


def test_a_nixos_image_without_init_is_refused(store: ImageStore, tmp_path: Path) -> None:
    """N1."""
    folder = nixpkgs(tmp_path / "result")
    (folder / "netboot.ipxe").write_text("#!ipxe\nkernel bzImage loglevel=4\ninitrd initrd\nboot\n")
    assert "init=" in refusal(store, "nixos", folder)


def test_an_init_that_leads_nowhere_is_refused(store: ImageStore, tmp_path: Path) -> None:
    """N1."""
    folder = nixos_images(tmp_path / "result")
    (folder / "init").unlink()
    (folder / "init").write_text("#!/bin/sh\n")
    assert "N1" in refusal(store, "nixos", folder)


def test_an_initrd_of_2_gib_is_refused(store: ImageStore, tmp_path: Path) -> None:
    """I19."""
    folder = nixpkgs(tmp_path / "result")
    os.truncate(folder / "initrd", 2**31)
    assert "below 2 GiB" in refusal(store, "nixos", folder)


def test_a_kernel_of_another_cpu_is_refused(store: ImageStore, tmp_path: Path) -> None:
    source = explicit(plain(tmp_path / "debian"), "vmlinuz", [], "", arch="aarch64")
    assert "aarch64 was given" in refusal(store, "debian", source)


def test_what_is_no_kernel_is_refused(store: ImageStore, tmp_path: Path) -> None:
    folder = plain(tmp_path / "debian")
    assert "no kernel we know" in refusal(store, "debian", explicit(folder, "extra.cpio", [], ""))


def test_every_mistake_is_told_at_once(store: ImageStore, tmp_path: Path) -> None:
    folder = plain(tmp_path / "debian")
    source = explicit(folder, "initrd.img", ["extra.cpio", "extra.cpio"], "a\x07b", kind="nixos")
    told = refusal(store, "debian", source)
    for part in ("no kernel we know", "two files are named", "means something in an iPXE script", "init="):
        assert part in told


@pytest.mark.parametrize("target", ["/etc/hostname", "../outside"])
def test_a_link_that_leaves_its_folder_is_refused(target: str, store: ImageStore, tmp_path: Path) -> None:
    folder = nixpkgs(tmp_path / "result")
    (tmp_path / "outside").write_bytes(b"x")
    (folder / "initrd").unlink()
    (folder / "initrd").symlink_to(target)
    assert "leaves its folder" in refusal(store, "nixos", folder)


@pytest.mark.parametrize("line", ["kernel", "kernel .. init=/x", "kernel a\nkernel b", "boot"])
def test_scripts_that_are_no_netboot_scripts_are_refused(line: str, store: ImageStore, tmp_path: Path) -> None:
    folder = nixpkgs(tmp_path / "result")
    (folder / "netboot.ipxe").write_text(f"#!ipxe\n{line}\ninitrd initrd\n")
    assert refusal(store, "nixos", folder)


def test_a_folder_that_is_no_image_says_what_would_be_one(store: ImageStore, tmp_path: Path) -> None:
    assert "netboot.ipxe" in refusal(store, "debian", plain(tmp_path / "debian"))
    assert "is not a folder" in refusal(store, "debian", tmp_path / "nowhere")


def test_a_damaged_copy_is_refused(store: ImageStore, tmp_path: Path) -> None:
    image = store.add("nixos", nixpkgs(tmp_path / "result"))
    (image.folder / "initrd").write_bytes(b"INITRD" * 1000)
    assert "initrd is damaged: expected sha256" in refusal(ImageStore(tmp_path / "b"), "nixos", image.folder)


def test_a_full_disk_names_both_sizes_and_leaves_nothing(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = nixpkgs(tmp_path / "result")

    def full(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(images_module, "_copy", full)
    with pytest.raises(EdgeError, match=r"needs 0 MB, \d+ MB are free"):
        store.add("nixos", folder)
    assert list(store.folder.iterdir()) == []
    monkeypatch.setattr(images_module, "SPARE_BYTES", 2**62)
    with pytest.raises(EdgeError, match="not enough room"):
        store.add("nixos", folder)
    assert list(store.folder.iterdir()) == []


def test_two_commands_at_once(store: ImageStore, tmp_path: Path) -> None:
    store.folder.mkdir()
    handle = os.open(store.folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(EdgeError, match="another command"):
        store.add("nixos", nixpkgs(tmp_path / "result"))
    os.close(handle)
    assert store.add("nixos", tmp_path / "result").name == "nixos"


def test_what_a_crash_left_is_tidied(store: ImageStore, tmp_path: Path) -> None:
    image = store.add("nixos", nixpkgs(tmp_path / "result"))
    image.folder.rename(store.folder / ".old-nixos")
    (store.folder / ".adding-1234").mkdir()
    assert store.load() == []
    assert store.images == {}
    store.add("other", tmp_path / "result")
    assert sorted(path.name for path in store.folder.iterdir()) == ["nixos", "other"]


# On disk


def test_no_folder_no_images(store: ImageStore) -> None:
    assert store.load() == []
    assert store.images == {}


def test_a_broken_image_is_named_and_the_others_are_served(store: ImageStore, tmp_path: Path) -> None:
    folder = nixpkgs(tmp_path / "result")
    for name in ("good", "broken", "empty"):
        store.add(name, folder)
    (store.folder / "broken" / "manifest.json").write_text('{"format": 1, "kind": 7}')
    (store.folder / "empty" / "manifest.json").unlink()
    (store.folder / "README").write_text("not an image")
    problems = store.load()
    assert set(store.images) == {"good"}
    assert len(problems) == 2
    assert str(store.folder / "broken" / "manifest.json") in problems[0]
    assert "$.kind" in problems[0]
    assert "is missing" in problems[1]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"format": 2}, "expected 1, found 2"),
        ({"kind": "windows"}, "kind"),
        ({"arch": "vax"}, "arch"),
        ({"cmdline": "quiet"}, "init="),
        ({"cmdline": "init=/x\nboot"}, "means something in an iPXE script"),
        ({"kernel": "../secret"}, "not a file name"),
        ({"kernel": "gone"}, "cannot be read"),
        ({"initrds": ["link"]}, "leaves its folder"),
        ({"sizes": {"initrd": 1}}, "its manifest says 1"),
        ({"sha256": {"bzImage": "abc"}}, "64 hex digits"),
    ],
)
def test_manifests_that_do_not_fit_are_not_served(
    fields: dict[str, Any], words: str, store: ImageStore, tmp_path: Path
) -> None:
    """N1, I19 and the folder's bounds hold for manifests written by hand, too."""
    image = store.add("nixos", nixpkgs(tmp_path / "result"))
    (image.folder / "link").symlink_to("/etc/hostname")
    change(store, "nixos", **fields)
    problems = store.load()
    assert store.images == {}
    assert any(words in problem for problem in problems), problems


def test_loading_reads_no_file_but_manifests(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add("nixos", nixpkgs(tmp_path / "result"))
    opened: list[str] = []
    real = os.open

    def note(path: str | Path, *args: Any, **options: Any) -> int:
        opened.append(Path(path).name)
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", note)
    monkeypatch.setattr(Path, "open", lambda path, *_: opened.append(path.name))
    assert store.load() == []
    assert set(opened) == {"manifest.json"}


def test_verify_says_which_file_differs(store: ImageStore, tmp_path: Path) -> None:
    image = store.add("nixos", nixpkgs(tmp_path / "result"))
    assert store.verify("nixos") == []
    (image.folder / "initrd").write_bytes(b"INITRD" * 1000)
    found = hashlib.sha256(b"INITRD" * 1000).hexdigest()
    assert store.verify("nixos") == [
        f"{image.folder / 'initrd'}: expected sha256 {image.sha256['initrd']}, found {found}"
    ]
    (image.folder / "bzImage").unlink()
    assert "no readable file" in store.verify("nixos")[0]


def test_remove(store: ImageStore, tmp_path: Path) -> None:
    store.add("nixos", nixpkgs(tmp_path / "result"))
    store.remove("nixos")
    assert store.images == {}
    assert list(store.folder.iterdir()) == []


@pytest.mark.parametrize("name", ["nothing", "../result", ""])
def test_what_is_not_there_is_named_with_what_is(name: str, store: ImageStore, tmp_path: Path) -> None:
    store.add("nixos", nixpkgs(tmp_path / "result"))
    for verb in (store.verify, store.remove):
        with pytest.raises(RefusedError, match="there are: nixos"):
            verb(name)
    assert (tmp_path / "result").is_dir()


# What is no file, or no text


@pytest.mark.parametrize("name", ["manifest.json", "netboot.ipxe", "kernel-params", "bzImage"])
def test_a_pipe_in_a_files_place_is_said_and_holds_nobody_up(
    name: str, store: ImageStore, tmp_path: Path
) -> None:
    folder = nixpkgs(tmp_path / "result")
    if name == "kernel-params":
        (folder / "netboot.ipxe").unlink()
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(ConfigError, match=f"{name}.* is not a"):
        store.add("nixos", folder)
    assert not any(store.folder.glob("*"))


def test_a_pipe_in_the_images_folder_does_not_hold_the_service_up(store: ImageStore, tmp_path: Path) -> None:
    image = store.add("nixos", nixpkgs(tmp_path / "result"))
    (image.folder / "initrd").unlink()
    os.mkfifo(image.folder / "initrd")
    assert "no readable file" in store.verify("nixos")[0]
    (image.folder / "manifest.json").unlink()
    os.mkfifo(image.folder / "manifest.json")
    [problem] = store.load()
    assert problem.endswith("manifest.json: is not a regular file")


def test_a_manifest_that_no_person_wrote_is_not_read_whole(store: ImageStore, tmp_path: Path) -> None:
    image = store.add("nixos", nixpkgs(tmp_path / "result"))
    with (image.folder / "manifest.json").open("ab") as file:
        file.truncate(2**20 + 1)
    [problem] = store.load()
    assert "is larger than 1048576 bytes" in problem


def test_a_command_line_that_is_no_text_is_refused(store: ImageStore, tmp_path: Path) -> None:
    source = explicit(plain(tmp_path / "debian"), "vmlinuz", ["initrd.img"], "quiet \udcff")
    with pytest.raises(ConfigError, match=r"cmdline: 'quiet \\udcff' is not UTF-8 text"):
        store.add("debian", source)
    assert not store.folder.exists()


def test_a_copy_that_would_not_be_served_takes_nothings_place(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = explicit(plain(tmp_path / "debian"), "vmlinuz", ["initrd.img"], "quiet")
    good = store.add("debian", source)
    monkeypatch.setattr(images_module, "judge", lambda _source: "vax")
    with pytest.raises(ConfigError, match="image debian is not served: arch"):
        store.add("debian", source, replace=True)
    assert store.load() == []
    assert store.images == {"debian": good}
    assert [path.name for path in store.folder.iterdir()] == ["debian"]


def test_the_folders_it_makes_are_closed_to_strangers(tmp_path: Path) -> None:
    ImageStore(tmp_path / "state/images").add("nixos", nixpkgs(tmp_path / "result"))
    assert [(tmp_path / folder).stat().st_mode & 0o777 for folder in ("state", "state/images")] == [0o750] * 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_a_folder_that_root_makes_is_the_services(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    os.chown(tmp_path / "state", 12345, 12346)
    ImageStore(tmp_path / "state/images").add("nixos", nixpkgs(tmp_path / "result"))
    info = (tmp_path / "state/images").stat()
    assert (info.st_uid, info.st_gid) == (12345, 12346)
