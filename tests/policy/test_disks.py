"""Which disk is erased: the one that is meant, or none; never a stick, never one disk for two roles."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bootstrapd.model import Disk, DiskSelector, Hardware
from bootstrapd.policy.disks import Choice, choose
from bootstrapd.policy.size import bound, disk_words, memory_words, speed_words

GB, TB = 10**9, 10**12
ANY = DiskSelector()


def disk(name: str, size_bytes: int = TB, **fields: object) -> Disk:
    given_fields = {"type": "nvme", "serial": f"S-{name}", "by_id": f"/dev/disk/by-id/nvme-{name}", **fields}
    return Disk(name=name, size_bytes=size_bytes, **given_fields)  # type: ignore[arg-type]


def chosen(selectors: dict[str, DiskSelector], *disks: Disk) -> dict[str, str]:
    """Role -> disk's name; the reasons are none."""
    choice = choose(selectors, Hardware(disks=disks))
    assert choice.reasons == ()
    return {one.role: one.name for one in choice.disks}


def refused(selectors: dict[str, DiskSelector], *disks: Disk) -> list[str]:
    choice = choose(selectors, Hardware(disks=disks))
    assert choice.disks == ()
    assert choice.reasons
    return list(choice.reasons)


def test_the_only_disk_is_the_one() -> None:
    only = disk("nvme0n1", model="Samsung 980", wwn="eui.0025", filesystems=("vfat", "ext4"))
    (main,) = choose({"main": ANY}, Hardware(disks=(only,))).disks
    assert (main.role, main.path, main.identity) == ("main", "/dev/disk/by-id/nvme-nvme0n1", "eui.0025")
    assert (main.name, main.model, main.serial, main.size_bytes) == ("nvme0n1", "Samsung 980", "S-nvme0n1", TB)
    assert (main.type, main.filesystems) == ("nvme", ("vfat", "ext4"))


SMALL, LARGE = disk("nvme0n1", 500 * GB, wwn="eui.01"), disk("nvme1n1", 2 * TB, wwn="eui.02")
HDD = disk("sda", 4 * TB, type="hdd")
BOTH = "nvme0n1 (nvme, serial S-nvme0n1, 500 GB) and nvme1n1 (nvme, serial S-nvme1n1, 2 TB)"


@pytest.mark.parametrize(
    ("selector", "name"),
    [
        (DiskSelector(serial="S-nvme1n1"), "nvme1n1"),
        (DiskSelector(wwn="EUI.01"), "nvme0n1"),
        (DiskSelector(type="hdd"), "sda"),
        (DiskSelector(size=">=900G", type="nvme"), "nvme1n1"),
        (DiskSelector(size="<=1T"), "nvme0n1"),
        (DiskSelector(size="2T"), "nvme1n1"),
        (DiskSelector(pick="smallest"), "nvme0n1"),
        (DiskSelector(type="nvme", pick="largest"), "nvme1n1"),
    ],
)
def test_each_kind_of_selector(selector: DiskSelector, name: str) -> None:
    assert chosen({"main": selector}, SMALL, LARGE, HDD) == {"main": name}


def test_an_ambiguous_match_is_refused_with_its_candidates() -> None:
    assert refused({"main": DiskSelector(type="nvme")}, SMALL, LARGE, HDD) == [
        f"disk.main (nvme): 2 disks fit: {BOTH}; name one by its serial in host.toml"
    ]


def test_a_missing_match_is_refused_with_what_is_there() -> None:
    stick = disk("sdb", 32 * GB, is_removable=True, type="ssd")
    (reason,) = refused({"main": DiskSelector(size=">=8T")}, HDD, stick)
    assert reason == (
        "disk.main (>=8T): no disk fits; found sda (hdd, serial S-sda, 4 TB); "
        "left out: sdb (ssd, serial S-sdb, 32 GB) is removable"
    )
    assert refused({"main": ANY}) == ["disk.main: no disk fits; found none"]


def test_disks_of_one_size_are_no_pick() -> None:
    twin = disk("nvme2n1", 500 * GB)
    (reason,) = refused({"main": DiskSelector(pick="smallest")}, SMALL, twin, LARGE)
    assert reason.startswith("disk.main (smallest): the smallest are of one size: nvme0n1 (")
    assert reason.endswith("; name one by its serial in host.toml")
    assert chosen({"main": DiskSelector(pick="largest")}, SMALL, twin, LARGE) == {"main": "nvme1n1"}


def test_roles_are_resolved_together() -> None:
    by_serial = {"data": DiskSelector(serial="S-nvme1n1"), "main": DiskSelector(type="nvme")}
    assert chosen(by_serial, SMALL, LARGE) == {"data": "nvme1n1", "main": "nvme0n1"}
    picks = {"data": DiskSelector(pick="largest"), "main": DiskSelector(pick="smallest")}
    assert chosen(picks, SMALL, LARGE, disk("nvme2n1", TB)) == {"data": "nvme1n1", "main": "nvme0n1"}
    the_rest = {"a": DiskSelector(pick="smallest"), "b": ANY}
    assert chosen(the_rest, SMALL, LARGE) == {"a": "nvme0n1", "b": "nvme1n1"}


def test_two_roles_that_come_to_one_disk_are_refused() -> None:
    same = {"a": DiskSelector(pick="smallest"), "b": DiskSelector(pick="smallest")}
    found = refused(same, SMALL, LARGE)
    assert len(found) == 2
    assert "and so does disk.b; tell them apart by serial" in found[0]
    assert len(refused({"a": ANY, "b": ANY}, SMALL)) == 2
    one_by_pick = {"a": DiskSelector(serial="S-nvme0n1"), "b": DiskSelector(pick="smallest", size="<=1T")}
    assert ["it comes to nvme0n1" in reason for reason in refused(one_by_pick, SMALL, LARGE)] == [True, True]


def test_a_role_whose_disks_others_have_says_so() -> None:
    taken = {"a": DiskSelector(pick="largest"), "b": DiskSelector(pick="smallest"), "c": ANY}
    assert refused(taken, SMALL, LARGE) == [f"disk.c: all that fits is taken by other roles: {BOTH}"]


@pytest.mark.parametrize(
    "by_id",
    [
        "",
        "/dev/sda",
        "/dev/disk/by-id/",
        "/dev/disk/by-id/..",
        "/dev/disk/by-id/../../sda",
        "/dev/disk/by-id/a b",
        "/dev/disk/by-id/$(reboot)",
        "/dev/disk/by-id/x\n",
        "/dev/disk/by-id/x\\x2f",
        "/dev/disk/by-id/ä",
    ],
)
def test_a_disk_without_a_name_that_stays_is_refused(by_id: str) -> None:
    (reason,) = refused({"main": ANY}, disk("vda", by_id=by_id))
    assert reason.startswith("disk.main: vda (nvme, serial S-vda, 1 TB) has no name that stays: ")


@pytest.mark.parametrize("field", ["wwn", "by_id", "serial"])
def test_disks_that_say_they_are_one_cannot_be_told_apart(field: str) -> None:
    """One disk by two paths, or makers that give one number to all."""
    other = replace(disk("sdb", 2 * TB), **{field: "/dev/disk/by-id/wwn-0x5000"})
    one = replace(disk("sda"), **{field: "/dev/disk/by-id/wwn-0x5000"})
    (reason,) = refused({"main": DiskSelector(pick="smallest")}, one, other)
    assert "no name tells them apart" in reason
    assert "sdb" in reason


def test_sticks_boot_media_and_empty_slots_are_never_chosen() -> None:
    left_out = (
        disk("sdb", is_removable=True),
        disk("sdc", 0),
        disk("sdd", filesystems=("iso9660",)),
    )
    assert chosen({"main": ANY}, *left_out, SMALL) == {"main": "nvme0n1"}
    (reason,) = refused({"main": ANY}, *left_out)
    assert [word in reason for word in ("removable", "empty", "a boot medium")] == [True] * 3


@pytest.mark.parametrize(
    ("text", "size", "is_held"),
    [
        ("", 1, True),
        ("1T", 1_000_204_886_016, True),
        ("=1T", 1_000_204_886_016, True),
        ("1T", 1_024_209_543_168, False),
        ("1T", 960_197_124_096, False),
        ("<=2T", 2_000_398_934_016, True),
        ("<=2T", 2_048_408_248_320, False),
        (">=900G", 900 * GB, True),
        (">=900G", 900 * GB - 1, False),
        (">=1.92T", 1_920_383_410_176, True),
    ],
)
def test_sizes_are_as_disks_are_sold(text: str, size: int, *, is_held: bool) -> None:
    sizes = bound(text)
    assert sizes is not None
    assert sizes.holds(size) is is_held


def test_a_size_that_cannot_be_read_fits_nothing() -> None:
    assert bound(">900G") is None
    assert len(refused({"main": DiskSelector(size="big")}, SMALL)) == 1


@pytest.mark.parametrize("selector", [DiskSelector(serial=" "), DiskSelector(wwn=" ")])
def test_a_blank_number_is_the_number_of_no_disk(selector: DiskSelector) -> None:
    assert len(refused({"main": selector}, SMALL, disk("sdb", serial="", wwn=""))) == 1


def test_sizes_in_words() -> None:
    figures = (0, 999, 1000, 960_197_124_096, 999_999_999_999, 1_920_383_410_176, 2**63)
    assert [disk_words(size) for size in figures] == [
        "0 B",
        "999 B",
        "1 KB",
        "960 GB",
        "1 TB",
        "1.92 TB",
        "9.22e+03 PB",
    ]
    assert [memory_words(size * 2**30) for size in (1, 64, 1024)] == ["1 GB", "64 GB", "1 TB"]
    assert [speed_words(mbps) for mbps in (100, 2500, 10_000)] == ["100 Mb/s", "2.5 Gb/s", "10 Gb/s"]


NAMES = [f"d{number}" for number in range(5)]
TYPES = st.sampled_from(["nvme", "hdd"])
SIZES = st.sampled_from([0, 500 * GB, TB, 2 * TB])
DISKS = st.lists(
    st.builds(disk, st.sampled_from(NAMES), SIZES, type=TYPES, is_removable=st.booleans()),
    unique_by=lambda one: one.name,
    max_size=5,
)
UNPICKED = st.builds(
    DiskSelector,
    type=st.sampled_from(["", "nvme", "hdd"]),
    size=st.sampled_from(["", ">=900G", "<=1T", "2T"]),
    serial=st.sampled_from(["", "", *(f"S-{name}" for name in NAMES)]),
)
PICKS = st.builds(replace, UNPICKED, pick=st.sampled_from(["", "smallest", "largest"]))
ROLES = st.sampled_from(["main", "data", "log", "swap"])


def is_meant(one: Disk, selector: DiskSelector) -> bool:
    """The selector's words, read once more."""
    sizes = {"": True, ">=900G": one.size_bytes >= 900 * GB, "<=1T": one.size_bytes <= TB,
             "2T": one.size_bytes == 2 * TB}  # fmt: skip
    return (
        one.size_bytes > 0
        and not one.is_removable
        and selector.type in {"", one.type}
        and selector.serial in {"", one.serial}
        and sizes[selector.size]
    )


def assignments(selectors: dict[str, DiskSelector], disks: list[Disk]) -> Iterator[dict[str, str]]:
    """Every way to give each role a disk of its own that is meant."""
    if not selectors:
        yield {}
        return
    role = min(selectors)
    rest = {name: selector for name, selector in selectors.items() if name != role}
    for one in disks:
        if is_meant(one, selectors[role]):
            for more in assignments(rest, [other for other in disks if other is not one]):
                yield {role: one.name, **more}


@given(st.dictionaries(ROLES, UNPICKED, max_size=4), DISKS)
def test_without_picks_it_chooses_when_there_is_one_way_only(
    selectors: dict[str, DiskSelector], disks: list[Disk]
) -> None:
    choice = choose(selectors, Hardware(disks=tuple(disks)))
    ways = list(assignments(selectors, disks))
    if len(ways) == 1:
        assert {one.role: one.name for one in choice.disks} == ways[0]
    else:
        assert choice.reasons


@given(st.dictionaries(ROLES, PICKS, max_size=4), DISKS)
def test_no_disk_plays_two_roles_and_only_what_is_meant_is_chosen(
    selectors: dict[str, DiskSelector], disks: list[Disk]
) -> None:
    choice = choose(selectors, Hardware(disks=tuple(disks)))
    if choice.reasons:
        assert choice.disks == ()
        return
    by_name = {one.name: one for one in disks}
    assert [one.role for one in choice.disks] == sorted(selectors)
    assert len({one.path for one in choice.disks}) == len(selectors)
    assert all(is_meant(by_name[one.name], selectors[one.role]) for one in choice.disks)


@given(st.dictionaries(ROLES, PICKS, max_size=4), DISKS, st.randoms(use_true_random=False))
def test_the_choice_hangs_on_no_order(
    selectors: dict[str, DiskSelector], disks: list[Disk], dice: object
) -> None:
    first = choose(selectors, Hardware(disks=tuple(disks)))
    roles = list(selectors.items())
    dice.shuffle(disks)  # type: ignore[attr-defined]
    dice.shuffle(roles)  # type: ignore[attr-defined]
    assert choose(dict(roles), Hardware(disks=tuple(disks))) == first


@given(st.dictionaries(ROLES, PICKS, min_size=1, max_size=4), DISKS)
def test_a_pick_is_no_worse_than_what_is_left(selectors: dict[str, DiskSelector], disks: list[Disk]) -> None:
    """No disk that was left over would have been the better pick, or as good a one."""
    choice = choose(selectors, Hardware(disks=tuple(disks)))
    used = {one.name for one in choice.disks}
    for one in choice.disks:
        left = [d.size_bytes for d in disks if d.name not in used and is_meant(d, selectors[one.role])]
        better = {"smallest": min, "largest": max}.get(selectors[one.role].pick)
        if better is None:
            assert left == []
        elif left:
            assert better(*left, one.size_bytes) == one.size_bytes
            assert one.size_bytes not in left


HOSTILE = st.text(st.characters(exclude_categories=["Cs"]), max_size=256)
WILD = st.builds(
    Disk,
    name=HOSTILE,
    size_bytes=st.integers(0, 2**63 - 1),
    model=HOSTILE,
    serial=HOSTILE,
    wwn=HOSTILE,
    type=HOSTILE,
    by_id=HOSTILE | HOSTILE.map(lambda text: f"/dev/disk/by-id/{text}"[:256]),
    is_removable=st.booleans(),
)


@given(st.lists(WILD, max_size=4), st.dictionaries(ROLES, PICKS, max_size=2))
def test_whatever_a_machine_says_it_is_a_choice_in_plain_words(
    disks: list[Disk], selectors: dict[str, DiskSelector]
) -> None:
    choice = choose(selectors, Hardware(disks=tuple(disks)))
    assert isinstance(choice, Choice)
    assert all(reason.isprintable() and len(reason) < 6000 for reason in choice.reasons)
    assert all(
        set(one.path) <= set(map(chr, range(33, 127))) - set("\"'`$\\;&|<>(){}*?!~#%^[],")
        for one in choice.disks
    )
