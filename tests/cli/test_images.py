"""`bootstrapd images` and `check-config`, on real folders with a kernel that only looks like one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import MAC, FakeCore, Run, Said

KERNEL = b"\0" * 0x202 + b"HdrS" + b"\0" * 4096  # what `wire.bootfile` takes for an x86_64 bzImage
CMDLINE = "console=ttyS0 init=/nix/store/abc-nixos/init"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A plain folder of a kernel and two initrds."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "vmlinuz").write_bytes(KERNEL)
    (folder / "initrd.img").write_bytes(b"initrd" * 1000)
    (folder / "more.img").write_bytes(b"more")
    return folder


@pytest.fixture(autouse=True)
def small(state: Path) -> None:
    """A profile that boots the image "small"."""
    (state / "hosts/profiles").mkdir(parents=True)
    (state / "hosts/profiles/small.toml").write_text('image = "small"\n')


def add(run: Run, source: Path, name: str = "small", *more: str) -> Said:
    files = ("--kernel", "vmlinuz", "--initrd", "initrd.img", "--initrd", "more.img", "--cmdline", CMDLINE)
    return run("images", "add", name, str(source), *files, *more)


def test_add_copies_verifies_and_says_who_boots_it(run: Run, source: Path, state: Path) -> None:
    said = add(run, source)
    assert (said.code, said.err) == (0, "")
    assert said.out.splitlines() == ["small: linux for x86_64, 11 kB", "profile small boots it"]
    manifest = json.loads((state / "images/small/manifest.json").read_text())
    assert (manifest["initrds"], manifest["cmdline"]) == (["initrd.img", "more.img"], CMDLINE)


def test_an_image_that_no_profile_names_says_what_comes_next(run: Run, source: Path, state: Path) -> None:
    said = add(run, source, "rescue")
    assert f'next: name it in a profile, {state}/hosts/profiles/NAME.toml: image = "rescue"' in said.out


def test_an_added_image_can_be_added_again_from_its_own_folder(run: Run, source: Path, state: Path) -> None:
    add(run, source)
    said = run("images", "add", "copy", str(state / "images/small"))
    assert (said.code, said.err) == (0, "")


def test_a_running_daemon_takes_changes_up(run: Run, source: Path, daemon: FakeCore) -> None:
    add(run, source)
    run("images", "remove", "small")
    assert daemon.asked == [("reload",), ("reload",)]


def test_list_shows_what_is_served_and_says_what_is_not(run: Run, source: Path, state: Path) -> None:
    add(run, source)
    (state / "images/broken").mkdir()
    said = run("images", "list")
    assert said.out.splitlines() == [
        "IMAGE  KIND   ARCH    SIZE   PROFILES",
        "small  linux  x86_64  11 kB  small",
    ]
    assert "broken" in said.err
    [view] = json.loads(run("images", "list", "--json").out)
    assert (view["name"], set(view["sha256"])) == ("small", {"vmlinuz", "initrd.img", "more.img"})


def test_verify_finds_a_changed_file(run: Run, source: Path, state: Path) -> None:
    add(run, source)
    assert run("images", "verify").out == "ok: 1 images\n"
    (state / "images/small/initrd.img").write_bytes(b"Initrd" * 1000)
    said = run("images", "verify", "small")
    assert said.code == 3
    assert f"bootstrapd: {state}/images/small/initrd.img: expected sha256" in said.err


def test_verify_counts_what_cannot_even_be_read(run: Run, state: Path) -> None:
    (state / "images/broken").mkdir(parents=True)
    said = run("images", "verify")
    assert (said.code, "manifest.json is missing" in said.err) == (3, True)


def test_remove_warns_of_profiles_that_name_it(run: Run, source: Path, state: Path) -> None:
    add(run, source)
    said = run("images", "remove", "small")
    assert said.code == 0
    assert "profile small names it" in said.out
    assert not (state / "images/small").exists()


def test_a_broken_hosts_folder_does_not_hide_images(run: Run, source: Path, state: Path) -> None:
    add(run, source)
    (state / "hosts/a").mkdir(parents=True)
    (state / "hosts/a/host.toml").write_text("[")
    assert "small" in run("images", "list").out


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ("add small {source}", 2, "found none of manifest.json, netboot.ipxe"),
        ("add small /nowhere", 2, "/nowhere is not a folder"),
        ("add small {source}/vmlinuz", 2, "is a file"),
        ("add Bad/Name {source} --kernel vmlinuz", 2, "'Bad/Name' cannot name an image"),
        ("add small {source} --kernel nope", 2, "{source}/nope cannot be read: No such file or directory\n"),
        ("add small {source} --kernel initrd.img", 2, "is no kernel we know"),
        ("add small {source} --kernel vmlinuz --arch aarch64", 2, "arch: aarch64 was given"),
        ("add small {source} --initrd initrd.img", 2, "give --kernel too"),
        ("verify nope", 1, "there is no image 'nope'"),
        ("remove nope", 1, "there is no image 'nope'"),
        ("remove ../hosts", 1, "there is no image '../hosts'"),
    ],
)
def test_slips(run: Run, source: Path, state: Path, args: str, code: int, words: str) -> None:
    said = run("images", *(word.replace("{source}", str(source)) for word in args.split()))
    assert said.code == code
    assert words.replace("{source}", str(source)) in said.err
    assert all(line.startswith("bootstrapd: ") for line in said.err.splitlines())
    assert len(said.err.splitlines()) == 1 + ("--help" in said.err), "a mistake is said once"
    assert (state / "hosts").exists()
    assert not (state / "images/small").exists()


def test_a_name_taken_is_kept_unless_replaced(run: Run, source: Path) -> None:
    add(run, source)
    said = add(run, source)
    assert (said.code, "--replace" in said.err) == (1, True)
    assert add(run, source, "small", "--replace").code == 0


def test_check_config_counts_what_is_right(run: Run, source: Path) -> None:
    add(run, source)
    run("hosts", "add", "52:54:00:aa:bb:01", "--name", "node-1", "--profile", "small")
    said = run("check-config")
    assert (said.code, said.out) == (0, "ok: 1 hosts, 5 profiles, 1 images\n")


def test_check_config_says_which_image_is_missing(run: Run) -> None:
    run("hosts", "add", "52:54:00:aa:bb:01", "--name", "node-1", "--profile", "small")
    said = run("check-config")
    assert (said.code, said.out) == (0, "ok: 1 hosts, 5 profiles, 0 images\n")
    assert "note: " in said.err
    assert "small.toml: image: there is no image 'small'; bootstrapd images add small DIR" in said.err


@pytest.mark.parametrize(
    ("lines", "own", "is_noted"),
    [
        ('layout = "nope"', "", True),
        ('layout = "nope"', "nope", False),
        ('layout = "nope"\nflake = "github:me/fleet"', "", False),
        ('layout = "single-disk"', "", False),
    ],
)
def test_check_config_says_which_layout_is_missing(
    run: Run, state: Path, lines: str, own: str, *, is_noted: bool
) -> None:
    (state / "hosts/profiles/disk.toml").write_text(f'image = "small"\n{lines}\n')
    if own:
        (state / "hosts/layouts").mkdir()
        (state / f"hosts/layouts/{own}.nix").write_text("{ }")
    assert run("hosts", "add", MAC, "--name", "node-1", "--profile", "disk").code == 0
    said = run("check-config")
    assert said.code == 0
    words = f"disk.toml: layout: there is no {state}/hosts/layouts/nope.nix; write it, or name a shipped one"
    assert (words in said.err) is is_noted
    assert ("layout: there is no" in said.err) is is_noted


def test_check_config_of_nothing_is_fine(run: Run) -> None:
    assert run("check-config").out == "ok: 0 hosts, 5 profiles, 0 images\n"


def test_a_boot_program_that_is_found_nowhere_is_a_note(run: Run, state: Path) -> None:
    run("hosts", "add", MAC, "--name", "node-1", "--profile", "minimal")
    file = state / "hosts/node-1/host.toml"
    file.write_text(file.read_text() + '\n[boot]\nprogram = "mine.efi"\n')
    said = run("check-config")
    assert said.code == 0
    assert f"note: {file}: boot.program: mine.efi is found nowhere" in said.err
    (state / "nbp").mkdir()
    (state / "nbp/mine.efi").write_bytes(b"MZ")
    config = state / "config.toml"
    config.write_text(f'[nbp]\ndirs = ["{state}/nbp"]\n')
    assert "boot.program" not in run("check-config", str(config)).err


def test_check_config_says_that_the_hosts_folder_is_no_flake(run: Run, state: Path) -> None:
    run("hosts", "add", MAC, "--name", "node-1", "--profile", "minimal")
    assert f"note: {state}/hosts: there is no flake.nix" in run("check-config").err
    (state / "hosts/flake.nix").write_text("{ outputs = _: { }; }")
    assert "flake.nix" not in run("check-config").err


def test_a_profile_with_a_flake_of_its_own_needs_none_there(run: Run, state: Path) -> None:
    (state / "hosts/profiles/far.toml").write_text(
        'image = "x"\nlayout = "single-disk"\nflake = "github:me/fleet"\n'
    )
    run("hosts", "add", MAC, "--name", "node-1", "--profile", "far")
    assert "flake.nix" not in run("check-config").err
